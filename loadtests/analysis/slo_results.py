"""Whether the plan's SLOs were kept. What was not measured well enough is unresolved, never met."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from loadtests.analysis import knees
from loadtests.analysis.intervals import proportion
from loadtests.analysis.points import slow_quantiles
from loadtests.analysis.ratios import ends
from loadtests.analysis.records import StageRecord
from loadtests.analysis.sample_size import TAIL
from loadtests.analysis.words import duration, load, percent, rate, rounded
from loadtests.results import Estimate, Knee, Point, SloResult
from loadtests.slos import Slo


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


@dataclass(frozen=True, slots=True)
class _Measured:
    """An interval with infinite ends where there is no bound; `why` tells of the measurement."""

    value: float
    low: float
    high: float
    why: str
    shown: bool = True  # the value is worth showing
    told: str = ""  # the value in words


class _Unresolved(Exception):
    """The message says what is missing."""


def slo_result(
    name: str, slo: Slo, evidence: Evidence, against: Evidence | None = None
) -> SloResult:
    """
    Met when the whole 95 % interval keeps the promise, missed when none of it does.

    A failure counts as infinitely slow. Errors without a level are missed when a single level
    misses, and met when every level was measured and all together meet.

    Args:
        against: of the other deployment, when the SLO compares two. Then the interval is that of
            the ratio, with both sides as independent.
    """
    assert (against is None) == (slo.against is None)
    try:
        seen = _measured(slo, evidence) if against is None else _ratio(slo, evidence, against)
    except _Unresolved as reason:
        return SloResult(
            name=name,
            text=slo.text,
            deployment=evidence.deployment,
            status="unresolved",
            why=f"{reason}.",
        )
    status = _status(slo, seen)
    unsure = f", {_unsure(slo, seen)}" if status == "unresolved" else ""
    return SloResult(
        name=name,
        text=slo.text,
        deployment=evidence.deployment,
        status=status,
        measured=_estimate(seen),
        why=f"{seen.why}{unsure}.",
    )


def _measured(slo: Slo, evidence: Evidence) -> _Measured:
    if slo.metric == "knee":
        return _knee(evidence)
    if slo.level is None:
        return _errors_everywhere(slo, evidence)
    point = _point(evidence, slo.level)
    match slo.metric:
        case "errors":
            return _errors(point.errors.rate, point.requests, f"at {_at(point)}")
        case "throughput":
            return _of(point.throughput, f"throughput at {_at(point)}", rate)
        case "mean":
            return _mean(point)
        case quantile:
            return _quantile(quantile, evidence, point)


def _ratio(slo: Slo, evidence: Evidence, against: Evidence) -> _Measured:
    """Of what both measured; what is infinite or zero on one side alone still bounds it."""
    sides, missing = [], []
    for one in (evidence, against):
        try:
            sides.append(_measured(slo, one))
        except _Unresolved as reason:
            missing.append(f"{one.deployment}: {reason}")
    if missing:
        raise _Unresolved("; ".join(missing))
    left, right = sides
    shown = left.shown and right.shown
    if shown:
        why = f"{left.why} on {evidence.deployment} and {right.told} on {against.deployment}"
    else:
        why = f"{evidence.deployment}: {left.why}; {against.deployment}: {right.why}"
    if left.value == right.value and (left.value == 0 or math.isinf(left.value)):
        raise _Unresolved(f"{why}, which gives no ratio")
    value, low, high = _divided(left, right)
    seen = _Measured(value, low, high, why + _told_ratio(value, low, high), shown)
    degenerate = not shown or 0 in (left.value, right.value)
    if degenerate and slo.metric in ("mean", "throughput") and _status(slo, seen) == "met":
        # One failure in a million makes a mean infinite: enough to miss by, not to be better than.
        raise _Unresolved(f"{why}, so there is no {slo.metric} to be better than")
    return seen


def _divided(left: _Measured, right: _Measured) -> tuple[float, float, float]:
    """
    left / right and the ends of its interval.

    Errors have no logarithm where a value is infinite or zero: there the ends are those of the
    least and the largest ratio between the two intervals.
    """
    if 0 < left.value < math.inf and 0 < right.value < math.inf:
        low, high = ends(_bounded(right), _bounded(left))
        return (
            left.value / right.value,
            -math.inf if low is None else low,
            math.inf if high is None else high,
        )

    def corner(over: float, under: float, unknown: float) -> float:
        if over == under and (over == 0 or math.isinf(over)):
            return unknown
        return over / under if under else math.inf

    return (
        corner(left.value, right.value, math.nan),
        corner(max(left.low, 0.0), right.high, 0.0),
        corner(left.high, max(right.low, 0.0), math.inf),
    )


def _told_ratio(value: float, low: float, high: float) -> str:
    """E.g. ", a ratio of 0.546 (0.472 to 0.62)", ", a ratio of at least 3.43"."""
    least = f"at least {rounded(low, 3)}" if 0 < low < math.inf else ""
    most = f"at most {rounded(high, 3)}" if 0 < high < math.inf else ""
    if 0 < value < math.inf:
        both = f"{rounded(low, 3)} to {rounded(high, 3)}" if least and most else least or most
        return f", a ratio of {rounded(value, 3)}{f' ({both})' if both else ''}"
    bound = least if math.isinf(value) else most
    return f", a ratio of {bound}" if bound else ""


def _unsure(slo: Slo, seen: _Measured) -> str:
    if slo.against is None:
        return "and its 95 % interval holds the threshold"
    if math.isinf(seen.low) and math.isinf(seen.high):
        return "and the windows are too short for a 95 % interval"
    return f"and the 95 % interval of the ratio holds {slo.threshold:g}"


def _point(evidence: Evidence, level: int) -> Point:
    point = evidence.points.get(level)
    if point is None:
        raise _Unresolved(f"{load(level, evidence.model)} were not measured")
    if not point.valid:
        reason = "; ".join(point.problems)
        raise _Unresolved(f"the measurement at {_at(point)} is not valid: {reason}")
    return point


def _quantile(name: str, evidence: Evidence, point: Point) -> _Measured:
    if point.steady == "over-saturated":
        return _unstable(point)
    records = [record for record in evidence.records if record.stage.level == point.level]
    estimate = slow_quantiles(records)[name]
    if estimate is None:
        raise _Unresolved(f"{point.requests} requests at {_at(point)} are too few")
    what = f"{name} at {_at(point)}"
    if math.isinf(estimate.value):
        failed = percent(point.errors.rate)
        why = f"{failed} of the requests at {_at(point)} fail, which counts as too slow"
        low = -math.inf if estimate.low is None else estimate.low
        return _Measured(math.inf, low, math.inf, why, shown=False)
    return _of(estimate, what, duration)


def _mean(point: Point) -> _Measured:
    where = f"at {_at(point)}"
    if point.errors.rate:
        why = f"{percent(point.errors.rate)} of the requests {where} fail: no mean is slow enough"
        return _Measured(math.inf, math.inf, math.inf, why, shown=False)
    if point.steady == "over-saturated":
        return _unstable(point)
    mean = point.response_time.get("mean")
    if mean is None:
        raise _Unresolved(f"no request was measured {where}")
    return _of(mean, f"the mean {where}", duration)


def _unstable(point: Point) -> _Measured:
    """Response times that grow as long as the test lasts keep no promise."""
    why = next((text for text in point.problems if text.startswith("unstable")), "it is unstable")
    return _Measured(math.inf, math.inf, math.inf, why, shown=False)


def _of(estimate: Estimate, what: str, told: Callable[[float], str]) -> _Measured:
    low = -math.inf if estimate.low is None else estimate.low
    high = math.inf if estimate.high is None else estimate.high
    value = told(estimate.value)
    return _Measured(estimate.value, low, high, f"{what} is {value}", told=value)


def _errors(share: float, requests: int, where: str) -> _Measured:
    """With the exact binomial interval (Clopper and Pearson 1934)."""
    if not requests:
        raise _Unresolved(f"no request was measured {where}")
    failed = round(share * requests)
    why = f"{failed:,} of {requests:,} requests {where} failed"
    return _Measured(failed / requests, *proportion(failed, requests, TAIL), why)


def _errors_everywhere(slo: Slo, evidence: Evidence) -> _Measured:
    seen = [
        (point, _errors(point.errors.rate, point.requests, f"at {_at(point)}"))
        for level, point in sorted(evidence.points.items())
        if point.valid
    ]
    for _, one in seen:
        if _status(slo, one) == "missed":
            return one
    for level in evidence.levels:
        _point(evidence, level)
    requests = sum(point.requests for point, _ in seen)
    failed = sum(point.errors.rate * point.requests for point, _ in seen)
    return _errors(failed / requests if requests else 0.0, requests, "at all levels together")


def _knee(evidence: Evidence) -> _Measured:
    knee = evidence.knee
    if knee is not None and knee.level is not None:
        place = Estimate(value=knee.level, low=knee.low, high=knee.high)
        return _of(place, "the knee", lambda level: load(level, evidence.model))
    beyond = knees.at_least(list(evidence.points.values()))
    if beyond is None:
        raise _Unresolved(f"a knee takes {knees.LEAST_LEVELS} valid levels")
    why = f"no knee was found up to {load(max(evidence.points), evidence.model)}"
    return _Measured(math.inf, beyond, math.inf, why, shown=False)


def _status(slo: Slo, seen: _Measured) -> Literal["met", "missed", "unresolved"]:
    if slo.metric == "errors" and slo.threshold in (0.0, 1.0):
        # No number of requests proves that none will ever fail: what was seen decides.
        return "met" if slo.holds(seen.value) else "missed"
    ends = slo.holds(seen.low), slo.holds(seen.high)
    if all(ends):
        return "met"
    return "unresolved" if any(ends) else "missed"


def _at(point: Point) -> str:
    return load(point.level, point.model)


def _estimate(seen: _Measured) -> Estimate | None:
    return _bounded(seen) if seen.shown and math.isfinite(seen.value) else None


def _bounded(seen: _Measured) -> Estimate:
    low, high = (end if math.isfinite(end) else None for end in (seen.low, seen.high))
    return Estimate(value=seen.value, low=low, high=high)
