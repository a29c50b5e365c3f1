"""Where throughput stops following load, and what comes after.

The knee is the crossing of the two asymptotes of a closed system: below it throughput is
N / (R_0 + Z), above it X_max, so N* = X_max * (R_0 + Z) (Denning and Buzen, The Operational
Analysis of Queueing Network Models, 1978). Unlike the place where a plot seems to bend it does not
depend on the axes (Gunther and Ley, CMG 2009).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from loadtests.results import Estimate, Knee, Point

LEAST_LEVELS = 3
FOLLOWING = 0.9  # throughput that is at least this part of N / (R_0 + Z) still follows the load
BEYOND = 0.95  # a knee must lie below this part of the highest level to have been seen
FALLING = 0.05  # of X_max
FAILING = 0.05  # of the requests


def knees(points: Iterable[Point], think_time: float) -> dict[str, Knee]:
    """The knee of each deployment, from its points of all requests; `think_time` in seconds."""
    by_name: dict[str, list[Point]] = {}
    for point in points:
        if point.request == "all":
            by_name.setdefault(point.deployment, []).append(point)
    return {name: knee(found, think_time) for name, found in by_name.items()}


def knee(points: Sequence[Point], think_time: float) -> Knee:
    """
    The knee of one deployment.

    `level` is None with fewer than LEAST_LEVELS valid levels, and when the highest level does not
    lie beyond the knee. The interval combines those of X_max and R_0, taken as independent.
    """
    seen = usable(points)
    if not seen:
        return Knee(level=None)
    base = _base(seen)
    if len(seen) < LEAST_LEVELS:
        return Knee(level=None, base=base.value)
    most = _plateau(seen)
    cycle = base.value + think_time
    level = most.value * cycle
    top = seen[-1]
    follows = top.throughput.value >= FOLLOWING * top.level / cycle
    if follows or level >= BEYOND * top.level:
        return Knee(level=None, base=base.value)
    relative = math.hypot(most.half / most.value, base.half / cycle)
    beyond = [point for point in seen if point.level > level]
    return Knee(
        level=level,
        low=level * (1 - relative) if math.isfinite(relative) else None,
        high=level * (1 + relative) if math.isfinite(relative) else None,
        throughput=most.value,
        base=base.value,
        then=_then(beyond, most),
        slope=_slope(beyond, [point for point in seen if point.level <= level], level),
    )


def usable(points: Iterable[Point]) -> list[Point]:
    """The valid points with successes, by rising level."""
    found = (p for p in points if p.valid and p.response_time.get("mean") and p.throughput.value)
    return sorted(found, key=lambda point: point.level)


def at_least(points: Sequence[Point]) -> float | None:
    """
    The level below which the knee cannot lie when none was found; None when that is not known.

    Both reasons for not seeing it imply N* >= FOLLOWING * the highest level.
    """
    seen = usable(points)
    return FOLLOWING * seen[-1].level if len(seen) >= LEAST_LEVELS else None


@dataclass(frozen=True, slots=True)
class _Value:
    """A value and half the width of its interval; math.inf when that is not known."""

    value: float
    half: float

    @classmethod
    def of(cls, estimate: Estimate | None) -> "_Value":
        assert estimate is not None
        if estimate.low is None or estimate.high is None:
            return cls(estimate.value, math.inf)
        return cls(estimate.value, (estimate.high - estimate.low) / 2)

    def agrees(self, other: "_Value") -> bool:
        return abs(self.value - other.value) <= math.hypot(self.half, other.half)


def _pooled(values: Sequence[_Value], weights: Sequence[float]) -> _Value:
    total = sum(weights)
    mean = sum(w * one.value for w, one in zip(weights, values, strict=True)) / total
    halves = (w * one.half for w, one in zip(weights, values, strict=True))
    return _Value(mean, math.hypot(*halves) / total)


def _base(seen: Sequence[Point]) -> _Value:
    """
    R_0, the mean response time without a queue.

    The lowest level has the fewest requests, so those that follow are taken in, by their number of
    requests, as long as their means agree with what is there: the more there is, the smaller the
    queue that is noticed.
    """
    values = [_Value.of(point.response_time["mean"]) for point in seen]
    weights = [float(point.requests) for point in seen]
    base = values[0]
    for count in range(1, len(seen)):
        if math.isinf(values[count].half) or not base.agrees(values[count]):
            break
        base = _pooled(values[: count + 1], weights[: count + 1])
    return base


def _plateau(seen: Sequence[Point]) -> _Value:
    """
    X_max: the mean over the levels whose throughput cannot be told from the highest one.

    The highest one alone would be the luckiest one, and too high.
    """
    values = [_Value.of(point.throughput) for point in seen]
    highest = max(values, key=lambda one: one.value)
    if math.isinf(highest.half):
        return highest
    flat = [
        (one, point.seconds)
        for one, point in zip(values, seen, strict=True)
        if not math.isinf(one.half) and one.agrees(highest)
    ]
    return _pooled([one for one, _ in flat], [seconds for _, seconds in flat])


def _then(beyond: Sequence[Point], most: _Value) -> Literal["flat", "falls", "errors"] | None:
    if not beyond:
        return None
    top = beyond[-1]
    last = _Value.of(top.throughput)
    noise = 0.0 if math.isinf(last.half + most.half) else math.hypot(last.half, most.half)
    falls = most.value - last.value - noise > FALLING * most.value
    failing = max(point.errors.rate for point in beyond) > FAILING
    if failing and (not falls or top.requests / top.seconds > (1 - FALLING) * most.value):
        return "errors"  # what is missing in throughput was answered, with failures
    return "falls" if falls else "flat"


def _slope(beyond: Sequence[Point], below: Sequence[Point], level: float) -> float | None:
    """
    Seconds of p95 for each user beyond the knee, by least squares.

    With one level beyond, from the knee, at the p95 of the highest level before it.
    """
    line = [(float(p.level), p95.value) for p in beyond if (p95 := p.response_time["p95"])]
    if len(line) == 1 and below and (p95 := below[-1].response_time["p95"]):
        line.insert(0, (level, p95.value))
    if len(line) < 2:
        return None
    levels, times = np.array(line).T
    return float(np.polyfit(levels, times, 1)[0])
