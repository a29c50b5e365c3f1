"""Numbers with units, and functions of them, as text: `50ms`, `uniform(1kB,100kB)`."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from mock_upstream.units.documents import shortened

# Two digits of exponent keep Decimal's own limits out of reach. Digits match in one way only: where
# there are two, a long row of them takes the square of its length.
_UNSIGNED = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,2})?"
NUMBER = rf"[+-]?{_UNSIGNED}"
_LONGEST = 100  # characters of a quantity
_SHOWN = 100  # characters around the place of a mistake
_QUANTITY = re.compile(rf"({NUMBER})\s*([A-Za-zµ%]*)")


@dataclass(frozen=True, slots=True)
class Scale:
    """How quantities of one kind are written, and how large they can be."""

    noun: str
    units: Mapping[str, Decimal]
    usual: tuple[str, str]
    """Two units that are proposed where none is given."""
    example: str
    largest: Decimal
    too_low: str
    too_high: str

    def parse(self, text: str) -> Decimal:
        """
        Return the quantity of a text such as `50ms`.

        Raises:
            ValueError: not a number, no unit, an unknown one, negative, or too large.
        """
        if len(text) > _LONGEST:
            raise ValueError(
                f"{text[:40]!r}... has more than {_LONGEST} characters; write {self.example}, say"
            )
        match = _QUANTITY.fullmatch(text.strip())
        if not match:
            raise ValueError(
                f"{text!r} is not a {self.noun}; write a number and its unit, such as "
                f"{self.example}"
            )
        number, unit = match.groups()
        if not unit:
            few, many = self.usual
            raise ValueError(f"{text!r} has no unit; write {number}{few} or {number}{many}")
        if unit not in self.units:
            known = ", ".join(self.units)
            raise ValueError(f"{text!r} has the unknown unit {unit!r}; there are: {known}")
        quantity = Decimal(number) * self.units[unit]
        if quantity < 0:
            raise ValueError(f"{text!r} is negative; {self.too_low}")
        if quantity > self.largest:
            raise ValueError(f"{text!r} is {self.too_high}")
        return quantity


def format_number(number: Decimal | float) -> str:
    """Return the number without an exponent and without trailing zeros."""
    text = format(Decimal(repr(number)) if isinstance(number, float) else number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class TextError(ValueError):
    """A latency or a size that cannot be read; the message shows the place in the text."""

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


Value = tuple[Any, Token]
Argument = Callable[["Tokens", str], Value]
"""Reads an argument; its name is for messages."""


class Function(NamedTuple):
    """A function of a text, its arguments, and what is made of them."""

    make: Callable[..., Any]
    arguments: Mapping[str, Argument]
    rising: tuple[tuple[str, str], ...] = ()
    """Pairs of arguments of which the second must not be below the first."""
    strict: bool = False
    """Whether the second of a pair must be above the first."""
    ways: tuple[set[str], ...] = ()
    """Names that can stand together, where they are not all needed; then by name only."""


class Tokens:
    """A text, and how far it has been read. What comes next decides what a token is."""

    # A sign `+` is an operator, and never part of a number: 0.5*1s +0.5*2s.
    _TOKEN = re.compile(rf"\s*(-?{_UNSIGNED}\s*[A-Za-zµ%]*|[A-Za-z_][\w.]*|\S|$)")
    _RAW = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,()"]*)')

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def peek(self, position: int | None = None) -> Token:
        """Return the next token, or the one from a position on; it is not taken."""
        match = self._TOKEN.match(self._text, self._position if position is None else position)
        assert match  # there is always a next token, if only the end
        return Token(match.group(1).rstrip(), match.start(1))

    def take(self) -> Token:
        token = self.peek()
        self._position = token.end
        return token

    def take_if(self, text: str) -> bool:
        """Take the next token if it is this one."""
        found = self.peek().text == text
        if found:
            self.take()
        return found

    def is_before(self, text: str) -> bool:
        """Whether this is the token after the next one."""
        return self.peek(self.peek().end).text == text

    def is_named(self) -> bool:
        """Whether `name =` comes next."""
        return self.peek().text[:1].isalpha() and self.is_before("=")

    def since(self, first: Token) -> Token:
        """Return everything from a token to here, as one."""
        return Token(self._text[first.start : self._position], first.start)

    def expect(self, text: str) -> None:
        token = self.take()
        if token.text != text:
            found = repr(token.text) if token.text else "the end"
            raise self.error(token, f"expected {text!r}, found {found}")

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self.peek().text:
            raise self.unexpected(self.peek())

    def raw(self) -> tuple[Token, str]:
        """Take a path or a name: up to the next comma or bracket, or as JSON in double quotes."""
        match = self._RAW.match(self._text, self._position)
        assert match  # it can be empty
        self._position = match.end()
        token = Token(match.group(1).rstrip(), match.start(1))
        if not token.text:
            raise self.error(token, "a name is missing here")
        if not token.text.startswith('"'):
            return token, token.text
        try:
            return token, str(json.loads(token.text))
        except ValueError:
            raise self.error(token, "quoted text is written as in JSON") from None

    def call(self, function: Function) -> Any:
        """Read the brackets of a function, and return what it makes of its arguments."""
        given = self._arguments(function.arguments, function.ways)
        for low, high in function.rising:
            if low in given and high in given:
                (least, least_token), (most, token) = given[low], given[high]
                if most < least or (function.strict and most == least):
                    how = "not above" if function.strict else "below"
                    raise self.error(
                        token, f"{high}={token.text} is {how} {low}={least_token.text}"
                    )
        return function.make(**{name: value for name, (value, _) in given.items()})

    def _arguments(
        self, readers: Mapping[str, Argument], ways: tuple[set[str], ...]
    ) -> dict[str, Value]:
        """Read arguments by position or by name, as in Python."""
        names, by_name = list(readers), bool(ways)
        ways = ways or (set(names),)
        takes = ", or ".join(" and ".join(sorted(way, key=names.index)) for way in ways)
        given: dict[str, Value] = {}
        self.expect("(")
        while by_name or self.peek().text != ")":
            token = self.peek()
            if self.is_named():
                self.take()
                self.expect("=")
                name = token.text
                if name not in readers:
                    raise self.error(token, f"there is no {name!r} here; it takes {takes}")
                if name in given:
                    raise self.error(token, f"{name} is given twice")
            elif by_name:
                raise self.error(token, f"expected {takes}, each with its name and =")
            elif len(given) == len(names) or names[len(given)] in given:
                raise self.unexpected(token)
            else:
                name = names[len(given)]
            given[name] = readers[name](self, name)
            if not self.take_if(","):
                break
        missing = min((way - set(given) for way in ways), key=len)
        if missing:
            name = min(missing, key=names.index)
            raise self.error(self.peek(), f"{name} is missing; it takes {takes}")
        if set(given) not in ways:
            raise self.error(self.peek(), f"that is too much; it takes {takes}")
        self.expect(")")
        return given

    def unexpected(self, token: Token) -> TextError:
        return self.error(token, f"unexpected {token.text!r}")

    def error(self, token: Token, why: str) -> TextError:
        return TextError(self._text, token.start, token.end, why)
