"""Where a redirect leads to, in words that are the same for all requests of a kind."""

import re

from loadtests import redaction
from loadtests.engine.answers import AnswerParser


def place(answer: AnswerParser) -> str:
    """Return where an answer leads to, with no part that differs from request to request."""
    places = answer.header(b"location")
    if not places:
        return ""
    shown = redaction.text(places[0].decode("latin-1")).partition("?")[0]
    start = re.match(r"[a-z]+://[^/]*", shown)
    head = start[0] if start else ""
    parts = shown[len(head) :].split("/")
    return f"{head}{'/'.join('*' if _varies(part) else part for part in parts)}"[:100]


def _varies(part: str) -> bool:
    """Whether a part of a path looks like an identifier."""
    return len(part) > 40 or bool(re.fullmatch(r"[0-9a-fA-F-]*\d[0-9a-fA-F-]*", part))
