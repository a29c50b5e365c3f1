"""95 % intervals for what a window says, though its requests depend on each other.

Requests of a closed system are not independent: whoever waits, waits with all the others. So the
spread is never taken from single requests alone but from *batches*, stretches of the window that
are long enough to be nearly independent of each other (the method of batch means: Law, Simulation
Modeling and Analysis, ch. 9; Student's t for few batches). Assumed throughout: the window is
steady, and batches forget each other. Where they do not, the intervals are too narrow.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

from scipy import stats

from loadtests.histograms import Histogram
from loadtests.results import Estimate

CONFIDENCE = 0.95
_TAIL = (1 - CONFIDENCE) / 2
LEAST_BATCHES = 4  # with fewer, Student's t is wider than what it is put around


def enough(count: int, q: float) -> bool:
    """
    Whether `count` requests bound their q-quantile from both sides at 95 %: 6 for the median, 72
    for p95, 368 for p99. With fewer, the smallest or the largest value is no bound.
    """
    return max(q, 1 - q) ** count <= _TAIL


def order_statistics(count: int, q: float) -> tuple[int, int]:
    """
    The ranks (from 1) between which the q-quantile of independent values lies at 95 % or more.

    How many of `count` values are below the true quantile is binomial, whatever the distribution
    (Conover, Practical Nonparametric Statistics, confidence intervals for quantiles). The ranks are
    0 or count + 1 where there is no such value.
    """
    below = stats.binom(count, q)
    return int(below.ppf(_TAIL)), int(below.ppf(1 - _TAIL)) + 1


def ratio_error(numerators: Sequence[float], denominators: Sequence[float]) -> float | None:
    """
    Half the width of the interval of sum(numerators) / sum(denominators), over batches.

    The ratio estimator of survey sampling (Cochran, Sampling Techniques, ch. 6) with Student's t:
    batches may hold different numbers of requests. None with fewer than LEAST_BATCHES batches.
    """
    count, total = len(numerators), math.fsum(denominators)
    if count < LEAST_BATCHES or total <= 0:
        return None
    ratio = math.fsum(numerators) / total
    squares = math.fsum(
        (up - ratio * down) ** 2 for up, down in zip(numerators, denominators, strict=True)
    )
    return _t(count - 1) * math.sqrt(squares * count / (count - 1)) / total


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """sum(numerators) / sum(denominators) with its interval, never below zero."""
    value = math.fsum(numerators) / math.fsum(denominators)
    half = ratio_error(numerators, denominators)
    if half is None:
        return Estimate(value=value)
    return Estimate(value=value, low=max(value - half, 0.0), high=value + half)


def quantile(
    batches: Sequence[Histogram], q: float, failures: Sequence[int] | None = None
) -> Estimate | None:
    """
    The q-quantile of all batches together; None when there are not `enough` requests.

    The interval is the wider, on each side, of (a) the order statistics of independent requests and
    (b) the ranks at q -+ h, where h is the error of the share of requests up to the quantile, as a
    ratio over batches: that share is a mean, which a quantile of a few requests is not (Woodruff,
    Confidence intervals for medians and other position measures, JASA 1952). A side beyond the last
    request is None.

    Args:
        batches: response times, one histogram for each batch.
        failures: how many more requests of each batch failed. They count as infinitely slow, and
            the value may be math.inf.
    """
    failed = failures or [0] * len(batches)
    whole = Histogram()
    for batch in batches:
        whole.add(batch)
    count = whole.count + sum(failed)
    if not enough(count, q):
        return None

    def at(rank: int) -> float | None:
        if not 1 <= rank <= count:
            return None
        return whole.at_rank(rank) if rank <= whole.count else math.inf

    rank = math.ceil(round(q * count, 9))
    value = at(rank)
    assert value is not None
    low, high = order_statistics(count, q)
    within = [batch.count if math.isinf(value) else batch.up_to(value) for batch in batches]
    sizes = [batch.count + lost for batch, lost in zip(batches, failed, strict=True)]
    half = ratio_error(within, sizes)
    if half is not None:
        low = min(low, math.floor((q - half) * count))
        high = max(high, math.ceil((q + half) * count))
    return Estimate(value=value, low=at(low), high=at(high))


@lru_cache
def _t(freedom: int) -> float:
    return float(stats.t.ppf(1 - _TAIL, freedom))
