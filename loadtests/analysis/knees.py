"""Where throughput stops following load, and what comes after.

The knee is the crossing of the two asymptotes of a closed system: below it throughput is
N / (R_0 + Z), above it X_max, so N* = X_max * (R_0 + Z) (Denning and Buzen, The Operational
Analysis of Queueing Network Models, 1978). Unlike the place where a plot seems to bend it does not
depend on the axes (Gunther and Ley, CMG 2009). In the open model requests come at a rate, whatever
the answers do; there the knee is the rate from which on fewer are answered than come, and neither
R_0 nor a think time is in it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from loadtests.results import Estimate, Knee, Limit, Point

LEAST_LEVELS = 3
FOLLOWING = 0.9  # throughput that is at least this part of N / (R_0 + Z) still follows the load
BEYOND = 0.95  # a knee must lie below this part of the highest level to have been seen
FALLING = 0.05  # of X_max
FAILING = 0.05  # of the requests
BETWEEN = 0.01  # half of an interval: what two stages differ by beyond what their own ones say


def knees(points: Iterable[Point], think_time: float) -> dict[str, Knee]:
    """The knee of each deployment, from its points of all requests; `think_time` in seconds."""
    by_name: dict[str, list[Point]] = {}
    for point in points:
        if point.request == "all":
            by_name.setdefault(point.deployment, []).append(point)
    return {name: _limited(knee(found, think_time), found) for name, found in by_name.items()}


def _limited(found: Knee, points: Sequence[Point]) -> Knee:
    """With what limits the first level beyond it."""
    limit = limit_of(found, points)
    return found if limit is None else found.model_copy(update={"limit": limit.resource})


def limit_of(knee: Knee, points: Sequence[Point]) -> Limit | None:
    """What binds at the lowest valid level beyond the knee; None where there is no knee."""
    if knee.level is None:
        return None
    beyond = sorted((p for p in points if p.level > knee.level), key=lambda point: point.level)
    return next((p.limit for p in beyond if p.valid and p.limit), None)


def knee(points: Sequence[Point], think_time: float) -> Knee:
    """
    The knee of one deployment.

    `level` is None with fewer than LEAST_LEVELS valid levels, and when the highest level does not
    lie beyond the knee. The interval combines those of X_max and R_0, taken as independent.
    """
    seen = usable(points)
    if not seen:
        return Knee(level=None)
    if seen[0].model == "open":
        return _of_rates(seen)
    most = _plateau(seen)
    base = _base(seen, most.value, think_time)
    if len(seen) < LEAST_LEVELS:
        return Knee(level=None, base=base.value)
    cycle = base.value + think_time
    level = most.value * cycle
    top = seen[-1]
    follows = top.throughput.value >= FOLLOWING * top.level / cycle
    if follows or level >= BEYOND * top.level:
        return Knee(level=None, base=base.value)
    relative = math.hypot(most.half / most.value, base.half / cycle)
    beyond = [point for point in seen if point.level > level]
    then = _then(beyond, most)
    return Knee(
        level=level,
        low=level * (1 - relative) if math.isfinite(relative) else None,
        high=level * (1 + relative) if math.isfinite(relative) else None,
        throughput=most.value,
        base=base.value,
        then=then,
        slope=_slope(beyond, [point for point in seen if point.level <= level], level),
        retrograde=_lost(seen[-1], most) if then == "falls" else None,
    )


def _of_rates(seen: Sequence[Point]) -> Knee:
    """
    Of the open model: X_max over the part of the requests that succeeds below it.

    What came in the window, and not the rate that was asked for, is what throughput follows.
    """
    usual = 1 - seen[0].errors.rate
    behind = [point for point in seen if _falls_behind(point, usual)]
    following = seen[: seen.index(behind[0])] if behind else seen
    times = [point for point in following if point.response_time.get("mean")]
    base = _Value.of(times[0].response_time["mean"]).value if times else None
    if len(seen) < LEAST_LEVELS or not behind or not following:
        return Knee(level=None, base=base)
    most = _plateau(behind)
    came = sum(point.requests for point in following)
    failed = sum(point.errors.rate * point.requests for point in following)
    share = 1 - failed / came
    level, half = most.value / share, most.half / share
    then = _then(behind, most)
    return Knee(
        level=level,
        low=level - half if math.isfinite(half) else None,
        high=level + half if math.isfinite(half) else None,
        throughput=most.value,
        base=base,
        then=then,
        retrograde=_lost(seen[-1], most) if then == "falls" else None,
    )


def _falls_behind(point: Point, usual: float) -> bool:
    """Fewer succeeded than the `usual` part of those that came, beyond the error of the count."""
    came = usual * point.requests / point.seconds
    rate = _Value.of(point.throughput)
    slack = rate.half if math.isfinite(rate.half) else 0.0
    return rate.value < BEYOND * came and rate.value + slack < came


def _lost(top: Point, most: "_Value") -> Estimate:
    """The part of X_max that is lost at the highest level."""
    last = _Value.of(top.throughput)
    ratio = last.value / most.value
    half = math.hypot(last.half / most.value, ratio * most.half / most.value)
    if not math.isfinite(half):
        return Estimate(value=1 - ratio)
    return Estimate(value=1 - ratio, low=1 - ratio - half, high=min(1 - ratio + half, 1.0))


def usable(points: Iterable[Point]) -> list[Point]:
    """The valid points with successes, by rising level; of the open model without any time, too."""
    found = (
        p
        for p in points
        if p.valid and p.throughput.value and (p.model == "open" or p.response_time.get("mean"))
    )
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


def _base(seen: Sequence[Point], most: float, think_time: float) -> _Value:
    """
    R_0, the mean response time without a queue.

    The lowest level has the fewest requests, so those that follow are taken in, up to half way to
    the knee and as long as no queue is to be noticed in them.
    """
    first = _Value.of(seen[0].response_time["mean"])
    half_way = most * (first.value + think_time) / 2
    count = max(sum(point.level <= half_way for point in seen), 1)
    used = _steady(seen[:count])
    means = [_Value.of(point.response_time["mean"]) for point in used]
    return _pooled(means, [point.requests for point in used])


def _plateau(seen: Sequence[Point]) -> _Value:
    """
    X_max: the mean over the levels whose throughput cannot be told from the highest one.

    The highest one alone would be the luckiest one, and too high.
    """
    # Where a queue only grows, as many are answered as can be.
    settled = _steady(seen, "over-saturated")
    ranked = sorted(settled, key=lambda point: point.throughput.value, reverse=True)
    rates = [_Value.of(point.throughput) for point in ranked]
    return _pooled(rates, [point.seconds for point in ranked])


def _steady(seen: Sequence[Point], *also: str) -> Sequence[Point]:
    """Those that had come to rest, or were too short to tell; all of them if there are none."""
    return [point for point in seen if point.steady in (None, "steady", *also)] or seen


_SIGNIFICANCE = 0.01
_DEVIATIONS = float(special.ndtri(0.975))  # in half an interval


def _pooled(values: Sequence[_Value], weights: Sequence[float]) -> _Value:
    """
    The mean of as many values from the front as may be one and the same; the first at least.

    They may when Cochran's Q, the sum of their squared deviations in units of their errors, is not
    significant (The combination of estimates from different experiments, Biometrics 1954). The
    weights are sizes of samples: inverse variances, estimated from a few batches each, would favour
    those that happen to look certain. The interval grows by the Birge ratio where the values
    disagree more than their own intervals say.
    """
    for count in range(len(values), 1, -1):
        means = np.array([one.value for one in values[:count]])
        halves = np.hypot([one.half for one in values[:count]], BETWEEN * means)
        if not np.isfinite(halves).all():
            continue
        shares = np.array(weights[:count]) / sum(weights[:count])
        mean = float(shares @ means)
        deviations = (means - mean) / (halves / _DEVIATIONS)
        q = float(deviations @ deviations)
        if special.chdtrc(count - 1, q) > _SIGNIFICANCE:
            disagreement = max(1.0, math.sqrt(q / (count - 1)))
            return _Value(mean, disagreement * float(np.linalg.norm(shares * halves)))
    return _Value(values[0].value, math.hypot(values[0].half, BETWEEN * values[0].value))


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
