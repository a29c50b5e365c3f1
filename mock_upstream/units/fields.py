"""Durations as fields of a model: text outside, seconds inside."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from mock_upstream.units.durations import format_duration, parse_duration


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
