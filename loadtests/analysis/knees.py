"""Where throughput stops following load, and what comes after.

The knee is the crossing of the two asymptotes of a closed system: below it throughput is
N / (R_0 + Z), above it X_max, so N* = X_max * (R_0 + Z) (Denning and Buzen, The Operational
Analysis of Queueing Network Models, 1978). Unlike the place where a plot seems to bend it does not
depend on the axes (Gunther and Ley, CMG 2009). In the open model requests come at a rate, whatever
the answers do; there the knee is the rate from which on fewer are answered than come. Both are read
off throughput alone (see `law`).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from loadtests.analysis.causes.headline import limit_of
from loadtests.analysis.law import (
    ANSWERED,
    FAILING,
    FALLING,
    ClosedLaw,
    OpenLaw,
    Value,
    failing_at_least,
    falls,
    law,
    may_fall,
    most_of,
    plateau,
    pooled,
    share_error,
    steady,
    usable,
)
from loadtests.results import Estimate, Knee, Point

LEAST_LEVELS = 3
COLLAPSED = 0.5  # of the lowest level's throughput: with less at the next one, two levels will do
BEYOND = 0.95  # a knee must lie below this part of the highest level to have been seen
UNSEEN = 0.15  # of X_max: where such a loss is within the interval, throughput is not called flat
APART = 0.02  # of the highest level: with less between two levels, there is no slope
AS_MANY = 0.05  # by which requests in flight may differ from users, and still be as many
RISING = 0.05  # of p95, from the knee to the highest level: with less, no slope is given


def knees(points: Iterable[Point]) -> dict[str, Knee]:
    """The knee of each deployment, from its points of all requests."""
    by_name: dict[str, list[Point]] = {}
    for point in points:
        if point.request == "all":
            by_name.setdefault(point.deployment, []).append(point)
    return {name: _limited(knee(found), found) for name, found in by_name.items()}


def _limited(found: Knee, points: Sequence[Point]) -> Knee:
    """The knee with `limit` set to the resource that binds most levels above it."""
    limit = limit_of(found, points)
    return found if limit is None else found.model_copy(update={"limit": limit.resource})


def knee(points: Sequence[Point]) -> Knee:
    """
    The knee of one deployment.

    `level` is None with fewer than LEAST_LEVELS valid levels, unless the second collapses, and when
    the highest level does not lie beyond the knee or the lowest one does; then `low` or `high`
    bounds it.
    """
    seen = usable(points)
    found = law(seen)
    if isinstance(found, OpenLaw):
        return _of_rates(seen, found)
    if found is None:
        return Knee(level=None)
    base = None if found.saturated else _base(seen, found.most.value * found.cycle.value / 2)
    if len(seen) < LEAST_LEVELS and not _collapses(seen):
        return Knee(level=None, base_response_time=base)
    if found.saturated:
        return _below(seen, found)
    level = found.knee
    if found.high is None or found.low is None or level >= BEYOND * seen[-1].level:
        return Knee(level=None, low=found.low, base_response_time=base, cycle=found.cycle.value)
    if all(found.follows(point) for point in seen if point.level > level):
        return Knee(level=None, low=found.low, base_response_time=base, cycle=found.cycle.value)
    beyond = [point for point in seen if point.level > level]
    then = _then(beyond, found.most, _failing([p for p in seen if p.level <= level]))
    return Knee(
        level=level,
        low=found.low,
        high=found.high,
        in_flight=_in_flight(level, level / found.cycle.value, base),
        throughput=found.most.value,
        base_response_time=base,
        cycle=found.cycle.value,
        beyond=then,
        slope=_slope(beyond, [point for point in seen if point.level <= level], level),
        retrograde=_lost(seen[-1], found.most) if then == "falls" else None,
    )


def _collapses(seen: Sequence[Point]) -> bool:
    """Whether the second of two levels loses so much of the first one's throughput that both do."""
    if len(seen) != 2:
        return False
    first, last = (point.throughput for point in seen)
    return (last.value if last.high is None else last.high) < COLLAPSED * first.value


def _below(seen: Sequence[Point], found: ClosedLaw) -> Knee:
    """The lowest level is beyond it already, so that only its upper bound is known."""
    lowest = float(seen[0].level)
    high = found.high if found.high and found.high > _NEAR * lowest else lowest
    then = _then(seen, found.most, 0.0)
    return Knee(
        level=None,
        high=high,
        throughput=found.most.value,
        beyond=then,
        slope=_slope(seen, [], lowest),
        retrograde=_lost(seen[-1], found.most) if then == "falls" else None,
    )


def _in_flight(level: float, rate: float, base: float | None) -> float | None:
    """The knee in requests in flight, by Little's law; None where each user has one of them."""
    if base is None or abs(rate * base / level - 1) <= AS_MANY:
        return None
    return rate * base


_NEAR = 1.1  # times the lowest level


def _of_rates(seen: Sequence[Point], found: OpenLaw) -> Knee:
    """
    The knee of the open model: X_max over the part of the requests that succeeds below it.

    What came in the window, and not the rate that was asked for, is what throughput follows. Where
    no two rates have the same highest throughput, it may have been higher at any rate before the
    first one that is not answered.
    """
    # A rate below one that is answered was answered as well, whatever chance made of its window.
    count = next((n for n, point in enumerate(reversed(seen)) if found.follows(point)), len(seen))
    following, behind = seen[: len(seen) - count], seen[len(seen) - count :]
    times = [point for point in following if point.response_time.get("mean")]
    base = times[0].response_time["mean"] if times else None
    base_time = base.value if base else None
    if len(seen) < LEAST_LEVELS:
        return Knee(level=None, base_response_time=base_time)
    if not behind:
        return Knee(level=None, low=ANSWERED * seen[-1].level, base_response_time=base_time)
    most = most_of(plateau(behind))
    if not following:
        then = _then(behind, most, 0.0)
        return Knee(level=None, high=float(seen[0].level), throughput=most.value, beyond=then)
    share = 1 - _failing(following)
    last = following[-1]
    answered = max((Value.of(point.throughput) for point in following), key=lambda one: one.value)
    if falls(behind[0], answered):
        most = answered
    first = float(behind[0].level)
    rises = most.value / share > first  # throughput goes on rising, and so do the failures
    level = max(min(most.value / share, first), last.requests / last.seconds)
    unsure = share_error(following) / share
    half = math.hypot(most.half / share, unsure * level)
    reached = math.hypot(answered.half / share, unsure * level)
    low = max(most.value / share - half, answered.value / share - reached)
    high = level + half
    fallen = falls(seen[-1], most)
    if len(plateau(behind if fallen else [last, *behind])) < 2:
        high = first
    # A window with few requests follows as far as it is known; one that is answered does.
    sure = [p.level for p in following if p.throughput.value >= ANSWERED * (found.expected(p) or 0)]
    low, high = max(low, ANSWERED * max(sure, default=0)), max(min(high, first), level)
    then = _then(behind, most, 1 - share)
    return Knee(
        level=level,
        low=min(low, level),
        high=high,
        throughput=None if rises and then == "errors" else most.value,
        base_response_time=base_time,
        beyond=then,
        retrograde=_lost(seen[-1], most) if then == "falls" else None,
    )


def _lost(top: Point, most: Value) -> Estimate:
    """The part of X_max that is lost at the highest level."""
    last = Value.of(top.throughput)
    ratio = last.value / most.value
    half = math.hypot(last.half / most.value, ratio * most.half / most.value)
    if not math.isfinite(half):
        return Estimate(value=1 - ratio)
    return Estimate(value=1 - ratio, low=1 - ratio - half, high=min(1 - ratio + half, 1.0))


def _base(seen: Sequence[Point], half_way: float) -> float | None:
    """
    R_0, the mean response time without a queue; seconds.

    The lowest level has the fewest requests, so those that follow are taken in, up to half way to
    the knee and as long as no queue is to be noticed in them.
    """
    count = max(sum(point.level <= half_way for point in seen), 1)
    used = [(p, mean) for p in steady(seen[:count]) if (mean := p.response_time.get("mean"))]
    if not used:
        return None
    return pooled([Value.of(mean) for _, mean in used], [p.requests for p, _ in used]).value


def _failing(below: Sequence[Point]) -> float:
    """The part of the requests that fails at these levels."""
    came = sum(point.requests for point in below)
    return sum(point.errors.rate * point.requests for point in below) / came if came else 0.0


def _then(
    beyond: Sequence[Point], most: Value, usual: float
) -> Literal["flat", "falls", "errors"] | None:
    """
    What throughput does beyond the knee; None where the windows are too short to decide.

    Args:
        usual: the part that fails before it already.
    """
    if not beyond:
        return None
    top = beyond[-1]
    fallen = falls(top, most)
    failing = any(failing_at_least(one, len(beyond)) > usual + FAILING for one in beyond)
    if failing and (not fallen or top.requests / top.seconds > (1 - FALLING) * most.value):
        return "errors"  # what is missing in throughput was answered, with failures
    if fallen:
        return "falls"
    return None if may_fall(top, most, UNSEEN) else "flat"


def _slope(beyond: Sequence[Point], below: Sequence[Point], level: float) -> float | None:
    """
    Seconds of p95 for each user beyond the knee, by least squares.

    With one level beyond, from the knee, at the p95 of the highest level before it. None where p95
    rises by less than RISING in all.
    """
    line = [(float(p.level), p95.value) for p in beyond if (p95 := p.response_time.get("p95"))]
    if len(line) == 1 and below and (p95 := below[-1].response_time.get("p95")):
        line.insert(0, (level, p95.value))
    levels, times = np.array(line).reshape(-1, 2).T
    if len(line) < 2 or levels[-1] - levels[0] < APART * levels[-1]:
        return None
    slope = float(np.polyfit(levels, times, 1)[0])
    rise = slope * (levels[-1] - levels[0])
    return slope if abs(rise) > RISING * times.mean() else None
