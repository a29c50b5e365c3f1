"""A latency as a field of a model: text outside, a distribution inside."""

from typing import Annotated

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, ValidationInfo, WithJsonSchema

from mock_upstream.latency.distributions import Latency
from mock_upstream.latency.parser import parse


def _latency(value: object, info: ValidationInfo) -> Latency:
    if isinstance(value, Latency):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; write a latency such as '50ms'")
    context = info.context or {}
    known: Latency | None = context.get("latencies", {}).get(value)
    return known or parse(value, context.get("folder"))


LatencyText = Annotated[
    InstanceOf[Latency],
    BeforeValidator(_latency),
    PlainSerializer(str),
    WithJsonSchema({"type": "string"}),
]
"""
A distribution of delays; text in a profile, see `mock_upstream.latency.parser`.

`file(...)` is read from the folder in the validation's context, {"folder": Path}, or not at all.
{"latencies": {text: Latency}} are there already: those of the profile that is to be changed.
"""
