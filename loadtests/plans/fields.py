"""What the fields of a plan are made of: durations, names, paths."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from loadtests.recording.slices import LENGTH
from mock_upstream.units.durations import format_duration, parse_duration

_NAME = re.compile(r"[\w\[][\w.,:+\[\]-]{0,79}")


def _seconds(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError(f'{value} is not text with a unit; write it as "2s" or "250ms"')
    return parse_duration(value)


def _above_zero(seconds: float) -> float:
    if seconds == 0:
        raise ValueError("'0s' is too short; it must be longer than nothing")
    return seconds


def _whole_slices(seconds: float) -> float:
    if seconds % LENGTH:
        raise ValueError(
            f"{format_duration(seconds)!r} is not a multiple of {format_duration(LENGTH)}, "
            "the length of the slices that a stage is recorded in"
        )
    return seconds


def name_of_deployment(name: str) -> str:
    """
    The name itself. It also names a log file and a place in the results.

    Raises:
        ValueError: it is not fit for that.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a name for a deployment: up to 80 letters, digits and _ . , : + - "
            "[ ], a letter or digit first"
        )
    if name in ("mock", "generator"):
        raise ValueError(f"{name!r} names one of brownout's own processes; take another name")
    return name


def recordable(path: Path) -> Path:
    """
    The path itself. A plan holds it.

    Raises:
        ValueError: it cannot.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"the name of {str(path)!r} is not UTF-8, which a plan is in; rename the folder, or "
            "play the plan from another one"
        ) from None
    return path


Duration = Annotated[float, BeforeValidator(_seconds), PlainSerializer(format_duration)]
"""Seconds; text with a unit in a plan."""
PositiveDuration = Annotated[Duration, AfterValidator(_above_zero)]
SlicesDuration = Annotated[Duration, AfterValidator(_whole_slices)]
Whole = Annotated[int, Field(strict=True)]
"""A whole number; neither true nor "5" passes for one."""
