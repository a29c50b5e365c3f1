"""Where the time of responses went: of the mean one, and of those at a quantile.

Some requests are traced, by a chance that follows the rate of the load. In each quarter second it
is the same for all, so there the traced ones stand for all that succeeded: they are weighted by how
many these were. Intervals are those of a jackknife over stretches of the window (Wolter,
Introduction to Variance Estimation, 2nd ed., ch. 4).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from loadtests.analysis.light_scipy import special
from loadtests.analysis.numbers import duration, percent
from loadtests.recording.histograms import Histogram, merged
from loadtests.recording.phases import NAMES, PER_DOUBLING, Bin, PhaseSums
from loadtests.results import QUANTILES, Estimate, Traced

Numbers = NDArray[np.float64]

REST = "rest"
"""What no phase accounts for: the way back to the client, and the client itself."""
SHOWN = ("p50", "p95")
_ALL = (*NAMES, REST)
ENOUGH = 30  # traced responses, unless nearly all are
NEARLY_ALL = 0.9  # of the responses
_AROUND, _AROUND_SHARE = 30, 0.02  # responses averaged at a quantile, or a part of all traced
_LEAST_AROUND = 10  # of them, unless nearly all responses are traced
FARTHEST = 1.5  # times the quantile, and the quantile over the shortest of them
_STEPS = 32  # in which they are looked for
# Seconds, or a part of the mean time: how much longer than it the phases may be, and how much of
# it may stay without a phase.
_OVER, _OVER_SHARE = 0.001, 0.02
_LOST, _LOST_SHARE = 0.005, 0.2
_STRETCHES = 10  # of the jackknife
_FEWEST = 4  # of these for an interval
CHANGED = 0.02  # of the time: what tracing must not add


@dataclass(frozen=True, slots=True)
class Spent:
    """
    Seconds by phase, of the "mean" response and of those at "p50" and "p95".

    `intervals` has the same keys, as far as intervals are known. `problem` is what is wrong, in
    words. `traced` compares the traced requests with the others.
    """

    phases: Mapping[str, dict[str, float]] = field(default_factory=dict)
    intervals: Mapping[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    problem: str | None = None
    traced: Traced | None = None


def spent(succeeded: Sequence[Histogram], traced: Sequence[PhaseSums]) -> Spent:
    """
    Where the time of one kind of request went, at one level.

    The phases add up to the mean service time of the responses that they were taken from: REST
    completes it; where the phases are longer than the time, by no more than clocks explain, they
    are scaled. At a quantile of all responses these are the _AROUND traced ones whose times are
    nearest to it, or _AROUND_SHARE of all traced where that is more; fewer where fewer are
    within FARTHEST. Of a bin that is near in part a part is taken, so the times are as coarse as
    the bins.

    Without phases, and nothing is wrong, where no request is traced. Without phases, and with the
    problem in words, where too few are, or what the service tells is not their time.

    Args:
        succeeded: service times of all successes of each quarter second, in order.
        traced: sums of the traced ones among them, of the same parts.
    """
    counts = np.array([one.count for one in succeeded], dtype=float)
    sums = [list(one.bins()) for one in traced]
    found = np.array([sum(one.count for one in bins) for bins in sums], dtype=float)
    count, responses = int(found.sum()), int(counts.sum())
    if not count:
        return Spent()
    compared = _compared(succeeded, counts, sums, found)
    nearly_all = count >= NEARLY_ALL * responses
    if count < ENOUGH and not nearly_all:
        few = f"{count:,} of {responses:,} responses were traced, and {ENOUGH} are needed"
        return Spent(problem=f"phases unknown: {few}", traced=compared)
    stretches, lows = _weighted(counts, sums, found)
    whole = stretches.sum(axis=0)
    seconds, parts = _means(whole)
    rest = seconds - parts.sum()
    if rest < -max(_OVER, _OVER_SHARE * seconds):
        told = f"those told are {duration(-rest)} longer than the mean response"
        return Spent(problem=f"phases unknown: {told} of {duration(seconds)}", traced=compared)
    if rest > max(_LOST, _LOST_SHARE * seconds):
        told = f"{duration(rest)} of the mean {duration(seconds)}"
        told = f"the service does not account for {told}"
        return Spent(problem=f"phases unknown: {told}", traced=compared)
    ways: dict[str, Callable[[Numbers], Numbers]] = {"mean": _of_mean}
    times = merged(succeeded)
    for name in SHOWN:
        value = times.quantile(QUANTILES[name])
        shares = _near(whole, lows, value)
        near = float(shares @ whole[:, 0])
        if near >= _LEAST_AROUND or (nearly_all and near > 0):
            ways[name] = partial(_around, shares=shares, value=value)
    intervals = {name: _interval(stretches, way) for name, way in ways.items()}
    return Spent(
        phases={name: dict(zip(_ALL, way(whole).tolist(), strict=True))
                for name, way in ways.items()},
        intervals={name: {one: (max(low, 0.0), high)
                          for one, (low, high) in zip(_ALL, ends, strict=True)}
                   for name, ends in intervals.items() if ends},
        traced=compared,
    )  # fmt: skip


def difference(traced: Traced) -> str | None:
    """A sentence if traced requests take another time than the others; None: they do not."""
    low, high = traced.difference.low, traced.difference.high
    if low is None or high is None or (low <= CHANGED and high >= -CHANGED):
        return None
    value, longer = traced.difference.value, low > CHANGED
    low, high = sorted((abs(low), abs(high)))
    return (
        f"traced requests take {percent(abs(value))} {'longer' if longer else 'less'} than the "
        f"others ({percent(low)} to {percent(high)})"
    )


def _weighted(
    counts: Numbers, sums: Sequence[Sequence[Bin]], found: Numbers
) -> tuple[Numbers, Numbers]:
    """
    Count, seconds and seconds by phase of each stretch and bin; and the bins' low edges.

    Weighted so that each quarter second has its part of all responses, and their sum is the number
    of those that are traced.
    """
    edges = sorted({one.low for bins in sums for one in bins})
    at = {low: place for place, low in enumerate(edges)}
    present = [place for place, count in enumerate(found) if count]
    scale = found.sum() / counts[present].sum() if counts[present].sum() else 1.0
    number = min(_STRETCHES, len(present))
    stretches = np.zeros((number, len(edges), 2 + len(NAMES)))
    for order, place in enumerate(present):
        weight = scale * max(counts[place], found[place]) / found[place]
        stretch = stretches[order * number // len(present)]
        for one in sums[place]:
            stretch[at[one.low]] += weight * np.array([one.count, one.total, *one.phases])
    return stretches, np.array(edges)


def _means(sums: Numbers) -> tuple[float, Numbers]:
    """The mean time, and the mean of each phase."""
    count, seconds, *parts = sums.sum(axis=0)
    return seconds / count, np.array(parts) / count


def _of_mean(sums: Numbers) -> Numbers:
    """The phases of the mean response, and REST."""
    return _completed(*_means(sums))


def _near(sums: Numbers, lows: Numbers, value: float) -> Numbers:
    """
    Which part of each bin lies so near to a time that the wanted number of responses does.

    Times are as near as their ratio says: a rank would take the slowest of all with those at p95.
    """
    counts = sums[:, 0]
    wanted = max(_AROUND, _AROUND_SHARE * float(counts.sum()))
    width = math.log(2) / PER_DOUBLING
    edges = np.log(lows) - math.log(value)
    shares = np.zeros(len(lows))
    for step in range(1, _STEPS + 1):
        reach = math.log(FARTHEST) * step / _STEPS
        inside = np.minimum(edges + width, reach) - np.maximum(edges, -reach)
        shares = np.clip(inside / width, 0.0, 1.0)
        if float(shares @ counts) >= wanted:
            break
    return shares


def _around(sums: Numbers, shares: Numbers, value: float) -> Numbers:
    """
    The phases of a response that takes as long as `value`, and REST.

    There are more responses a little faster than a slow one than slower ones. So the mean of those
    below and that of those above are weighted to take that time together.
    """
    near = shares[:, None] * sums
    below = near[:, 1] <= value * near[:, 0]
    sides = [near[below], near[~below]]
    if any(side[:, 0].sum() <= 0 for side in sides):
        return _of_mean(near)
    (fast, fast_parts), (slow, slow_parts) = map(_means, sides)
    part = (slow - value) / (slow - fast)
    return _completed(value, part * fast_parts + (1 - part) * slow_parts)


def _completed(seconds: float, parts: Numbers) -> Numbers:
    """The phases and REST, which add up to `seconds`."""
    told = float(parts.sum())
    scale = min(seconds / told, 1.0) if told else 1.0
    return np.append(parts * scale, max(seconds - told, 0.0))


def _interval(
    stretches: Numbers, of: Callable[[Numbers], Numbers]
) -> list[tuple[float, float]] | None:
    """The interval of each value that `of` gives; None with too few stretches."""
    number = len(stretches)
    if number < _FEWEST:
        return None
    whole = stretches.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        without = np.array([of(whole - one) for one in stretches])
    if not np.isfinite(without).all():  # all are in one stretch
        return None
    spread = ((without - without.mean(axis=0)) ** 2).sum(axis=0) * (number - 1) / number
    half = special.stdtrit(number - 1, 0.975) * np.sqrt(spread)
    values = of(whole)
    return list(zip((values - half).tolist(), (values + half).tolist(), strict=True))


def _compared(
    succeeded: Sequence[Histogram],
    counts: Numbers,
    sums: Sequence[Sequence[Bin]],
    found: Numbers,
) -> Traced | None:
    """
    The traced requests and the others, quarter second by quarter second.

    None where too few are of one kind, or nothing is known of an interval.
    """
    both = [place for place, count in enumerate(counts) if 0 < found[place] < count]
    traced, others = found[both], (counts - found)[both]
    if traced.sum() < ENOUGH or others.sum() < ENOUGH:
        return None
    seconds = np.array([math.fsum(one.total for one in sums[place]) for place in both])
    left = np.array([succeeded[place].total() for place in both]) - seconds
    weights = traced * others / (traced + others)
    rows = np.stack([weights * seconds / traced, weights * left / others], axis=1)
    number = min(_STRETCHES, len(both))
    stretches = np.zeros((number, 2))
    for order, row in enumerate(rows):
        stretches[order * number // len(rows)] += row

    def change(sums: Numbers) -> Numbers:
        return np.array([sums[0] / sums[1] - 1])

    whole = stretches.sum(axis=0)
    if whole[1] <= 0:
        return None
    ends = _interval(stretches, change)
    low, high = ends[0] if ends else (None, None)
    return Traced(
        requests=int(found.sum()),
        time=float(whole[0] / weights.sum()),
        others=float(whole[1] / weights.sum()),
        difference=Estimate(value=float(change(whole)[0]), low=low, high=high),
    )
