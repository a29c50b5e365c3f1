"""
How long a body is: a distribution of bytes, written as text.

    10kB                            always the same
    uniform(1kB,100kB)              anything between, equally likely
    lognormal(p50=10kB,p99=1MB)     by two quantiles

Each is an inverse CDF: one uniform number in, bytes out. A kB is 1000 bytes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from math import exp, log
from statistics import NormalDist
from typing import Annotated

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema

from mock_upstream.units.grammar import Function, Scale, Tokens, Value, format_number

LARGEST = 1_000_000_000  # bytes; beyond it a typo is likelier than a body

_SCALE = Scale(
    "size",
    {"B": Decimal(1), "kB": Decimal(1000), "MB": Decimal(1000_000), "GB": Decimal(1000_000_000)},
    usual=("B", "kB"),
    example="10kB",
    largest=Decimal(LARGEST),
    too_low="a size is 0B or more",
    too_high="above 1GB, the largest size there is",
)
_LONGEST_TEXT = 100  # characters
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
class ConstantSize(Size):
    """Always as long."""

    value: int  # bytes

    def quantile(self, u: float) -> int:
        return self.value

    def __str__(self) -> str:
        return format_bytes(self.value)


@dataclass(frozen=True, slots=True)
class UniformSize(Size):
    """Every size from low to high is equally likely."""

    low: int  # bytes
    high: int  # bytes

    def quantile(self, u: float) -> int:
        return self.low + int((self.high - self.low + 1) * u)

    def __str__(self) -> str:
        return f"uniform({format_bytes(self.low)},{format_bytes(self.high)})"


@dataclass(frozen=True, slots=True)
class LognormalSize(Size):
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
    Return the distribution that the text describes; see the top of this module.

    Raises:
        ValueError: which part of the text it is, and why.
    """
    tokens = Tokens(text)
    if len(text) > _LONGEST_TEXT or not tokens.is_before("("):
        return ConstantSize(parse_bytes(text))
    name = tokens.take()
    if name.text not in _FUNCTIONS:
        known = ", ".join(_FUNCTIONS)
        raise tokens.error(
            name, f"there is no distribution of sizes called {name.text!r}; there are: {known}"
        )
    size: Size = tokens.call(_FUNCTIONS[name.text])
    tokens.end()
    return size


def parse_bytes(text: str) -> int:
    """
    Return the bytes of a number with its unit: B, kB, MB or GB.

    Raises:
        ValueError: not a number, no unit, an unknown one, negative, or above `LARGEST`.
    """
    return round(_SCALE.parse(text))


def format_bytes(size: int) -> str:
    """Return the shortest exact text."""
    units = _SCALE.units  # rising
    unit = [unit for unit, factor in units.items() if size >= factor or unit == "B"][-1]
    return format_number(Decimal(size) / units[unit]) + unit


def _bytes_of(tokens: Tokens, name: str) -> Value:
    token = tokens.take()
    try:
        return parse_bytes(token.text), token
    except ValueError as error:
        raise tokens.error(token, str(error)) from None


def _positive_bytes_of(tokens: Tokens, name: str) -> Value:
    size, token = _bytes_of(tokens, name)
    if size == 0:
        raise tokens.error(token, f"{name} must be above 0B")
    return size, token


_FUNCTIONS = {
    "uniform": Function(UniformSize, {"low": _bytes_of, "high": _bytes_of}, (("low", "high"),)),
    "lognormal": Function(
        LognormalSize,
        {"p50": _positive_bytes_of, "p99": _positive_bytes_of},
        (("p50", "p99"),),
        ways=({"p50", "p99"},),
    ),
}


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
