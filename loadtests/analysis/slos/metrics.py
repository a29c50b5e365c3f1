"""
One metric at one level, as an SLO looks at it: its interval, and whether that meets the SLO.

An SLO about a quantile is decided by the share of the requests that are beyond its threshold:
p95 is below 250 ms where fewer than 5 % take longer. The share is binomial on the effective size,
and has an interval where the quantile itself has none yet.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from loadtests.analysis import collapse
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.windows import Quarter
from loadtests.analysis.numbers import duration, load, percent, rate
from loadtests.analysis.points import slow_quantiles
from loadtests.analysis.short_windows import needed
from loadtests.analysis.stats import intervals
from loadtests.analysis.stats.intervals import proportion
from loadtests.analysis.stats.sample_size import TAIL
from loadtests.plans.slos import Slo
from loadtests.recording.histograms import merged
from loadtests.results import QUANTILES, Estimate, Knee, Point

_LUCK = 1.5  # times what would do if the next window showed the very same
LONGER = 4.0  # times as long halves an interval; for what tells nothing of how long it takes
MOST = 100.0  # times as long: beyond, the value is the threshold
AT_MOST = ("<", "<=")
_DELAYED = (1.2, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)  # times the mean delay
_BUCKET = 0.001  # more than a histogram's bucket is wide, as a part of the value


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of one deployment. `levels`: those of the plan."""

    deployment: str
    levels: Sequence[int]
    points: Mapping[int, Point]  # of all requests, by level
    records: Sequence[StageRecord]
    knee: Knee | None

    @property
    def model(self) -> str:
        return next((point.model for point in self.points.values()), "closed")

    def at(self, level: int) -> list[StageRecord]:
        return [record for record in self.records if record.stage.level == level]

    def measured(self, level: int | None) -> float:
        """The plan's `measure` at a level, or at the first; seconds."""
        of_level = (self.at(level) if level is not None else None) or self.records
        return max((record.stage.measure for record in of_level), default=0.0)


@dataclass(frozen=True, slots=True)
class Share:
    """
    The requests beyond a threshold, of which as many as `allowed` meet the SLO.

    `worth`: the number of independent requests that tell as much. `least`: how many of them are
    beyond it whatever disturbed them.
    """

    beyond: int
    requests: int
    worth: float
    allowed: float
    threshold: float  # seconds
    least: int

    @property
    def value(self) -> float:
        return self.beyond / self.requests

    @property
    def ends(self) -> tuple[float, float]:
        low, high = proportion(self.value * self.worth, self.worth, TAIL)
        if self.least < self.beyond:
            low, _ = proportion(self.least / self.requests * self.worth, self.worth, TAIL)
        return low, high

    def below(self) -> bool | None:
        """Whether the quantile is below the threshold; None when that is not known."""
        low, high = self.ends
        if high <= self.allowed:
            return True
        return False if low > self.allowed else None

    @property
    def counted(self) -> str:
        """E.g. "58 of 67 requests take longer than 500 ms, where 5 % may"."""
        return f"{of_them(self.beyond, self.requests)} {self._allowed}"

    @property
    def shown(self) -> str:
        """E.g. "6 % of 976 requests (4.4 % to 8.1 %) take longer than 150 ms, where 5 % may"."""
        low, high = map(percent, self.ends)
        told = f"{percent(self.value)} of {self.requests:,} requests ({low} to {high})"
        return f"{told} {self._allowed}"

    @property
    def _allowed(self) -> str:
        return f"take longer than {duration(self.threshold)}, where {percent(self.allowed)} may"


@dataclass(frozen=True, slots=True)
class SloMeasurement:
    """
    An interval with infinite ends where there is no bound; `why` is about the measurement.

    `share`: what decides in place of the interval. `longer`: the times as long that would probably
    decide it.
    """

    value: float
    low: float
    high: float
    why: str
    shown: bool = True  # the value is worth showing
    told: str = ""  # the value in words
    share: Share | None = None
    longer: float = LONGER


class Unresolved(Exception):
    """
    The message says what is missing.

    `valid`: False when nothing was measured, or not validly. `longer`: the times as long that would
    probably do; None when time does not help.
    """

    def __init__(self, why: str, *, valid: bool = True, longer: float | None = None) -> None:
        super().__init__(why)
        self.valid = valid
        self.longer = longer


def of_metric(
    slo: Slo,
    evidence: Evidence,
    point: Point,
    pieces: Sequence[Quarter],
    parts: Sequence[int],
    part: bool = False,
) -> SloMeasurement:
    """
    What these pieces show, which are all of the point, or a part of them.

    Raises:
        Unresolved: too little was measured.
    """
    where = f"at {at_level(point)}"
    match slo.metric:
        case "errors":
            failed = [piece.failed.count for piece in pieces]
            sizes = [piece.started for piece in pieces]
            worth = intervals.effective_size(failed, sizes, parts)
            return of_errors(slo, sum(failed), sum(sizes), worth, where)
        case "throughput":
            found = point.throughput
            if part:
                found = _between([piece.succeeded / piece.seconds for piece in pieces])
            return of_estimate(slo, found, f"throughput {where}", rate)
        case "mean":
            return _mean(slo, point, pieces, part)
        case quantile:
            return _quantile(slo, quantile, evidence, point, pieces, parts, part)


def _quantile(
    slo: Slo,
    name: str,
    evidence: Evidence,
    point: Point,
    pieces: Sequence[Quarter],
    parts: Sequence[int],
    part: bool,
) -> SloMeasurement:
    if collapse.unstable(point):
        return _unstable(point)
    if not point.requests:
        raise Unresolved(f"no request was measured at {at_level(point)}", valid=False)
    share = None
    if slo.against is None:
        noise = point.noise.get(name, 0.0), point.noise.get("mean", 0.0)
        share = _share(slo, QUANTILES[name], pieces, parts, part, noise)
    longer = _longer_for_share(share.value, share.allowed, share.worth) if share else LONGER
    estimate = slow_quantiles(evidence.at(point.level), point.noise)[name]
    if estimate is None:
        if share is None:
            few = f"{point.requests} requests at {at_level(point)} are too few for {name}"
            raise Unresolved(few, longer=needed(name) / point.requests)
        seen = SloMeasurement(math.nan, -math.inf, math.inf, "", False, share=share, longer=longer)
        few = f"{point.requests} requests at {at_level(point)} are too few for {name}"
        told = f"at {at_level(point)} {share.counted}"
        return replace(seen, why=few if status_of(slo, seen) == "unresolved" else told)
    if math.isinf(estimate.value):
        failed = percent(point.errors.rate)
        why = f"{failed} of the requests at {at_level(point)} fail, which counts as too slow"
        low = -math.inf if estimate.low is None else estimate.low
        return SloMeasurement(math.inf, low, math.inf, why, False, share=share, longer=longer)
    seen = of_estimate(slo, estimate, f"{name} at {at_level(point)}", duration)
    if share is None:
        return seen
    seen = replace(seen, share=share, longer=longer)
    if status_of(slo, seen) == "unresolved":
        return replace(seen, why=f"{seen.why}; {share.shown}")
    return seen


def _share(
    slo: Slo,
    q: float,
    pieces: Sequence[Quarter],
    parts: Sequence[int],
    part: bool,
    noise: tuple[float, float],
) -> Share:
    """
    The requests beyond the threshold of the SLO.

    Few requests beyond a threshold do not show how far requests depend on each other, so the
    effective size is not larger than at the median or at the quantile, whichever of the two is
    surer, but for what intervals.AMPLE allows. In a part of a window that moves these would show
    the motion.

    Args:
        noise: seconds by which the quantile, and the mean, can be lower without the disturbances.
    """
    sizes = [piece.started for piece in pieces]
    totals = [piece.response.total() for piece in pieces]
    times = merged(piece.response for piece in pieces)

    def beyond(threshold: float) -> list[int]:
        return [piece.started - piece.response.up_to(threshold) for piece in pieces]

    def worth(counted: Sequence[int]) -> float:
        return intervals.effective_size(counted, sizes, parts, totals)

    # The histogram's bucket of the threshold is beyond it only where it must not be reached.
    strict = slo.comparison in ("<", ">=")
    counted = beyond(slo.threshold * (1 - _BUCKET) if strict else slo.threshold)
    found = worth(counted)
    if times.count and not part:
        least = sum(sizes) / intervals.AMPLE
        found = min(found, max(least, *(worth(beyond(times.quantile(at))) for at in (0.5, q))))
    # Those that stay beyond it without the disturbances. Of all requests, the part mean / d at most
    # was delayed by more than d (Markov's inequality).
    of_quantile, mean = noise
    fewer = sum(beyond(slo.threshold + of_quantile)) if of_quantile else sum(counted)
    for times_mean in _DELAYED if fewer < sum(counted) and mean else ():
        stay = sum(beyond(slo.threshold + times_mean * mean)) - sum(sizes) / times_mean
        fewer = max(fewer, math.ceil(stay))
    return Share(sum(counted), sum(sizes), found, 1 - q, slo.threshold, fewer)


def _mean(slo: Slo, point: Point, pieces: Sequence[Quarter], part: bool) -> SloMeasurement:
    where = f"at {at_level(point)}"
    if point.errors.rate:
        why = f"{percent(point.errors.rate)} of the requests {where} fail: no mean is slow enough"
        return SloMeasurement(math.inf, math.inf, math.inf, why, shown=False)
    if collapse.unstable(point):
        return _unstable(point)
    mean = point.response_time.get("mean")
    if mean is None:
        raise Unresolved(f"no request was measured {where}", valid=False)
    if part:
        times = [piece.response for piece in pieces]
        mean = _between([one.mean() for one in times if one.count])
    return of_estimate(slo, mean, f"the mean {where}", duration)


def _unstable(point: Point) -> SloMeasurement:
    """Response times that grow as long as the test lasts meet no SLO."""
    return SloMeasurement(math.inf, math.inf, math.inf, why_unstable(point), shown=False)


def why_unstable(point: Point) -> str:
    return next((text for text in point.problems if text.startswith("unstable")), "it is unstable")


def of_estimate(
    slo: Slo, estimate: Estimate, what: str, told: Callable[[float], str]
) -> SloMeasurement:
    low = -math.inf if estimate.low is None else estimate.low
    high = math.inf if estimate.high is None else estimate.high
    value = told(estimate.value)
    longer = times_longer(estimate.value, low, high, slo.threshold)
    return SloMeasurement(
        estimate.value, low, high, f"{what} is {value}", told=value, longer=longer
    )


def of_errors(slo: Slo, failed: int, requests: int, worth: float, where: str) -> SloMeasurement:
    """The error share, with the exact interval (Clopper and Pearson 1934) of the effective size."""
    if not requests:
        raise Unresolved(f"no request was measured {where}", valid=False)
    value = failed / requests
    low, high = proportion(value * worth, worth, TAIL)
    why = f"{failed:,} of {requests:,} requests {where} failed"
    longer = _longer_for_share(value, slo.threshold, worth)
    return SloMeasurement(value, low, high, why, longer=longer)


def _between(values: Sequence[float]) -> Estimate:
    """The least and the largest of what moves."""
    return Estimate(value=sum(values) / len(values), low=min(values), high=max(values))


def status_of(slo: Slo, seen: SloMeasurement) -> Literal["met", "missed", "unresolved"]:
    """Whether all of what is possible meets the SLO, none of it, or some."""
    if seen.share is not None and slo.against is None:
        below = seen.share.below()
        if below is None:
            return "unresolved"
        return "met" if below == (slo.comparison in AT_MOST) else "missed"
    if slo.metric == "errors" and slo.threshold in (0.0, 1.0):
        # No number of requests proves that none will ever fail: what was seen decides.
        return "met" if slo.holds(seen.value) else "missed"
    ends = slo.holds(seen.low), slo.holds(seen.high)
    if all(ends):
        return "met"
    return "unresolved" if any(ends) else "missed"


def times_longer(value: float, low: float, high: float, threshold: float) -> float:
    """The times as long that would probably keep the threshold out of the interval."""
    half = high - value if threshold > value else value - low
    away = abs(threshold - value)
    if not math.isfinite(half) or not math.isfinite(away):
        return LONGER
    return _LUCK * max((half / away) ** 2, 1.0) if away else MOST


def _longer_for_share(value: float, allowed: float, worth: float) -> float:
    """The times as long that would decide a share of this many independent requests."""
    size = max(worth, 1.0)
    while size < MOST * worth:
        low, high = proportion(value * size, size, TAIL)
        if allowed < low or high < allowed:
            break
        size *= 1.05
    return (_LUCK if 0 < value < 1 else 1.0) * size / max(worth, 1.0)


def effective(point: Point) -> float:
    """The number of independent requests that a point's failures are worth."""
    worth = point.errors.effective
    return point.requests if worth is None else worth


def of_them(failed: int, requests: int) -> str:
    """E.g. "58 of 67 requests", "all 67 requests"."""
    every = failed == requests > 1
    return f"all {requests:,} requests" if every else f"{failed:,} of {requests:,} requests"


def at_level(point: Point) -> str:
    """E.g. "40 users", "400/s"."""
    return load(point.level, point.model)
