"""The highest level that keeps the promises, from trials at any levels, with its interval.

A trial is one stage: how far each promise was kept there, as a *margin* with its standard error.
Nothing is assumed of how margins depend on the level but that they fall as it rises: so a mean of
the margins at a level and above it cannot be more than what the level has, and if it is above zero
beyond its error, the level keeps the promise; and the other way round. The capacity lies between
the highest level that was shown to keep every promise and the lowest that was shown to break one.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from pydantic import BaseModel, ConfigDict

from loadtests.analysis.words import duration, percent, rate
from loadtests.results import Capacity, Estimate, Point
from loadtests.slos import Slo

RESOLUTION = 0.05  # of the level, or one level: the width of an interval that is narrow enough
BETWEEN = 0.01  # two stages at one level differ by this beyond what each one's interval says
SURE = 2.5  # standard errors; more than 1.96 as a level is tried until it is decided
NOISIEST = 3.0  # times what a stage's own interval says
FARTHEST = 0.5  # a margin beyond tells no more than that the border is far away
_DEVIATIONS = 1.96  # standard errors in half an interval
_LOWER_IS_BETTER = ("<", "<=")


class Bounds(BaseModel):
    """What a search may do: the levels, and how long, in seconds of stages."""

    model_config = ConfigDict(frozen=True)

    lowest: int
    highest: int
    within: float
    resolution: float = RESOLUTION

    def narrow(self, low: int) -> int:
        """The highest end of an interval from `low` that is narrow enough; the next level is."""
        return low + max(math.floor(low * self.resolution), 1)


@dataclass(frozen=True, slots=True)
class Margin:
    """How far a promise is kept: the log of threshold over value; above zero it is kept."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One stage. `margins` and `seen` by SLO; one that could not be judged is absent."""

    level: int
    margins: Mapping[str, Margin]
    seen: Mapping[str, str]  # e.g. "p95 212 ms"
    rate: float = 0.0  # answers per second
    rising: frozenset[str] = frozenset()  # SLOs on throughput, which low levels cannot keep


def searchable(slos: Mapping[str, Slo], deployment: str) -> dict[str, Slo]:
    """
    The promises that a level of this deployment keeps or breaks; the knee is no such thing.

    Raises:
        ValueError: one that is kept above a level and not below it, such as p95 > 10ms.
    """
    found = {
        name: slo
        for name, slo in slos.items()
        if slo.deployment in (None, deployment) and slo.metric != "knee"
    }
    for name, slo in found.items():
        upper = slo.comparison in _LOWER_IS_BETTER
        if upper == (slo.metric == "throughput"):
            way = "at least, with >" if slo.metric == "throughput" else "at most, with <"
            raise ValueError(
                f"slos.{name}: {slo.text!r} does not end at a highest level; a search needs "
                f"what {slo.metric} is {way}"
            )
    return found


def trial(slos: Mapping[str, Slo], point: Point, slow: Mapping[str, Estimate | None]) -> Trial:
    """
    What one stage says of the promises; nothing if it is not valid.

    Args:
        slow: the quantiles of all requests by name, a failure being infinitely slow.
    """
    margins, seen = {}, {}
    for name, slo in slos.items() if point.valid else ():
        found = _margin(slo, point, slow)
        if found is not None:
            margins[name], seen[name] = found
    rising = frozenset(name for name in margins if slos[name].metric == "throughput")
    return Trial(point.level, margins, seen, point.throughput.value, rising)


@dataclass(frozen=True, slots=True)
class Found:
    """
    What trials tell of the capacity.

    `kept`: the highest level that keeps every promise; `broken`: the lowest that breaks one, above
    `kept`; each None when there is none so far. `crossing`: where the margin of `slo`, the promise
    that breaks first, is zero; None when every margin has the same sign, which `sign` tells.
    `unreached`: a throughput that no level came up to.
    """

    kept: int | None = None
    broken: int | None = None
    crossing: float | None = None
    slo: str | None = None
    sign: int = 0
    unreached: str | None = None

    def resolved(self, bounds: Bounds) -> bool:
        if self.broken is not None and self.broken <= bounds.lowest:
            return True
        if self.kept is not None and self.kept >= bounds.highest:
            return True
        if self.kept is None or self.broken is None:
            return False
        return self.broken - 1 <= bounds.narrow(self.kept)


def found(trials: Sequence[Trial]) -> Found:
    """All promises together: the one that breaks first decides."""
    names = dict.fromkeys(name for one in trials for name in one.margins)
    telling = {name: _telling(trials, name) for name in names}
    each = {name: _of_slo(those, name) for name, those in telling.items() if those}
    unreached = next((name for name, those in telling.items() if not those), None)
    if not each:
        return Found(sign=1 if unreached else 0, unreached=unreached)
    first = min(each, key=lambda name: _order(each[name]))
    kept = [one.kept for one in each.values()]
    broken = [one.broken for one in each.values() if one.broken is not None]
    everywhere = None if None in kept else min(k for k in kept if k is not None)
    lowest = min(broken, default=None)
    return Found(everywhere, lowest, each[first].crossing, first, each[first].sign, unreached)


def capacity(
    slos: Mapping[str, Slo], trials: Sequence[Trial], bounds: Bounds, unit: str, seconds: float
) -> Capacity:
    """
    The result of a search that may have come to its end or not.

    `high` is the highest level that may still be the capacity. Where the lowest level already
    breaks a promise, `level` is None and `high` below it.

    Args:
        unit: of a level, such as "users".
    """
    seen = found(trials)
    low, high = seen.kept, None if seen.broken is None else seen.broken - 1

    def result(level: int | None, why: str, *, above: bool = False) -> Capacity:
        return Capacity(
            level=level,
            low=low,
            high=None if above else high,
            above=above,
            slo=seen.slo if level is not None or _below(high, bounds) else None,
            seconds=seconds,
            why=f"{why}.",
        )

    if not trials:
        return result(None, "nothing was measured")
    if seen.unreached:
        most = max(trials, key=lambda one: one.rate)
        return Capacity(
            level=None,
            slo=seen.unreached,
            seconds=seconds,
            why=f"no level reaches {slos[seen.unreached].text!r}: "
            f"the most was {rate(most.rate)}, at {most.level:,} {unit}.",
        )
    if _below(high, bounds):
        return result(
            None, f"{_told(trials, seen, bounds.lowest, unit)}: even the lowest breaks {seen.slo}"
        )
    if low is None:
        return result(None, f"no level was shown to keep {_all(slos)}{_unresolved(trials)}")
    if high is None and low >= bounds.highest:
        return result(
            low, f"the highest level allowed, {low:,} {unit}, keeps {_all(slos)}", above=True
        )
    level = low if seen.crossing is None else max(math.floor(seen.crossing), low)
    if high is not None:
        level = min(level, high)
    if high is None:
        return result(level, f"{low:,} {unit} keep {_all(slos)}; no level was shown to break one")
    told = _told(trials, seen, high + 1, unit)
    late = "" if seen.resolved(bounds) else "; the time was over before the border was narrowed"
    return result(level, f"{low:,} {unit} keep {_all(slos)}, {told}{_both_ways(trials)}{late}")


def undecided(result: Capacity, bounds: Bounds) -> bool:
    """Whether the search ended before it was done: its answer is wider than was asked."""
    if result.above or breaks_everywhere(result):
        return False
    if result.low is None or result.high is None:
        return True
    return result.high > bounds.narrow(round(result.low))


def breaks_everywhere(result: Capacity) -> bool:
    """Whether it was shown that no level that was allowed keeps every promise."""
    return result.level is None and result.slo is not None


# One promise


def _telling(trials: Sequence[Trial], name: str) -> list[Trial]:
    """
    The trials that tell of the border. Too low a throughput tells nothing of it up to the level at
    which there was the most: more users may bring more.
    """
    those = [one for one in trials if name in one.margins]
    if not those or name not in those[0].rising:
        return those
    most = max(those, key=lambda one: one.rate).level
    return [one for one in those if one.level > most or one.margins[name].value > 0]


def _of_slo(trials: Sequence[Trial], name: str) -> Found:
    levels, means, errors = _by_level(trials, name)
    kept_at = [i for i in range(len(levels)) if _bound(means, errors, range(i, len(levels))) > 0]
    broken_at = [
        i for i in range(len(levels)) if _bound([-m for m in means], errors, range(i, -1, -1)) > 0
    ]
    kept = levels[kept_at[-1]] if kept_at else None
    # Where both were shown, by chance or since the service remembers, neither is believed there.
    if kept_at and broken_at and broken_at[0] <= kept_at[-1]:
        below = [i for i in kept_at if i < broken_at[0]]
        above = [i for i in broken_at if i > kept_at[-1]]
        kept = levels[below[-1]] if below else None
        broken = levels[above[0]] if above else None
    else:
        broken = levels[broken_at[0]] if broken_at else None
    crossing, sign = _crossing(levels, means, errors)
    return Found(kept, broken, crossing, name, sign)


def _by_level(trials: Sequence[Trial], name: str) -> tuple[list[int], list[float], list[float]]:
    """
    The levels, rising; the margin of each, weighted by precision; its standard error.

    Errors grow by the Birge ratio where repeats disagree more than they say, up to NOISIEST times:
    a service that remembers its overload disagrees with itself near the border and nowhere else.
    """
    groups: dict[int, list[Margin]] = {}
    for one in trials:
        groups.setdefault(one.level, []).append(one.margins[name])
    levels = sorted(groups)
    means = [_mean(groups[level])[0] for level in levels]
    squares = sum(
        ((one.value - mean) / one.error) ** 2
        for level, mean in zip(levels, means, strict=True)
        for one in groups[level]
    )
    freedom = sum(len(group) - 1 for group in groups.values())
    # As if four more repeats had agreed: two that differ by chance are no evidence of noise.
    grown = min(math.sqrt(max((squares + 4) / (freedom + 4), 1.0)), NOISIEST)
    return levels, means, [grown * _mean(groups[level])[1] for level in levels]


def _mean(margins: Sequence[Margin]) -> tuple[float, float]:
    weights = [1 / one.error**2 for one in margins]
    total = sum(weights)
    value = sum(w * one.value for w, one in zip(weights, margins, strict=True)) / total
    return value, 1 / math.sqrt(total)


def _bound(means: Sequence[float], errors: Sequence[float], order: range) -> float:
    """The best lower bound for the first of `order` from means over it and those that follow."""
    weights = [1 / errors[i] ** 2 for i in order]
    sums = accumulate(w * means[i] for w, i in zip(weights, order, strict=True))
    totals = accumulate(weights)
    return max(s / t - SURE / math.sqrt(t) for s, t in zip(sums, totals, strict=True))


def _crossing(
    levels: Sequence[int], means: Sequence[float], errors: Sequence[float]
) -> tuple[float | None, int]:
    """Where the falling margins (isotonic regression) pass zero, on a log scale of levels."""
    fitted = _falling(means, [1 / error**2 for error in errors])
    if fitted[0] <= 0:
        return None, -1
    if fitted[-1] > 0:
        return None, 1
    for (low, above), (high, below) in pairwise(zip(levels, fitted, strict=True)):
        if above > 0 >= below:
            part = above / (above - below)
            return low * (high / low) ** part, 0
    raise AssertionError("a fall from above zero to below it passes zero")


def _falling(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Isotonic regression by pooling adjacent violators (Ayer et al., 1955)."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    for value, weight in zip(values, weights, strict=True):
        mean, count = value, 1
        while blocks and blocks[-1][0] <= mean:
            before, other, more = blocks.pop()
            mean = (before * other + mean * weight) / (other + weight)
            weight, count = weight + other, count + more
        blocks.append((mean, weight, count))
    return [mean for mean, _, count in blocks for _ in range(count)]


def _order(one: Found) -> float:
    """Promises in the order in which they break."""
    if one.crossing is not None:
        return one.crossing
    return -math.inf if one.sign < 0 else math.inf


# One stage


def _margin(
    slo: Slo, point: Point, slow: Mapping[str, Estimate | None]
) -> tuple[Margin, str] | None:
    match slo.metric:
        case "errors":
            return _errors(slo, point)
        case "throughput":
            seen = point.throughput
            margin = _log(slo.threshold, seen, at_most=False)
            return margin, f"throughput {rate(seen.value)}"
        case "mean":
            estimate = point.response_time.get("mean")
            failing = point.errors.rate > 0  # no mean is slow enough for them
        case quantile:
            estimate, failing = slow.get(quantile), False
    if point.model == "open" and point.steady == "over-saturated":
        return Margin(-FARTHEST, BETWEEN), f"{slo.metric} grows to the end"
    if failing or (estimate is not None and math.isinf(estimate.value) and _never(estimate)):
        told = f"{percent(point.errors.rate)} of the requests fail, which counts as too slow"
        return Margin(-FARTHEST, BETWEEN), told
    if estimate is None:
        return None
    told = f"{slo.metric} {'too slow' if math.isinf(estimate.value) else duration(estimate.value)}"
    return _log(slo.threshold, estimate, at_most=True), told


def _never(estimate: Estimate) -> bool:
    return estimate.low is not None and math.isinf(estimate.low)


def _log(threshold: float, seen: Estimate, *, at_most: bool) -> Margin:
    """The margin of a positive quantity; its error from the end that is nearer to the threshold."""

    def margin(value: float | None) -> float | None:
        if value is None:
            return None
        way = 1 if at_most else -1
        if value <= 0 or math.isinf(value):
            return way * (FARTHEST if value <= 0 else -FARTHEST)
        return min(max(way * math.log(threshold / value), -FARTHEST), FARTHEST)

    value = margin(seen.value)
    assert value is not None
    ends = [end for end in (margin(seen.low), margin(seen.high)) if end is not None]
    near = [end for end in ends if (end - value) * value < 0 or value == 0]
    if abs(value) == FARTHEST and any(end == value for end in ends):
        near = near or [value]
    error = max((abs(end - value) for end in near), default=2 * FARTHEST) / _DEVIATIONS
    return Margin(value, math.hypot(error, BETWEEN))


def _errors(slo: Slo, point: Point) -> tuple[Margin, str] | None:
    """
    The margin of a share, on the arcsine scale that makes its error the same everywhere.

    A stage without a single failure keeps every share: a thousand requests cannot prove one in ten
    thousand, and the search would never end.
    """
    if not point.requests:
        return None
    share, error = point.errors.rate, 1 / math.sqrt(point.requests)
    margin = 2 * (math.asin(math.sqrt(slo.threshold)) - math.asin(math.sqrt(share)))
    if not share:
        margin = max(margin, 2 * SURE * error)
    told = f"{percent(share)} of {point.requests:,} requests failed"
    return Margin(margin, math.hypot(error, BETWEEN)), told


# Words


def _told(trials: Sequence[Trial], seen: Found, level: int, unit: str) -> str:
    """E.g. "46 users break checkout-p95 (p95 212 ms)"."""
    levels = sorted({one.level for one in trials})
    at = levels[min(bisect_left(levels, level), len(levels) - 1)]
    broke = [
        (one.margins[name].value, name, one.seen[name])
        for one in trials
        if one.level == at
        for name in one.margins
    ]
    if not broke:
        return f"{at:,} {unit} break {seen.slo}"
    _, name, told = min(broke)
    return f"{at:,} {unit} break {name} ({told})"


def _both_ways(trials: Sequence[Trial]) -> str:
    """Says it when a level answers differently after a higher one than after a lower one."""
    ways: dict[tuple[int, str], dict[bool, list[Margin]]] = {}
    for before, one in pairwise(trials):
        if before.level != one.level:
            for name, margin in one.margins.items():
                came = ways.setdefault((one.level, name), {True: [], False: []})
                came[before.level > one.level].append(margin)
    for (level, name), came in ways.items():
        if came[True] and came[False]:
            (down, e), (up, f) = _mean(came[True]), _mean(came[False])
            if down * up < 0 and abs(down - up) > SURE * math.hypot(e, f):
                kept = "from below, not from above" if up > 0 else "from above, not from below"
                return f"; {level:,} keeps {name} when it is reached {kept}"
    return ""


def _all(slos: Mapping[str, Slo]) -> str:
    return " and ".join(slos) if len(slos) < 3 else "every SLO"


def _unresolved(trials: Sequence[Trial]) -> str:
    if not any(one.margins for one in trials):
        return ": no stage was long enough, or valid, to tell"
    return " beyond doubt"


def _below(high: int | None, bounds: Bounds) -> bool:
    return high is not None and high < bounds.lowest
