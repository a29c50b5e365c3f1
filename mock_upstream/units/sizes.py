"""
How long a body is: a distribution of bytes, written as text.

    10kB                            always the same
    uniform(1kB,100kB)              anything between, equally likely
    lognormal(p50=10kB,p99=1MB)     by two quantiles

Each is an inverse CDF: one uniform number in, bytes out. A kB is 1000 bytes.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from math import exp, log
from statistics import NormalDist
from typing import Annotated

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema

from mock_upstream.units.durations import LONGEST_TEXT, NUMBER, format_number

LARGEST = 1_000_000_000  # bytes; beyond it a typo is likelier than a body

_UNITS = {"B": 1, "kB": 1000, "MB": 1000_000, "GB": 1000_000_000}
_BYTES = re.compile(rf"({NUMBER})\s*([A-Za-z%]*)")
_FUNCTION = re.compile(r"(\w+)\s*\((.*)\)")
_NORMAL = NormalDist()
_Z99 = _NORMAL.inv_cdf(0.99)


class Size(ABC):
    """A distribution of sizes. `str` gives the text that `parse_size` reads as an equal one."""

    __slots__ = ()

    @abstractmethod
    def quantile(self, u: float) -> int:
        """Bytes that a share u of all bodies stays within; 0 < u < 1, never decreasing."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Constant(Size):
    """Always as long."""

    value: int  # bytes

    def quantile(self, u: float) -> int:
        return self.value

    def __str__(self) -> str:
        return format_bytes(self.value)


@dataclass(frozen=True, slots=True)
class Uniform(Size):
    """Every size from low to high is equally likely."""

    low: int  # bytes
    high: int  # bytes

    def quantile(self, u: float) -> int:
        return self.low + int((self.high - self.low + 1) * u)

    def __str__(self) -> str:
        return f"uniform({format_bytes(self.low)},{format_bytes(self.high)})"


@dataclass(frozen=True, slots=True)
class Lognormal(Size):
    """Mostly small with a long tail, as most collections of documents are."""

    p50: int  # bytes
    p99: int  # bytes

    def quantile(self, u: float) -> int:
        spread = (log(self.p99) - log(self.p50)) / _Z99
        return round(exp(min(log(self.p50) + spread * _NORMAL.inv_cdf(u), log(LARGEST))))

    def __str__(self) -> str:
        return f"lognormal(p50={format_bytes(self.p50)},p99={format_bytes(self.p99)})"


@dataclass(frozen=True, slots=True)
class Capped(Size):
    """Another distribution, but never above so much."""

    size: Size
    most: int  # bytes

    def quantile(self, u: float) -> int:
        return min(self.size.quantile(u), self.most)

    def __str__(self) -> str:
        return str(self.size)


def parse_size(text: str) -> Size:
    """
    The distribution that the text describes; see the top of this module.

    Raises:
        ValueError: which part of the text it is, and why.
    """
    _check_length(text)
    call = _FUNCTION.fullmatch(text.strip())
    if not call:
        return Constant(parse_bytes(text))
    name, inside = call.groups()
    given = [part.strip() for part in inside.split(",")]
    if name == "uniform":
        low, high = _two(text, "uniform(1kB,100kB)", given, ("", ""))
        return Uniform(low, high)
    if name == "lognormal":
        p50, p99 = _two(text, "lognormal(p50=10kB,p99=1MB)", given, ("p50", "p99"))
        if p50 == 0:
            raise ValueError(f"{text!r}: p50 must be above 0B")
        return Lognormal(p50, p99)
    raise ValueError(
        f"there is no distribution of sizes called {name!r}; there are: uniform, lognormal"
    )


def parse_bytes(text: str) -> int:
    """
    Bytes of a number with its unit: B, kB, MB or GB.

    Raises:
        ValueError: not a number, no unit, an unknown one, negative, or above `LARGEST`.
    """
    _check_length(text)
    match = _BYTES.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size; write a number and its unit, such as 10kB")
    number, unit = match.groups()
    if not unit:
        raise ValueError(f"{text!r} has no unit; write {number}B or {number}kB")
    if unit not in _UNITS:
        raise ValueError(f"{text!r} has the unknown unit {unit!r}; there are: {', '.join(_UNITS)}")
    size = Decimal(number) * _UNITS[unit]
    if size < 0:
        raise ValueError(f"{text!r} is negative; a size is 0B or more")
    if size > LARGEST:
        raise ValueError(f"{text!r} is above {format_bytes(LARGEST)}, the largest size there is")
    return round(size)


def format_bytes(size: int) -> str:
    """The shortest exact text."""
    unit, factor = max(
        ((unit, factor) for unit, factor in _UNITS.items() if size >= factor),
        key=lambda pair: pair[1],
        default=("B", 1),
    )
    return format_number(Decimal(size) / factor) + unit


def _check_length(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            f"{text[:40]!r}... has more than {LONGEST_TEXT} characters; write 10kB, say"
        )


def _two(text: str, example: str, given: list[str], names: tuple[str, str]) -> tuple[int, int]:
    values = []
    for part, name in zip(given, names, strict=False):
        before, equals, after = part.rpartition("=")
        if before.strip() == name and bool(equals) == bool(name):
            values.append(parse_bytes(after))
    if len(values) != 2 or len(given) != 2:
        raise ValueError(f"{text!r} is not written as {example}")
    low, high = values
    if high < low:
        raise ValueError(f"{text!r}: {given[1]} is below {given[0]}")
    return low, high


def _size(value: object) -> Size:
    if isinstance(value, Size):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; write a size such as '10kB'")
    return parse_size(value)


def _bytes(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; write a size such as '10kB'")
    return _above_zero(value, parse_bytes(value))


def _bandwidth(value: object) -> int:
    if not isinstance(value, str) or not value.strip().endswith("/s"):
        raise ValueError(f"{value!r} is not a bandwidth; write one such as '1MB/s'")
    return _above_zero(value, parse_bytes(value.strip().removesuffix("/s")))


def _above_zero(text: str, size: int) -> int:
    if size == 0:
        raise ValueError(f"{text!r} would never end a body; write 1B or more")
    return size


SizeText = Annotated[
    InstanceOf[Size],
    BeforeValidator(_size),
    PlainSerializer(str),
    WithJsonSchema({"type": "string"}),
]
"""A distribution of sizes; text in a profile."""
PositiveBytes = Annotated[
    int,
    BeforeValidator(_bytes),
    PlainSerializer(format_bytes),
    WithJsonSchema({"type": "string"}),
]
"""Bytes; text such as 10kB in a profile."""
Bandwidth = Annotated[
    int,
    BeforeValidator(_bandwidth),
    PlainSerializer(lambda bandwidth: f"{format_bytes(bandwidth)}/s"),
    WithJsonSchema({"type": "string"}),
]
"""Bytes per second; text such as 1MB/s in a profile."""
