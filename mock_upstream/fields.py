"""What the fields of a profile are made of: durations and latencies, as text outside."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    InstanceOf,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)

from mock_upstream.durations import format_duration, parse_duration
from mock_upstream.latency import Latency, parse


def _seconds(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; write a duration such as '50ms' or '2s'")
    return parse_duration(value)


def _above_zero(seconds: float) -> float:
    if seconds == 0:
        raise ValueError("a duration above 0 is needed here")
    return seconds


def _latency(value: object, info: ValidationInfo) -> Latency:
    if isinstance(value, Latency):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; write a latency such as '50ms'")
    context = info.context or {}
    known: Latency | None = context.get("latencies", {}).get(value)
    return known or parse(value, context.get("folder"))


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string"}),
]
"""Seconds; text with a unit in a profile."""
PositiveDuration = Annotated[Duration, AfterValidator(_above_zero)]
LatencyText = Annotated[
    InstanceOf[Latency],
    BeforeValidator(_latency),
    PlainSerializer(str),
    WithJsonSchema({"type": "string"}),
]
"""
A distribution of delays; text in a profile, see `mock_upstream.latency`.

`file(...)` is read from the folder in the validation's context, {"folder": Path}, or not at all.
{"latencies": {text: Latency}} are there already: those of the profile that is to be changed.
"""
