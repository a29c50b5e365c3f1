"""95 % intervals for what a window says, though its requests depend on each other.

Requests of a closed system are not independent: a request that waits, waits with all the others. So
an error is never taken from single requests but from the window's pieces in their order, by one
method for means, rates and quantiles (`dependence`). Assumed throughout: the window is steady.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise

import numpy as np

from loadtests.analysis.light_scipy import special
from loadtests.analysis.stats.autocorrelation import Series, half_width, student
from loadtests.analysis.stats.sample_size import TAIL, enough
from loadtests.recording.histograms import RESOLUTION, Histogram, merged
from loadtests.results import Estimate

_NORMAL = float(special.ndtri(1 - TAIL))
_LEAST_EFFECT = 0.3  # fewer requests than there are never count for more than three times as many
AMPLE = 10  # times as many requests as independent ones would take: their extremes are bounds
_LONG_FELT = 1.3
"""
Times the error of independent pieces: a mean time that is so uncertain is that of long queues. A
high quantile lies in the few longest ones, which show their own dependence too late.
"""
_QUEUES_SKEW = 2.5
"""
Skewness of what stretches of a queue that forget each other say of a high quantile; the sums of
exponential times have 2. It is too rarely seen in a window to be estimated from it.
"""
_FARTHEST = 3.3  # standard errors to which such an interval reaches at most
_SKEWED = 0.5  # of the skewness that is seen in a few stretches is believed
_STRETCHES = 10  # in which skewness is looked for


def order_statistics(count: float, q: float, bend: float = 0.0) -> tuple[float, float]:
    """
    The ranks (from 1) between which the q-quantile of independent values lies at 95 %.

    How many of `count` values are below the true quantile is binomial, whatever the distribution
    (Conover, Practical Nonparametric Statistics, confidence intervals for quantiles). Ranks between
    whole ones are meant for interpolation, which makes the coverage nearly exact (Beran and Hall,
    Interpolated nonparametric prediction intervals and confidence intervals, JRSS B 1993). They are
    below 1 or above `count` where there is no such value.

    Args:
        bend: how much further up than down the interval reaches; see `_bent`.
    """
    low, high = _bent(_NORMAL, bend), _bent(-_NORMAL, bend)
    return (
        _rank(count, q, float(special.ndtr(low))),
        _rank(count, q, float(special.ndtr(max(high, -_FARTHEST)))),
    )


@lru_cache(maxsize=4096)
def _rank(count: float, q: float, wanted: float) -> float:
    """The rank below or at which the quantile lies with probability `wanted`."""
    low, high = 0.0, count + 1
    for _ in range(40):
        rank = (low + high) / 2
        if special.betainc(max(rank, 1e-9), max(count - rank + 1, 1e-9), q) > wanted:
            low = rank
        else:
            high = rank
    return low


def proportion(successes: float, trials: float, tail: float) -> tuple[float, float]:
    """
    The exact interval of a probability (Clopper and Pearson 1934), `tail` left out on each side.

    The counts may be effective sizes, which are not whole (Korn and Graubard 1998).

    Raises:
        ValueError: there was no trial, or there were fewer than successes.
    """
    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    failures = trials - successes
    low = float(special.betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return low, high


def effective_size(
    counted: Sequence[float],
    sizes: Sequence[float],
    parts: Sequence[int] | None = None,
    related: Sequence[float] | None = None,
) -> float:
    """
    The number of independent requests that tell as much of a share as these requests do.

    Failures come in bursts, and slow answers in queues: the error of a share is then larger than
    that of independent requests, and the effective size is smaller in the square of that (Korn and
    Graubard, Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data, Survey Methodology 1998). It never exceeds the number of requests.
    That is also what it is where no request, or every one, is counted: such requests do not show
    whether they depend on each other.

    Args:
        counted: how many requests of each piece are counted, in the order of the pieces.
        sizes: how many requests each piece has.
        parts, related: as in `ratio_error`.
    """
    total = math.fsum(sizes)
    if total <= 0:
        return 0.0
    value = math.fsum(counted) / total
    half = ratio_error(counted, sizes, parts, related)
    if not half:
        return total
    worth = min(total, value * (1 - value) / (half / _NORMAL) ** 2)
    if related is not None:
        return worth
    # All in a single burst is the worst that there is: a single failure is not a burst.
    fewer = min(math.fsum(counted), total - math.fsum(counted))
    return max(worth, total / max(fewer, 1.0))


def share(
    counted: Sequence[float],
    sizes: Sequence[float],
    parts: Sequence[int] | None = None,
    tail: float = TAIL,
) -> Estimate:
    """
    The share of requests that are counted, such as failures, with the interval of its probability.

    The interval is the exact one of `effective_size` independent requests. Arguments as there;
    `tail` is left out on each side.

    Raises:
        ValueError: there are no requests.
    """
    total = math.fsum(sizes)
    if total <= 0:
        raise ValueError("there are no requests, so nothing is a share of them")
    value = math.fsum(counted) / total
    worth = effective_size(counted, sizes, parts)
    low, high = proportion(value * worth, worth, tail)
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def ratio_error(
    numerators: Sequence[float],
    denominators: Sequence[float],
    parts: Sequence[int] | None = None,
    related: Sequence[float] | None = None,
    *,
    between: bool = True,
) -> float | None:
    """
    Half the width of the interval of sum(numerators) / sum(denominators), over pieces in order.

    The ratio estimator of survey sampling (Cochran, Sampling Techniques, ch. 6) on a dependent
    series. None with too few pieces, or too few that do not depend on each other.

    Args:
        parts: how many pieces each window has; all are of one window when it is not given.
        related: other numerators, whose pieces depend on each other for as long.
        between: whether what one window differs from another by counts.
    """
    total = math.fsum(denominators)
    if total <= 0:
        return None
    ratio = math.fsum(numerators) / total
    others: list[Series] = []
    if related is not None:
        average = math.fsum(related) / total
        others = _series(_residuals(related, denominators, average), parts)
    residuals = _series(_residuals(numerators, denominators, ratio), parts)
    half = half_width(residuals, others, between=between)
    return None if half is None else half / total


def ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    parts: Sequence[int] | None = None,
) -> Estimate:
    """sum(numerators) / sum(denominators) with its interval, never below zero."""
    value = math.fsum(numerators) / math.fsum(denominators)
    half = ratio_error(numerators, denominators, parts)
    if half is None:
        return Estimate(value=value)
    return Estimate(value=value, low=max(value - half, 0.0), high=value + half)


def mean(
    totals: Sequence[float], counts: Sequence[float], parts: Sequence[int] | None = None
) -> Estimate:
    """
    The mean of positive values, with an interval that reaches farther up where they are skewed.

    A window without one of the rare long queues gives both too low a mean and too small an error.
    So the interval is symmetric on the log scale, and widened upwards by Johnson's skewness term
    (Willink, A confidence interval and test for the mean of an asymmetric distribution, 2005; used
    so by Tafazzoli and Wilson, Skart, IIE Transactions 2011).
    """
    value = math.fsum(totals) / math.fsum(counts)
    half = ratio_error(totals, counts, parts)
    if half is None or value <= 0 or sum(count > 0 for count in counts) < 2:
        return Estimate(value=value)
    half = max(half, RESOLUTION * value)
    residuals = _series(_residuals(totals, counts, value), parts)
    error = half / _NORMAL / value
    bend = _SKEWED * _skewness(residuals) / (6 * math.sqrt(_STRETCHES))

    low, high = -_bent(_NORMAL, bend) * error, -_bent(-_NORMAL, bend) * error
    if high > math.log(10):  # ten times the mean: it says nothing
        return Estimate(value=value)
    return Estimate(value=value, low=value * math.exp(low), high=value * math.exp(high))


@dataclass(frozen=True)
class Times:
    """
    Response times of pieces in order, of which quantiles are asked.

    Attributes:
        batches: one histogram for each piece.
        failures: how many more requests of each piece failed. They count as infinitely slow, and a
            quantile may be math.inf.
        parts: how many pieces each window has; all are of one window when it is not given.
    """

    batches: Sequence[Histogram]
    failures: Sequence[int] | None = None
    parts: Sequence[int] | None = None

    def quantile(self, q: float) -> Estimate | None:
        """
        The q-quantile of all pieces together; None when there are not `enough` requests.

        The interval is that of the order statistics of as many independent requests as these are
        worth: the share of requests up to the quantile is a mean, whose error over the pieces is so
        many times that of independent requests (the effective sample size of Korn and Graubard,
        Survey Methodology 1998; the share instead of the quantile: Woodruff, JASA 1952). A side
        that these do not reach is None; when there are AMPLE times as many requests as independent
        ones would take, it is the smallest or the largest request.

        A window without one of the rare long queues shows both too low a quantile and too short a
        dependence. So the interval reaches further up, by as much as the stretches that forget each
        other are few (Johnson's skewness term, as in `mean`), where requests depend on each other.

        Several windows also have a quantile each. Where all of them do, the interval holds that of
        Student's t for the logs of these, around their own mean: that of all requests is mostly the
        quantile of the slowest window. Where one has too few requests, what the shares differ by
        counts instead.
        """
        count = self._count
        if not enough(count, q):
            return None
        value = self._at(math.ceil(round(q * count, 9)))
        within = [
            batch.count if math.isinf(value) else batch.up_to(value) for batch in self.batches
        ]
        each = self._of_each_window(q)
        # Few requests are beyond a high quantile, too few to show for how long one queue is felt;
        # how long all of them took shows it.
        half = ratio_error(within, self._sizes, self.parts, self._totals, between=each is None)
        if half is None:
            ranks = 0.0, count + 1.0
        else:
            if self._felt > _LONG_FELT:
                half = max(half, self._felt * _independent(within, self._sizes))
            effect = (half / _NORMAL) ** 2 * count / (q * (1 - q))
            worth = count / max(effect, _LEAST_EFFECT)
            skewed = max(0.0, 1 - 1 / effect) if effect else 0.0
            bend = _QUEUES_SKEW * skewed * self._felt / (6 * math.sqrt(len(self.batches)))
            low, high = order_statistics(round(worth, 2), q, bend)
            ranks = low * (count + 1) / (worth + 1), high * (count + 1) / (worth + 1)
        low_end = self._between(min(ranks[0], q * count), q)
        high_end = self._between(max(ranks[1], q * count), q)
        least, most = _students(each) if each else (value, value)
        return Estimate(
            value=value,
            low=None if low_end is None else min(low_end, least, value * (1 - RESOLUTION)),
            high=None if high_end is None else max(high_end, most, value * (1 + RESOLUTION)),
        )

    def _at(self, rank: int) -> float:
        place = bisect_left(self._reached, rank)
        return self._recorded[place][0] if place < len(self._reached) else math.inf

    def _between(self, rank: float, q: float) -> float | None:
        count = self._count
        if not 1 <= rank <= count:
            extreme = min(max(1, round(rank)), count)
            return self._at(extreme) if enough(count // AMPLE, q) else None
        low, high = self._at(math.floor(rank)), self._at(math.ceil(rank))
        return low if low == high else low + (high - low) * (rank - math.floor(rank))

    def _of_each_window(self, q: float) -> list[float] | None:
        """The q-quantile of each window; None for a single one, or where one of them has none."""
        if len(self._windows) < 2:
            return None
        found = []
        for whole, lost in self._windows:
            count = whole.count + lost
            rank = math.ceil(round(q * count, 9))
            if not enough(count, q) or rank > whole.count:
                return None
            found.append(whole.at_rank(rank))
        return found if min(found) > 0 else None

    @cached_property
    def _windows(self) -> list[tuple[Histogram, int]]:
        """All times of each window that has a piece, and its failures."""
        edges = [0, *accumulate(self.parts or [len(self.batches)])]
        return [
            (merged(self.batches[start:end]), sum(self._failed[start:end]))
            for start, end in pairwise(edges)
            if end > start
        ]

    @cached_property
    def _recorded(self) -> list[tuple[float, int]]:
        return merged(whole for whole, _ in self._windows).recorded()

    @cached_property
    def _reached(self) -> list[int]:
        """How many requests took as long as each of these, or less."""
        return list(accumulate(number for _, number in self._recorded))

    @cached_property
    def _failed(self) -> Sequence[int]:
        return self.failures or [0] * len(self.batches)

    @cached_property
    def _sizes(self) -> list[int]:
        return [batch.count + lost for batch, lost in zip(self.batches, self._failed, strict=True)]

    @cached_property
    def _count(self) -> int:
        return sum(self._sizes)

    @cached_property
    def _totals(self) -> list[float]:
        return [batch.total() for batch in self.batches]

    @cached_property
    def _felt(self) -> float:
        """How many times the error of the mean is that of pieces that do not depend on others."""
        counts = [batch.count for batch in self.batches]
        alone = _independent(self._totals, counts)
        half = ratio_error(self._totals, counts, self.parts, between=False) if alone else None
        return half / alone if half else 1.0


def quantile(
    batches: Sequence[Histogram],
    q: float,
    failures: Sequence[int] | None = None,
    parts: Sequence[int] | None = None,
) -> Estimate | None:
    """A single quantile of `Times`."""
    return Times(batches, failures, parts).quantile(q)


def _bent(z: float, bend: float) -> float:
    """The normal deviate z after Johnson's transformation; z itself where nothing is skewed."""
    if bend < 1e-3:
        return z
    return (math.cbrt(1 + 6 * bend * (z - bend)) - 1) / (2 * bend)


def _independent(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """`ratio_error` of pieces that do not depend on each other."""
    total = math.fsum(denominators)
    if total <= 0:
        return 0.0
    left = _residuals(numerators, denominators, math.fsum(numerators) / total)
    return _NORMAL * float(np.linalg.norm(left)) / total


def _students(values: Sequence[float]) -> tuple[float, float]:
    """Student's interval of the geometric mean of some positive values."""
    logs = np.log(np.array(values))
    half = student(len(logs)) * float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    return math.exp(float(logs.mean()) - half), math.exp(float(logs.mean()) + half)


def _residuals(numerators: Sequence[float], denominators: Sequence[float], ratio: float) -> Series:
    return np.array(numerators, dtype=float) - ratio * np.array(denominators, dtype=float)


def _series(residuals: Series, parts: Sequence[int] | None) -> list[Series]:
    edges = [0, *accumulate(parts if parts is not None else [len(residuals)])]
    return [residuals[start:end] for start, end in pairwise(edges) if end > start]


def _skewness(series: Sequence[Series]) -> float:
    """The skewness of the sums over some _STRETCHES stretches; not below zero."""
    each = max(_STRETCHES // len(series), 3)
    sums = np.array([part.sum() for one in series for part in np.array_split(one, each)])
    off = sums - sums.mean()
    spread = float((off**2).mean())
    count = len(sums)
    if count < 3 or spread <= 0:
        return 0.0
    bias = math.sqrt(count * (count - 1)) / (count - 2)
    return max(float((off**3).mean()) / float(spread**1.5) * bias, 0.0)
