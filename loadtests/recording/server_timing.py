"""Server-Timing (https://www.w3.org/TR/server-timing/): the phases that a service reports.

What comes from the network is checked before it counts: a header that is not what it should be is
as good as none.
"""

import re
from collections.abc import Sequence

from loadtests.recording.phases import TOLD

SENT = "x-sent-mono"
"""The request header with the moment of sending: CLOCK_MONOTONIC, in nanoseconds."""
HEADER = "server-timing"
LONGEST = 4096  # characters; ours take 160
_SLACK, _SHARE = 0.001, 0.02  # seconds, or a part of the time: what clocks and rounding explain

_TOTAL, _BEFORE = "total", "pre_app"
_WITHIN = tuple(name for name in TOLD if name != _BEFORE)  # of the total

_MS = r"([0-9]{1,9}\.[0-9]{3})"
_OURS = re.compile(
    rf"(?:^|,[ \t]*){_TOTAL};dur={_MS}(?:, {_BEFORE};dur={_MS})?"
    + "".join(f", {name};dur={_MS}" for name in _WITHIN)
    + r"(?=[ \t]*(?:,|$))"
)
"""As our own middleware writes it, between metrics of others."""


def phases(
    header: str | Sequence[str] | None, seconds: float, body: float = 0.0
) -> list[float] | None:
    """
    The phases of a response, in seconds and as phases.NAMES; None when they are not known.

    They are not when our middleware's text is not in the header, or more than once; when the header
    is longer than LONGEST; and when the numbers cannot be: the phases are not the total, or longer
    than the response took.

    Args:
        header: the value of `server-timing`, or its values where it came several times.
        seconds: the service time as the client saw it.
        body: the part of it from the head of the response to its last byte.
    """
    if header is None:
        return None
    text = header if isinstance(header, str) else ", ".join(header)
    found = _OURS.findall(text) if len(text) <= LONGEST else []
    if len(found) != 1:
        return None
    told = [milliseconds or "0" for milliseconds in found[0]]
    total, *parts = [float(milliseconds) / 1000 for milliseconds in told]
    inside = sum(parts) - parts[0]
    before = parts[0]
    slack = max(_SLACK, _SHARE * seconds)
    if abs(inside - total) > slack or inside + before > seconds + slack:
        return None
    return [*parts, body]
