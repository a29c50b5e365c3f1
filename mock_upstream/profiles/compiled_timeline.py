"""A timeline laid out over a profile: what is played at any time, all of it checked before."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from json import dumps
from math import inf, lcm
from typing import Any, Generic, Literal, TypeVar

from pydantic import JsonValue

from mock_upstream.profiles.paths import put
from mock_upstream.profiles.timeline import (
    AFTER,
    BEFORE,
    BETWEEN,
    FACTOR,
    REFUSED,
    Phase,
    Timeline,
    is_number,
)
from mock_upstream.units.grammar import format_number

Outage = int | Literal["reset", "close", "hang"]
Played = TypeVar("Played")

_MOST_STEPS = 20_000
_MOST_PROFILES = 2000
_MOST_WORK = 5_000_000  # characters of profiles to check; a second or two
_DEAR = 10  # what a character that changes takes, such as one of a latency, against one that stays
_HIGHEST_FACTOR = 1e6


class TimelineError(ValueError):
    """A timeline that cannot be played; the message names the phase."""


@dataclass(frozen=True, slots=True)
class State(Generic[Played]):
    """What holds at one moment."""

    phase: str
    played: Played
    """The profile with the changes; the same object whenever the changes are the same."""
    factor: float = 1.0
    """On every latency."""
    outage: Outage | None = None
    """What a refused request meets at once."""
    refused: float = 0.0
    """Share of the requests that meet it."""


class CompiledTimeline(Generic[Played]):
    """
    A timeline laid out over a profile: what holds at any time, looked up.

    Args:
        values: the profile, as JSON has it.
        build: makes what is to be played from such values; ValueError if it cannot be.
        base: what is played outside of all phases.

    Raises:
        TimelineError: a change that fits nowhere, values that cannot be, or too much of it.
    """

    def __init__(
        self,
        timeline: Timeline,
        values: Mapping[str, Any],
        build: Callable[[dict[str, Any]], Played],
        base: Played,
    ) -> None:
        self._build = build
        self._values = {key: value for key, value in values.items() if key != "timeline"}
        self._size = len(dumps(self._values, default=str))
        self._built: dict[str, Played] = {}
        self._work = 0
        self._steps = 0.0
        self._base = base
        self._before = State(BEFORE, base)
        self._starts: list[float] = []
        self._stretches: list[_StateCycle[Played]] = []
        end = 0.0
        for (name, start, following), phase in zip(timeline.spans(), timeline.phases, strict=True):
            if start > end:
                self._add(end, self._outside(BETWEEN if self._starts else BEFORE))
            try:
                self._add(start, self._stretch(phase, following - start))
            except ValueError as error:
                raise TimelineError(f"phase {name!r}: {error}") from None
            end = following
        self._again = end if timeline.repeat else inf
        if end < inf:
            self._add(end, self._outside(AFTER))

    def at(self, elapsed: float | None) -> State[Played]:
        """The values in force `seconds` after the clock's start; None: it was not started."""
        if elapsed is None or elapsed < 0:
            return self._before
        if elapsed >= self._again:
            elapsed %= self._again
        place = bisect_right(self._starts, elapsed) - 1
        return self._stretches[place].at(elapsed - self._starts[place])

    def _add(self, start: float, stretch: "_StateCycle[Played]") -> None:
        self._starts.append(start)
        self._stretches.append(stretch)

    def _outside(self, name: str) -> "_StateCycle[Played]":
        return _StateCycle(inf, [0.0], [State(name, self._base)])

    def _stretch(self, phase: Phase, duration: float) -> "_StateCycle[Played]":
        moving = {}
        for path, motion in phase.motions():
            span, values = motion.steps(duration)
            moving[path] = span, self._whole(path, values)
        cycle = min(_common([span for span, _ in moving.values()]), duration)
        steps = sum(len(values) * cycle / span for span, values in moving.values()) if moving else 1
        self._steps += steps + 1
        if self._steps > _MOST_STEPS:
            raise ValueError(
                f"the timeline makes more than {_MOST_STEPS} steps; its waves need longer periods, "
                "or periods that are multiples of each other"
            )
        edges = {0.0}
        for span, values in moving.values():
            step, count = span / len(values), round(cycle / span * len(values))
            edges |= {place * step for place in range(count) if place * step < cycle}
        starts = sorted(edges)
        # Sums of floats may leave two edges where there is one.
        starts = [0.0] + [b for a, b in pairwise(starts) if b - a > 1e-9]
        states = []
        for start, end in zip(starts, [*starts[1:], cycle], strict=True):
            middle = start if end == inf else (start + end) / 2
            now = {
                path: values[int(middle % span / span * len(values))]
                for path, (span, values) in moving.items()
            }
            states.append(self._state(phase, now))
        return _StateCycle(cycle, starts, states)

    def _state(self, phase: Phase, now: Mapping[str, JsonValue]) -> State[Played]:
        changes = {
            path: now.get(path, value) for path, value in phase.changes.items() if path != FACTOR
        }
        factor: object = phase.changes.get(FACTOR, 1.0)
        outage, refused = phase.outage, 0.0
        if phase.brownout:
            factor, outage = phase.brownout.factor, phase.brownout.status
            share: object = now.get(REFUSED, phase.brownout.refused)
            refused = _within(share, "brownout.refused", 1.0)
        elif outage is not None:
            refused = 1.0
        return State(
            phase.name,
            self._played(changes),
            _within(now.get(FACTOR, factor), FACTOR, _HIGHEST_FACTOR),
            outage,
            refused,
        )

    def _played(self, changes: Mapping[str, Any]) -> Played:
        if not changes:
            return self._base
        key = dumps(changes, sort_keys=True)
        self._count_work(_DEAR * len(key))
        if key not in self._built:
            self._count_work(self._size)
            values = self._values
            for path, value in changes.items():
                values = put(values, path, value)
            self._built[key] = self._build(values)
        return self._built[key]

    def _count_work(self, characters: int) -> None:
        self._work += characters
        if self._work > _MOST_WORK or len(self._built) >= _MOST_PROFILES:
            raise ValueError(
                f"with this phase the timeline makes more than {len(self._built)} profiles, too "
                f"many of {self._size} characters each; let fewer values move, in fewer phases"
            )

    def _whole(self, path: str, values: list[JsonValue]) -> list[JsonValue]:
        """
        The values of a moving number, rounded where it counts something, such as servers.

        The profile itself tells: what it refuses broken and takes rounded is whole.
        """
        broken = next((v for v in values if isinstance(v, float) and not v.is_integer()), None)
        if broken is None or path in (FACTOR, REFUSED):
            return values
        self._count_work(self._size)
        try:
            self._build(put(self._values, path, broken))
        except ValueError:
            return [round(value) if isinstance(value, float) else value for value in values]
        return values


class _StateCycle(Generic[Played]):
    """States that follow each other and, after `cycle` seconds, begin again."""

    __slots__ = ("_cycle", "_starts", "_states")

    def __init__(self, cycle: float, starts: list[float], states: list[State[Played]]) -> None:
        self._cycle = cycle
        self._starts = starts
        self._states = states

    def at(self, since: float) -> State[Played]:
        if since >= self._cycle:
            since %= self._cycle
        return self._states[bisect_right(self._starts, since) - 1]


def _within(value: Any, name: str, most: float) -> float:
    if not is_number(value) or not 0 <= value <= most:
        raise ValueError(f"{name}: {value!r:.60} is not a number from 0 to {format_number(most)}")
    return float(value)


def _common(periods: list[float]) -> float:
    """Seconds after which all begin together again."""
    try:
        return lcm(*(round(period * 1e6) for period in periods)) / 1e6 if periods else inf
    except OverflowError:
        return inf
