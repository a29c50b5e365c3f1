"""
Whether the plan's SLOs were kept. What was not measured well enough is unresolved, never met.

A promise about a quantile is decided by the share of the requests that are beyond its threshold:
p95 is below 250 ms where fewer than 5 % take longer. The share is binomial on the effective size,
and has an interval where the quantile itself has none yet.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from loadtests.analysis import collapse, intervals, knees
from loadtests.analysis.intervals import proportion
from loadtests.analysis.points import level_pieces, slow_quantiles
from loadtests.analysis.ratios import ends
from loadtests.analysis.records import StageRecord
from loadtests.analysis.sample_size import TAIL
from loadtests.analysis.steady import times_to_tell
from loadtests.analysis.validity import DESCRIPTORS, NO_PORTS
from loadtests.analysis.windows import Quarter, window
from loadtests.analysis.words import duration, load, percent, rate, rounded
from loadtests.histograms import merged
from loadtests.results import QUANTILES, Estimate, Knee, Point, SloResult
from loadtests.shortness import as_plan_says, needed
from loadtests.slices import whole_slices
from loadtests.slos import Slo

_MOVING = ("drifting", "none")
_LUCK = 1.5  # times what would do if the next window showed the very same
_LONGER = 4.0  # times as long halves an interval; for what tells nothing of how long it takes
_MOST = 100.0  # times as long: beyond, the value is the threshold
_BUCKET = 0.001  # more than a histogram's bucket is wide, as a part of the value
_AT_MOST = ("<", "<=")
_TOO_SHORT = "the window is too short to tell a stable queue from one that grows"
_OWN = (DESCRIPTORS, NO_PORTS)  # failures of the load generator


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
class _Share:
    """
    The requests beyond a threshold, of which as many as `allowed` keep the promise.

    `worth`: the number of independent requests that tell as much.
    """

    beyond: int
    requests: int
    worth: float
    allowed: float
    threshold: float  # seconds

    @property
    def value(self) -> float:
        return self.beyond / self.requests

    @property
    def ends(self) -> tuple[float, float]:
        return proportion(self.value * self.worth, self.worth, TAIL)

    def below(self) -> bool | None:
        """Whether the quantile is below the threshold; None when that is not known."""
        low, high = self.ends
        if high <= self.allowed:
            return True
        return False if low > self.allowed else None

    @property
    def counted(self) -> str:
        """E.g. "58 of 67 requests take longer than 500 ms, where 5 % may"."""
        return f"{_of_them(self.beyond, self.requests)} {self._allowed}"

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
class _Measured:
    """
    An interval with infinite ends where there is no bound; `why` tells of the measurement.

    `share`: what decides in place of the interval. `longer`: the times as long that would probably
    decide it.
    """

    value: float
    low: float
    high: float
    why: str
    shown: bool = True  # the value is worth showing
    told: str = ""  # the value in words
    share: _Share | None = None
    longer: float = _LONGER


class _Unresolved(Exception):
    """
    The message says what is missing.

    `valid`: False when nothing was measured, or not validly. `longer`: the times as long that would
    probably do; None when time does not help.
    """

    def __init__(self, why: str, *, valid: bool = True, longer: float | None = None) -> None:
        super().__init__(why)
        self.valid = valid
        self.longer = longer


def slo_result(
    name: str, slo: Slo, evidence: Evidence, against: Evidence | None = None
) -> SloResult:
    """
    Met when the whole 95 % interval keeps the promise, missed when none of it does.

    A failure counts as infinitely slow. Errors without a level are missed when a single level
    misses, and met when every level was measured and all together meet. What grows or moves while
    it is measured is never met, and missed only if every part of it misses. A level that was not
    played, because a lower one had collapsed, is missed when that one misses.

    Args:
        against: of the other deployment, when the SLO compares two. Then the interval is that of
            the ratio, with both sides as independent.
    """
    assert (against is None) == (slo.against is None)
    result = SloResult(
        name=name, text=slo.text, deployment=evidence.deployment, status="unresolved", why=""
    )
    try:
        seen = _measured(slo, evidence) if against is None else _ratio(slo, evidence, against)
    except _Unresolved as reason:
        why, measure = _with_way_out(str(reason), slo, evidence, reason.longer)
        return result.model_copy(update={"valid": reason.valid, "measure": measure, "why": why})
    status = _status(slo, seen)
    why, measure = f"{seen.why}.", None
    if status == "unresolved":
        longer = seen.longer if slo.metric != "knee" else None
        why, measure = _with_way_out(f"{seen.why}{_unsure(slo, seen)}", slo, evidence, longer)
    return result.model_copy(
        update={"status": status, "measured": _estimate(seen), "why": why, "measure": measure}
    )


def _with_way_out(
    text: str, slo: Slo, evidence: Evidence, longer: float | None
) -> tuple[str, float | None]:
    """The sentence with the `measure` that would probably do, and that one in seconds."""
    before = evidence.measured(slo.level)
    if longer is None or not before:
        return f"{text}.", None
    seconds = whole_slices(math.ceil(before * min(longer, _MOST)))
    wanted = f"measure = {as_plan_says(seconds)}"
    if longer >= _MOST:
        return f"{text}, to which it is too near: even {wanted} could not tell.", seconds
    return f"{text}: {wanted} would probably decide it.", seconds


def _measured(slo: Slo, evidence: Evidence) -> _Measured:
    if slo.metric == "knee":
        return _knee(slo, evidence)
    if slo.level is None:
        return _errors_everywhere(slo, evidence)
    if slo.level not in evidence.points:
        return _skipped(slo, evidence, slo.level)
    return _at_level(slo, evidence, evidence.points[slo.level])


def _at_level(slo: Slo, evidence: Evidence, point: Point) -> _Measured:
    """
    Raises:
        _Unresolved: nothing valid was measured, or what moves or grows would be met.
    """
    if not point.valid:
        return _failing_anyway(slo, point)
    if slo.against is not None:
        return _side(slo, evidence, point)
    pieces, parts = level_pieces(evidence.at(point.level))
    seen = _of_metric(slo, evidence, point, pieces, parts)
    if point.steady in _MOVING:
        looks = [seen]
        if not any(window(record).hung for record in evidence.at(point.level)):
            looks = [
                _of_metric(slo, evidence, point, *half, part=True)
                for half in _halves(pieces, parts)
            ]
        if not all(_status(slo, look) == "missed" for look in looks):
            raise _Unresolved(f"{seen.why}, but {_moving(point)}", longer=_LONGER)
        return replace(looks[0], why=f"{seen.why}, and {_moving(point)}", shown=False)
    if _unproven(slo, point) and _status(slo, seen) == "met":
        if collapse.unstable(point):
            return _failing_later(slo, point, seen)
        longer = _times_to_tell(evidence, point)
        raise _Unresolved(f"{seen.why}, but {_TOO_SHORT}", longer=longer)
    return seen


def _failing_later(slo: Slo, point: Point, seen: _Measured) -> _Measured:
    """
    Failures where more comes than is answered: what is not answered fails sooner or later.

    Raises:
        _Unresolved: that is no more than the promise allows.
    """
    answered = point.throughput.high or point.throughput.value
    why = f"{seen.why}, but {_why_unstable(point)}"
    if slo.holds(1 - answered * point.seconds / point.requests):
        raise _Unresolved(why)
    return _Measured(math.inf, math.inf, math.inf, why, shown=False)


def _side(slo: Slo, evidence: Evidence, point: Point) -> _Measured:
    """
    One side of a ratio, which a promise about both cannot judge by itself.

    Raises:
        _Unresolved: what moves or grows is no side of a ratio, and too few requests are none.
    """
    pieces, parts = level_pieces(evidence.at(point.level))
    if point.steady in _MOVING:
        raise _Unresolved(f"{_moving(point)} at {_at(point)}", longer=_LONGER)
    if _unproven(slo, point) and not collapse.unstable(point):
        raise _Unresolved(f"{_TOO_SHORT} at {_at(point)}", longer=_times_to_tell(evidence, point))
    return _of_metric(slo, evidence, point, pieces, parts)


def _of_metric(
    slo: Slo,
    evidence: Evidence,
    point: Point,
    pieces: Sequence[Quarter],
    parts: Sequence[int],
    part: bool = False,
) -> _Measured:
    """
    What these pieces show, which are all of the point, or a part of them.

    Raises:
        _Unresolved: too little was measured.
    """
    where = f"at {_at(point)}"
    match slo.metric:
        case "errors":
            failed = [piece.failed.count for piece in pieces]
            sizes = [piece.started for piece in pieces]
            worth = intervals.effective_size(failed, sizes, parts)
            return _errors(slo, sum(failed), sum(sizes), worth, where)
        case "throughput":
            found = point.throughput
            if part:
                found = _between([piece.succeeded / piece.seconds for piece in pieces])
            return _of(slo, found, f"throughput {where}", rate)
        case "mean":
            return _mean(slo, point, pieces, part)
        case quantile:
            return _quantile(slo, quantile, evidence, point, pieces, parts, part)


def _ratio(slo: Slo, evidence: Evidence, against: Evidence) -> _Measured:
    """Of what both measured; what is infinite or zero on one side alone still bounds it."""
    sides, missing = [], {}
    for one in (evidence, against):
        try:
            sides.append(_measured(slo, one))
        except _Unresolved as reason:
            missing[one.deployment] = reason
    if missing:
        times = [reason.longer for reason in missing.values()]
        raise _Unresolved(
            "; ".join(f"{name}: {reason}" for name, reason in missing.items()),
            valid=all(reason.valid for reason in missing.values()),
            longer=None if None in times else max(filter(None, times)),
        )
    left, right = sides
    shown = left.shown and right.shown
    if shown:
        why = f"{left.why} on {evidence.deployment} and {right.told} on {against.deployment}"
    else:
        why = f"{evidence.deployment}: {left.why}; {against.deployment}: {right.why}"
    if left.value == right.value and (left.value == 0 or math.isinf(left.value)):
        raise _Unresolved(f"{why}, which gives no ratio")
    value, low, high = _divided(left, right)
    longer = _longer(*map(_log, (value, low, high, slo.threshold)))
    seen = _Measured(value, low, high, why + _told_ratio(value, low, high), shown, longer=longer)
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
    if slo.against is not None:
        if math.isinf(seen.low) and math.isinf(seen.high):
            return ", and the windows are too short for a 95 % interval"
        return f", and the 95 % interval of the ratio holds {slo.threshold:g}"
    if seen.share is not None:
        return ""
    if math.isinf(seen.low) and math.isinf(seen.high):
        return ", and the window is too short for a 95 % interval"
    return ", and its 95 % interval holds the threshold"


# A level that tells less than it should


def _skipped(slo: Slo, evidence: Evidence, level: int) -> _Measured:
    """
    What a level that was not played would have shown at best, where a lower one had collapsed.

    Response times and failures do not become fewer as the level rises. Throughput can rise at most
    as the number of users does, and not at all where more comes than is answered.

    Raises:
        _Unresolved: none had, or the promise was kept there.
    """
    missing = f"{load(level, evidence.model)} were not measured"
    below = [point for at, point in sorted(evidence.points.items()) if at < level]
    found = collapse.first_collapsed(below)
    if found is None:
        raise _Unresolved(missing, valid=False)
    missing = f"{missing}, because at {_at(found[0])} {found[1]}"
    rising = slo.metric == "throughput"
    if slo.against is not None or rising == (slo.comparison in _AT_MOST):
        raise _Unresolved(missing, valid=False)
    try:
        seen = _at_level(slo, evidence, below[-1])
    except _Unresolved as doubt:
        raise _Unresolved(f"{missing}; {doubt}", valid=False) from None
    if rising and evidence.model == "closed":
        times = level / below[-1].level
        seen = replace(seen, value=times * seen.value, high=times * seen.high, shown=False)
    if _status(slo, seen) != "missed":
        raise _Unresolved(missing, valid=False)
    return replace(seen, why=f"{missing}; {seen.why}", shown=False)


def _failing_anyway(slo: Slo, point: Point) -> _Measured:
    """
    What is certain though the measurement is not valid: that most requests failed.

    Raises:
        _Unresolved: they did not, or it does not decide.
    """
    where = f"at {_at(point)}"
    own = sum(count for kind, count in point.errors.kinds.items() if kind in _OWN)
    failed = round(point.errors.rate * point.requests) - own
    if failed > 0 and slo.against is None:
        worth = min(_effective(point), point.requests)
        low, _ = proportion(failed / point.requests * worth, worth, TAIL)
        if low > collapse.TOO_MANY_FAILURES:
            kinds = ", ".join(kind for kind in list(point.errors.kinds)[:3] if kind not in _OWN)
            told = f"{_of_them(failed, point.requests)} {where} failed ({kinds})"
            seen = replace(_errors(slo, failed, point.requests, worth, where), why=told)
            if slo.metric == "throughput":
                seen = replace(_of(slo, point.throughput, "", rate), why=told)
            elif slo.metric != "errors":
                seen = _Measured(math.inf, math.inf, math.inf, told, shown=False)
            if _status(slo, seen) == "missed":
                return seen
    reasons = list(point.problems)
    if point.errors.rate and not any("failed" in text for text in reasons):
        reasons.insert(0, f"{percent(point.errors.rate)} of the requests failed")
    reasons.sort(key=lambda text: "failed" not in text)
    text = "; ".join(reasons) or "no reason is known"
    raise _Unresolved(f"the measurement {where} is not valid: {text}", valid=False)


def _of_them(failed: int, requests: int) -> str:
    return (
        f"all {requests:,} requests"
        if failed == requests
        else f"{failed:,} of {requests:,} requests"
    )


def _halves(
    pieces: Sequence[Quarter], parts: Sequence[int]
) -> list[tuple[list[Quarter], list[int]]]:
    """The first half of every window, and the second; all of them where windows are one piece."""
    if min(parts) < 2:
        return [(list(pieces), list(parts))]
    first: list[Quarter] = []
    second: list[Quarter] = []
    begin = 0
    for count in parts:
        middle = begin + count // 2
        first += pieces[begin:middle]
        second += pieces[middle : begin + count]
        begin += count
    firsts = [count // 2 for count in parts]
    return [
        (first, firsts),
        (second, [count - half for count, half in zip(parts, firsts, strict=True)]),
    ]


def _moving(point: Point) -> str:
    if point.steady == "drifting":
        return "response times drift while it is measured"
    return "response times jump while it is measured"


def _unproven(slo: Slo, point: Point) -> bool:
    """Whether a queue may be growing, and sooner or later break what is kept so far."""
    return point.model == "open" and point.steady != "steady" and slo.metric != "throughput"


def _times_to_tell(evidence: Evidence, point: Point) -> float:
    """The times as long that a window must be to tell a stable queue from one that grows."""
    pieces, parts = level_pieces(evidence.at(point.level))
    return max(
        times_to_tell(pieces[end - count : end])
        for end, count in zip(accumulate(parts), parts, strict=True)
    )


def _between(values: Sequence[float]) -> Estimate:
    """The least and the largest of what moves."""
    return Estimate(value=sum(values) / len(values), low=min(values), high=max(values))


# Metrics


def _quantile(
    slo: Slo,
    name: str,
    evidence: Evidence,
    point: Point,
    pieces: Sequence[Quarter],
    parts: Sequence[int],
    part: bool,
) -> _Measured:
    if collapse.unstable(point):
        return _unstable(point)
    if not point.requests:
        raise _Unresolved(f"no request was measured at {_at(point)}", valid=False)
    share = None
    if slo.against is None:
        share = _share(slo, QUANTILES[name], pieces, parts, part)
    longer = _longer_for_share(share.value, share.allowed, share.worth) if share else _LONGER
    estimate = slow_quantiles(evidence.at(point.level))[name]
    if estimate is None:
        if share is None:
            few = f"{point.requests} requests at {_at(point)} are too few for {name}"
            raise _Unresolved(few, longer=needed(name) / point.requests)
        seen = _Measured(math.nan, -math.inf, math.inf, "", False, share=share, longer=longer)
        few = f"{point.requests} requests at {_at(point)} are too few for {name}"
        told = f"at {_at(point)} {share.counted}"
        return replace(seen, why=few if _status(slo, seen) == "unresolved" else told)
    if math.isinf(estimate.value):
        failed = percent(point.errors.rate)
        why = f"{failed} of the requests at {_at(point)} fail, which counts as too slow"
        low = -math.inf if estimate.low is None else estimate.low
        return _Measured(math.inf, low, math.inf, why, False, share=share, longer=longer)
    seen = _of(slo, estimate, f"{name} at {_at(point)}", duration)
    if share is None:
        return seen
    seen = replace(seen, share=share, longer=longer)
    if _status(slo, seen) == "unresolved":
        return replace(seen, why=f"{seen.why}; {share.shown}")
    return seen


def _share(
    slo: Slo, q: float, pieces: Sequence[Quarter], parts: Sequence[int], part: bool
) -> _Share:
    """
    The requests beyond the threshold of the SLO.

    Few requests beyond a threshold do not show how far requests depend on each other, so the
    effective size is not larger than at the median or at the quantile, whichever of the two is
    surer, but for what intervals.AMPLE allows. In a part of a window that moves these would show
    the motion.
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
    return _Share(sum(counted), sum(sizes), found, 1 - q, slo.threshold)


def _mean(slo: Slo, point: Point, pieces: Sequence[Quarter], part: bool) -> _Measured:
    where = f"at {_at(point)}"
    if point.errors.rate:
        why = f"{percent(point.errors.rate)} of the requests {where} fail: no mean is slow enough"
        return _Measured(math.inf, math.inf, math.inf, why, shown=False)
    if collapse.unstable(point):
        return _unstable(point)
    mean = point.response_time.get("mean")
    if mean is None:
        raise _Unresolved(f"no request was measured {where}", valid=False)
    if part:
        times = [piece.response for piece in pieces]
        mean = _between([one.mean() for one in times if one.count])
    return _of(slo, mean, f"the mean {where}", duration)


def _unstable(point: Point) -> _Measured:
    """Response times that grow as long as the test lasts keep no promise."""
    return _Measured(math.inf, math.inf, math.inf, _why_unstable(point), shown=False)


def _why_unstable(point: Point) -> str:
    return next((text for text in point.problems if text.startswith("unstable")), "it is unstable")


def _of(slo: Slo, estimate: Estimate, what: str, told: Callable[[float], str]) -> _Measured:
    low = -math.inf if estimate.low is None else estimate.low
    high = math.inf if estimate.high is None else estimate.high
    value = told(estimate.value)
    longer = _longer(estimate.value, low, high, slo.threshold)
    return _Measured(estimate.value, low, high, f"{what} is {value}", told=value, longer=longer)


def _errors(slo: Slo, failed: int, requests: int, worth: float, where: str) -> _Measured:
    """With the exact interval (Clopper and Pearson 1934) of the effective size."""
    if not requests:
        raise _Unresolved(f"no request was measured {where}", valid=False)
    value = failed / requests
    low, high = proportion(value * worth, worth, TAIL)
    why = f"{failed:,} of {requests:,} requests {where} failed"
    longer = _longer_for_share(value, slo.threshold, worth)
    return _Measured(value, low, high, why, longer=longer)


def _errors_everywhere(slo: Slo, evidence: Evidence) -> _Measured:
    points = [point for _, point in sorted(evidence.points.items())]
    doubts: list[_Unresolved] = []
    for point in points:
        try:
            seen = _at_level(slo, evidence, point)
        except _Unresolved as doubt:
            doubts.append(doubt)
            continue
        if _status(slo, seen) == "missed":
            return seen
    if doubts:
        raise doubts[0]
    for level in evidence.levels:
        if level not in evidence.points:
            try:
                _skipped(slo, evidence, level)
            except _Unresolved as doubt:
                raise _with_a_level(slo, level, doubt) from None
    requests = sum(point.requests for point in points)
    failed = sum(point.errors.rate * point.requests for point in points)
    worth = sum(map(_effective, points))
    return _errors(slo, round(failed), requests, worth, "at all levels together")


def _with_a_level(slo: Slo, level: int, doubt: _Unresolved) -> _Unresolved:
    """Levels that SLOs name are played after a collapse, too."""
    if ", because " not in str(doubt):
        return doubt
    return _Unresolved(f'{doubt}; an SLO "{slo.text} at {level}" has them played', valid=False)


def _effective(point: Point) -> float:
    worth = point.errors.effective
    return point.requests if worth is None else worth


def _knee(slo: Slo, evidence: Evidence) -> _Measured:
    knee = evidence.knee
    if knee is not None and knee.level is not None:
        place = Estimate(value=knee.level, low=knee.low, high=knee.high)
        return _of(slo, place, "the knee", lambda level: load(level, evidence.model))
    if knee is not None and knee.high is not None:
        why = f"the knee is at or below {load(knee.high, evidence.model)}"
        if slo.against is None and slo.holds(0.0) != slo.holds(knee.high):
            raise _Unresolved(f"{why}: only lower levels can decide it")
        return _Measured(0.0, 0.0, knee.high, why, shown=False)
    if knee is not None and knee.low is not None:
        why = f"no knee was found up to {load(max(evidence.points), evidence.model)}"
        if slo.against is None and slo.holds(knee.low) != slo.holds(math.inf):
            raise _Unresolved(f"{why}: only higher levels can decide it")
        return _Measured(math.inf, knee.low, math.inf, why, shown=False)
    raise _Unresolved(f"a knee takes {knees.LEAST_LEVELS} valid levels")


# Decisions


def _status(slo: Slo, seen: _Measured) -> Literal["met", "missed", "unresolved"]:
    if seen.share is not None and slo.against is None:
        below = seen.share.below()
        if below is None:
            return "unresolved"
        return "met" if below == (slo.comparison in _AT_MOST) else "missed"
    if slo.metric == "errors" and slo.threshold in (0.0, 1.0):
        # No number of requests proves that none will ever fail: what was seen decides.
        return "met" if slo.holds(seen.value) else "missed"
    ends = slo.holds(seen.low), slo.holds(seen.high)
    if all(ends):
        return "met"
    return "unresolved" if any(ends) else "missed"


def _longer(value: float, low: float, high: float, threshold: float) -> float:
    """The times as long that would probably keep the threshold out of the interval."""
    half = high - value if threshold > value else value - low
    away = abs(threshold - value)
    if not math.isfinite(half) or not math.isfinite(away):
        return _LONGER
    return _LUCK * max((half / away) ** 2, 1.0) if away else _MOST


def _longer_for_share(value: float, allowed: float, worth: float) -> float:
    """Likewise of a share of so many independent requests."""
    size = max(worth, 1.0)
    while size < _MOST * worth:
        low, high = proportion(value * size, size, TAIL)
        if allowed < low or high < allowed:
            break
        size *= 1.05
    return (_LUCK if 0 < value < 1 else 1.0) * size / max(worth, 1.0)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _at(point: Point) -> str:
    return load(point.level, point.model)


def _estimate(seen: _Measured) -> Estimate | None:
    return _bounded(seen) if seen.shown and math.isfinite(seen.value) else None


def _bounded(seen: _Measured) -> Estimate:
    low, high = (end if math.isfinite(end) else None for end in (seen.low, seen.high))
    return Estimate(value=seen.value, low=low, high=high)
