"""Durations: text such as `50ms` outside, seconds inside."""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from mock_upstream.units.grammar import Scale, format_number

LONGEST = 3600.0  # seconds; what the ledger can record, and far beyond any client's timeout

UNITS = {
    "us": Decimal("0.000001"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
}
_SCALE = Scale(
    "duration",
    UNITS,
    usual=("ms", "s"),
    example="50ms",
    largest=Decimal(LONGEST),
    too_low="a duration is 0ms or more",
    too_high="longer than an hour, the longest duration that can be written",
)


def parse_duration(text: str) -> float:
    """
    Return the seconds of a number with its unit: us, ms, s or m.

    Raises:
        ValueError: not a number, no unit, an unknown one, negative, or above an hour.
    """
    return float(_SCALE.parse(text))


def format_duration(seconds: float) -> str:
    """Return the shortest exact text: `parse_duration` of it gives the same float back."""
    unit = "s" if seconds >= 1 else "ms" if seconds >= 0.001 or seconds == 0 else "us"
    return format_number(Decimal(repr(seconds)) / UNITS[unit]) + unit


def _seconds(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; write a duration such as '50ms' or '2s'")
    return parse_duration(value)


def _above_zero(seconds: float) -> float:
    if seconds == 0:
        raise ValueError("a duration above 0 is needed here")
    return seconds


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string"}),
]
"""Seconds; text with a unit in a profile."""
PositiveDuration = Annotated[Duration, AfterValidator(_above_zero)]
