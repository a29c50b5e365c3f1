"""Reading a text piece by piece, with the place of every mistake."""

import json
import re
from dataclasses import dataclass

from mock_upstream.units.documents import shortened
from mock_upstream.units.durations import NUMBER

_SHOWN = 100  # characters around the place of a mistake


class LatencyError(ValueError):
    """A latency that cannot be; the message shows the place in the text."""

    def __init__(self, text: str, start: int, end: int, why: str) -> None:
        shown = "".join(char if char.isprintable() else " " for char in text)
        first = max(start - _SHOWN // 2, 0) if len(text) > _SHOWN else 0
        last = first + _SHOWN
        mark = " " * (start - first) + "^" * max(min(end, last) - start, 1)
        super().__init__(f"{shortened(why)} (column {start + 1})\n  {shown[first:last]}\n  {mark}")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a text; empty at its end."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class Tokens:
    """A text, and how far it has been read. What comes next decides what a token is."""

    _TOKEN = re.compile(rf"\s*({NUMBER}\s*[A-Za-zµ%]*|[A-Za-z_][\w.]*|\S|$)")
    _RAW = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,()"]*)')

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def peek(self, at: int | None = None) -> Token:
        """The next token, or the one from a place on; it is not taken."""
        match = self._TOKEN.match(self._text, self._at if at is None else at)
        assert match  # there is always a next token, if only the end
        return Token(match.group(1).rstrip(), match.start(1))

    def take(self) -> Token:
        token = self.peek()
        self._at = token.end
        return token

    def back_to(self, token: Token) -> None:
        """As if it had not been taken."""
        self._at = token.start

    def since(self, first: Token) -> Token:
        """Everything from a token to here, as one."""
        return Token(self._text[first.start : self._at], first.start)

    def expect(self, text: str) -> None:
        token = self.take()
        if token.text != text:
            found = repr(token.text) if token.text else "the end"
            raise self.error(token, f"expected {text!r}, found {found}")

    def raw(self) -> Token:
        """A path or a name: up to the next comma or bracket, or in double quotes."""
        match = self._RAW.match(self._text, self._at)
        assert match  # it may be empty
        self._at = match.end()
        token = Token(match.group(1).rstrip(), match.start(1))
        if not token.text:
            raise self.error(token, "a name is missing here")
        return token

    def unquoted(self, token: Token) -> str:
        """What a raw token says."""
        if not token.text.startswith('"'):
            return token.text
        try:
            return str(json.loads(token.text))
        except ValueError:
            raise self.error(token, "quoted text is written as in JSON") from None

    def operator(self, sign: str) -> bool:
        """Take it if it comes next; the `+` of `+ 0.1` is none of a number's."""
        rest = self._text[self._at :].lstrip()
        if not rest.startswith(sign):
            return False
        self._at = len(self._text) - len(rest) + 1
        return True

    def error(self, token: Token, why: str) -> LatencyError:
        return LatencyError(self._text, token.start, token.end, why)
