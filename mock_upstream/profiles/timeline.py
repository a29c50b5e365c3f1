"""
What changes while a profile is played: steps, ramps, waves, outages and brown-outs.

    [timeline]
    start = "control"                 # the load test starts the clock; "serve": with the server
    [[timeline.phases]]
    name = "calm"
    for = "30s"
    [[timeline.phases]]
    name = "slower and slower"
    for = "60s"
    changes = { "latency_factor" = { ramp = [1, 10] }, "errors.503" = 0.02 }
    [[timeline.phases]]
    name = "tides"
    for = "2m"
    changes = { "capacity.servers" = { square = [20, 5], period = "10s" } }
    [[timeline.phases]]
    name = "down"
    for = "5s"
    outage = 503

A change names any value of the profile by its dotted path, or `latency_factor`, which multiplies
every latency. Ramps and waves move in small steps, a hundredth of a ramp and a fortieth of a
wave's period, each at the value of its middle: so all that will ever be played is checked before.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from math import cos, inf, isfinite, pi
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    FiniteFloat,
    JsonValue,
    Tag,
    model_serializer,
    model_validator,
)

from mock_upstream.admission.capacity import Overflow
from mock_upstream.units.durations import Duration, PositiveDuration, format_duration
from mock_upstream.units.grammar import NUMBER, format_number
from mock_upstream.units.tables import StrictTable

FACTOR = "latency_factor"
REFUSED = "brownout.refused"
"""Where a brown-out's share of refused requests moves, among the paths of the profile."""
BEFORE, BETWEEN, AFTER = "before", "between", "after"
"""Named as phases are: the time before the first phase, or the start; gaps; after the last."""

_WAYS: dict[str, Callable[[float], float]] = {
    "ramp": lambda x: x,
    "sine": lambda x: (1 - cos(2 * pi * x)) / 2,
    "triangle": lambda x: 1 - abs(1 - 2 * x),
    "saw": lambda x: x,
    "square": lambda x: float(x >= 0.5),
}
"""Share of the way from the first value to the second, at a share of the time."""
# What the n-th draw is must not depend on the time, nor how far anything may go.
_FIXED = {"tls", "seed", "sampling", "timeline", "overrides", "caps", "budget"}
_RAMP_STEPS = 100
_WAVE_STEPS = 40
_SHORTEST_STEP = 0.01  # seconds
_SHORTEST = 0.001  # seconds; of a phase, and of a period
_LONGEST_TEXT = 1000


Pair = tuple[JsonValue, JsonValue] | None


class Motion(StrictTable):
    """
    A value on its way from the first of a pair to the second, as its shape says.

    `ramp`: straight, in the length of the phase. In each period, `sine`: gently there and back;
    `triangle`: straight there and back; `saw`: straight there, then a fall; `square`: half of it
    at the first, half at the second.

    Numbers move, and so do the numbers in two texts that are alike in all else:
    `ramp = ["p50=50ms p95=80ms", "p50=200ms p95=900ms"]`.
    """

    ramp: Pair = None
    sine: Pair = None
    triangle: Pair = None
    saw: Pair = None
    square: Pair = None
    period: PositiveDuration | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        shapes = [shape for shape in _WAYS if getattr(self, shape) is not None]
        if len(shapes) != 1:
            raise ValueError(f"one of {', '.join(_WAYS)} is needed, not {len(shapes)}")
        if (shapes[0] == "ramp") != (self.period is None):
            raise ValueError("a wave needs its period, and a ramp has none: it lasts its phase")
        if self.period is not None and self.period < _SHORTEST:
            raise ValueError(f"a period of {format_duration(self.period)} is below a millisecond")
        between(*self.ends)
        return self

    @model_serializer
    def _as_written(self) -> dict[str, JsonValue]:
        written: dict[str, JsonValue] = {self.shape: list(self.ends)}
        if self.period is not None:
            written["period"] = format_duration(self.period)
        return written

    @property
    def shape(self) -> str:
        return next(shape for shape in _WAYS if getattr(self, shape) is not None)

    @property
    def ends(self) -> tuple[JsonValue, JsonValue]:
        ends: tuple[JsonValue, JsonValue] = getattr(self, self.shape)
        return ends

    def steps(self, duration: float) -> tuple[float, list[JsonValue]]:
        """How long all steps take, in seconds, and the value of each; waves then begin again."""
        span = duration if self.period is None else self.period
        if self.period is None:
            count = min(max(int(span / _SHORTEST_STEP), 1), _RAMP_STEPS)
        else:  # an even number, so that a square's edges are edges of steps
            count = 2 * min(max(int(span / _SHORTEST_STEP / 2), 1), _WAVE_STEPS // 2)
        value, way = between(*self.ends), _WAYS[self.shape]
        return span, [value(way((step + 0.5) / count)) for step in range(count)]


def between(first: JsonValue, second: JsonValue) -> Callable[[float], JsonValue]:
    """
    What lies a share x of the way between two values.

    Raises:
        ValueError: they are neither numbers nor texts that differ in numbers alone.
    """
    if is_number(first) and is_number(second):
        return partial(_mixed, first, second)
    if isinstance(first, str) and isinstance(second, str) and len(first) <= _LONGEST_TEXT:
        cut = re.compile(rf"({NUMBER})")
        here, there = cut.split(first), cut.split(second)
        if here[::2] == there[::2]:
            return partial(_mixed_text, here, there)
    raise ValueError(
        f"there is nothing between {first!r:.60} and {second!r:.60}; "
        "write two numbers, or two texts that differ in numbers alone, in the same units"
    )


def is_number(value: object) -> bool:
    """A finite one that a float can hold; True and False are none."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    except OverflowError:
        return False


def _mixed(first: Any, second: Any, x: float) -> float:
    # Twelve digits, so that the same place on the way there and back is the same number.
    return float(f"{first * (1 - x) + second * x:.12g}")


def _mixed_text(here: list[str], there: list[str], x: float) -> JsonValue:
    return "".join(
        format_number(_mixed(float(a), float(b), x)) if place % 2 else a
        for place, (a, b) in enumerate(zip(here, there, strict=True))
    )


def _kind(value: object) -> str:
    """A table with the name of a shape is a motion; anything else is a value to set."""
    if isinstance(value, Motion):
        return "motion"
    moves = isinstance(value, Mapping) and any(shape in value for shape in _WAYS)
    return "motion" if moves else "value"


Change = Annotated[
    Annotated[Motion, Tag("motion")] | Annotated[JsonValue, Tag("value")], Discriminator(_kind)
]
Number = Annotated[
    Annotated[Motion, Tag("motion")] | Annotated[FiniteFloat, Tag("value")], Discriminator(_kind)
]
ValuePath = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]


class BrownoutSpell(StrictTable):
    """Everything is slower, and a share of the requests is refused at once."""

    factor: Number = 10.0
    """On every latency."""
    refused: Number = 0.0
    """Probability."""
    status: Annotated[int, Field(ge=400, le=599)] = 503


class Phase(StrictTable):
    """A stretch of time with a name. Changes hold during their phase alone."""

    name: Name
    at: Duration | None = None
    """When it begins, on the timeline's clock. None: when the one before ends."""
    duration: PositiveDuration | None = Field(default=None, alias="for")
    """None: until the next begins, or for ever."""
    changes: dict[ValuePath, Change] = Field(default_factory=dict, max_length=100)
    """Dotted path in the profile, or `latency_factor` -> value, ramp or wave."""
    outage: Overflow | None = None
    """What every request meets at once: an error status, or a broken connection."""
    brownout: BrownoutSpell | None = None

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> Self:
        if self.name in (BEFORE, BETWEEN, AFTER):
            raise ValueError(f"{self.name!r} names the time outside of all phases")
        if self.outage is not None and self.brownout:
            raise ValueError("an outage leaves nothing for a brown-out; make it two phases")
        if self.brownout and FACTOR in self.changes:
            raise ValueError(f"a brown-out has a factor of its own; leave out {FACTOR}")
        for path in self.changes:
            first, *_ = path.split(".")
            if first in _FIXED:
                raise ValueError(f"{first} holds for the whole of a run; it cannot change")
        return self

    def motions(self) -> Iterator[tuple[str, Motion]]:
        """Everything that moves, by its path."""
        values: dict[str, Any] = dict(self.changes)
        if self.brownout:
            values |= {FACTOR: self.brownout.factor, REFUSED: self.brownout.refused}
        return ((path, value) for path, value in values.items() if isinstance(value, Motion))


class Timeline(StrictTable):
    """Phases, one after another."""

    start: Literal["control", "serve"] = "control"
    """Whether the clock waits for the control API or starts with the server."""
    repeat: bool = False
    """Whether the first phase follows the last."""
    phases: Annotated[tuple[Phase, ...], Field(max_length=1000)]

    @model_validator(mode="after")
    def _phases_follow_each_other(self) -> Self:
        if not self.phases:
            raise ValueError("a timeline needs a phase")
        seen: set[str] = set()
        for phase in self.phases:
            if phase.name in seen:
                raise ValueError(
                    f"phase {phase.name!r} is there twice; results are split by the name"
                )
            seen.add(phase.name)
        for (name, _, end), (later, start, _) in pairwise(self.spans()):
            if end > start:
                raise ValueError(
                    f"phase {later!r} begins at {format_duration(start)}, before {name!r} is over"
                )
        for (name, start, end), phase in zip(self.spans(), self.phases, strict=True):
            if end - start < _SHORTEST:
                raise ValueError(f"phase {name!r} lasts less than a millisecond")
            ramps = [path for path, motion in phase.motions() if motion.shape == "ramp"]
            if end == inf and ramps:
                raise ValueError(
                    f"phase {name!r} never ends, so {ramps[0]} cannot ramp; give 'for'"
                )
        if self.repeat and self.spans()[-1][2] == inf:
            raise ValueError("the last phase needs 'for': what never ends cannot repeat")
        return self

    def spans(self) -> list[tuple[str, float, float]]:
        """Name, start and end of each phase, in seconds; the last may end at infinity."""
        spans: list[tuple[str, float, float]] = []
        start = 0.0
        for place, phase in enumerate(self.phases):
            start = start if phase.at is None else phase.at
            following = self.phases[place + 1].at if place + 1 < len(self.phases) else inf
            if phase.duration is not None:
                end = start + phase.duration
            elif following is None:
                raise ValueError(
                    f"phase {phase.name!r} has no end: give it 'for', or the next one 'at'"
                )
            else:
                end = following
            spans.append((phase.name, start, end))
            start = end
        return spans
