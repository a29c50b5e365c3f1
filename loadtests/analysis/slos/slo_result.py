"""
Whether the plan's SLOs were kept. What was not measured well enough is unresolved, never met.

See `metrics` for what decides at one level.
"""

import math
from dataclasses import replace
from itertools import accumulate

from loadtests.analysis import collapse, knees, proposals
from loadtests.analysis.checks.generator import FAR, OWN_FAILURES, answered_with_failures
from loadtests.analysis.numbers import load, percent, rate
from loadtests.analysis.points import level_pieces
from loadtests.analysis.slos import motion, ratios
from loadtests.analysis.slos.metrics import (
    AT_MOST,
    LONGER,
    MOST,
    Evidence,
    SloMeasurement,
    Unresolved,
    at_level,
    effective,
    of_errors,
    of_estimate,
    of_metric,
    of_them,
    status_of,
    why_unstable,
)
from loadtests.analysis.stats import relaxation
from loadtests.analysis.stats.intervals import proportion
from loadtests.analysis.stats.sample_size import TAIL
from loadtests.analysis.steady import times_to_tell
from loadtests.plans.slos import Slo
from loadtests.recording.slices import whole_slices
from loadtests.results import Estimate, Point, SloResult

_TOO_SHORT = "the window is too short to tell a stable queue from one that grows"


def slo_result(
    name: str, slo: Slo, evidence: Evidence, against: Evidence | None = None
) -> SloResult:
    """
    Met when the whole 95 % interval meets the SLO, missed when none of it does.

    A failure counts as infinitely slow. Errors without a level are missed when a single level
    misses, and met when every level was measured and all together meet. What grows or moves while
    it is measured is missed only if every part of it misses, and met only in the closed model where
    every part is as far from the threshold as a jump, or a drift that goes on, can go. A level that
    was not played, because a lower one had collapsed, is missed when that one misses.

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
    except Unresolved as reason:
        why, measure = _with_way_out(str(reason), slo, evidence, reason.longer)
        return result.model_copy(update={"valid": reason.valid, "measure": measure, "why": why})
    status = status_of(slo, seen)
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
    """
    The sentence with the `measure` that would probably do, and that one in seconds; None: nothing
    that one can wait for would.
    """
    before = evidence.measured(slo.level)
    if longer is None or not before:
        return f"{text}.", None
    relaxed = _relaxed(slo, evidence)
    seconds = whole_slices(math.ceil(max(before * min(longer, MOST), min(relaxed, before * MOST))))
    wanted = proposals.measure(seconds)
    if longer >= MOST:
        text = (
            f"{text}, to which it is too near: even {wanted or proposals.MINUTES} could not tell."
        )
        return text, seconds if wanted else None
    if wanted is None:
        return f"{text}, and {proposals.MINUTES} would probably not decide it.", None
    return f"{text}: {wanted} would probably decide it.", seconds


def _relaxed(slo: Slo, evidence: Evidence) -> float:
    """
    Seconds of a window that shows how far a queue of the open model swings; 0: that is not known.

    Above the knee it grows in any window, which does not take longer to be seen.
    """
    knee, level = evidence.knee, slo.level
    if evidence.model == "closed" or knee is None or not knee.level or level is None:
        return 0.0
    if slo.metric == "throughput" or level >= knee.level:
        return 0.0
    seconds = relaxation.advised(level, knee, relaxation.TELLING)
    return (
        relaxation.needed(level, knee.level, relaxation.TELLING) if seconds == math.inf else seconds
    )


def _measured(slo: Slo, evidence: Evidence) -> SloMeasurement:
    if slo.metric == "knee":
        return _knee(slo, evidence)
    if slo.level is None:
        return _errors_everywhere(slo, evidence)
    if slo.level not in evidence.points:
        return _skipped(slo, evidence, slo.level)
    return _at_level(slo, evidence, evidence.points[slo.level])


def _at_level(slo: Slo, evidence: Evidence, point: Point) -> SloMeasurement:
    """
    Raises:
        Unresolved: nothing valid was measured, or what moves or grows would be met.
    """
    if not point.counts:
        return _failing_anyway(slo, point)
    if slo.against is not None:
        return _side(slo, evidence, point)
    if unanswered := _unanswered(slo, point):
        return unanswered
    pieces, parts = level_pieces(evidence.at(point.level))
    seen = of_metric(slo, evidence, point, pieces, parts)
    if point.steady in motion.MOVING:
        return motion.while_it_moves(slo, evidence, point, seen)
    if _unproven(slo, point) and status_of(slo, seen) == "met":
        if collapse.unstable(point):
            return _failing_later(slo, point, seen)
        longer = _times_to_tell(evidence, point)
        raise Unresolved(f"{seen.why}, but {_TOO_SHORT}", longer=longer)
    return seen


def _unanswered(slo: Slo, point: Point) -> SloMeasurement | None:
    """
    The users that wait in vain, where they are more than the SLO allows; else None.

    As a part of the requests they are few, since who waits sends no other.
    """
    users = point.errors.unanswered
    if slo.metric != "errors" or not users:
        return None
    value = users / point.level
    low, high = proportion(users, point.level, TAIL)
    if slo.holds(value) or value <= point.errors.rate:
        return None
    why = f"{users} of {point.level} users waited in vain until the window ended"
    return SloMeasurement(value, low, high, why)


def _failing_later(slo: Slo, point: Point, seen: SloMeasurement) -> SloMeasurement:
    """
    Failures where more comes than is answered: what is not answered fails sooner or later.

    Raises:
        Unresolved: that is no more than the SLO allows.
    """
    answered = point.throughput.high or point.throughput.value
    why = f"{seen.why}, but {why_unstable(point)}"
    if slo.holds(1 - answered * point.seconds / point.requests):
        raise Unresolved(why)
    return SloMeasurement(math.inf, math.inf, math.inf, why, shown=False)


def _side(slo: Slo, evidence: Evidence, point: Point) -> SloMeasurement:
    """
    One side of a ratio, which an SLO about both cannot judge by itself.

    Raises:
        Unresolved: what moves or grows is not a side of a ratio, and too few requests are none.
    """
    pieces, parts = level_pieces(evidence.at(point.level))
    if point.steady in motion.MOVING:
        raise Unresolved(f"{motion.described(point)} at {at_level(point)}", longer=LONGER)
    if _unproven(slo, point) and not collapse.unstable(point):
        raise Unresolved(
            f"{_TOO_SHORT} at {at_level(point)}", longer=_times_to_tell(evidence, point)
        )
    return of_metric(slo, evidence, point, pieces, parts)


def _ratio(slo: Slo, evidence: Evidence, against: Evidence) -> SloMeasurement:
    sides, missing = [], {}
    for one in (evidence, against):
        try:
            sides.append(_measured(slo, one))
        except Unresolved as reason:
            missing[one.deployment] = reason
    if missing:
        times = [reason.longer for reason in missing.values()]
        raise Unresolved(
            "; ".join(f"{name}: {reason}" for name, reason in missing.items()),
            valid=all(reason.valid for reason in missing.values()),
            longer=None if None in times else max(filter(None, times)),
        )
    return ratios.divided(slo, (evidence.deployment, against.deployment), *sides)


def _unsure(slo: Slo, seen: SloMeasurement) -> str:
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


def _skipped(slo: Slo, evidence: Evidence, level: int) -> SloMeasurement:
    """
    What a level that was not played would have shown at best, where a lower one had collapsed.

    Response times and failures do not become fewer as the level rises. Throughput can rise at most
    as the number of users does, and not at all where more comes than is answered.

    Raises:
        Unresolved: none had, or the SLO was kept there.
    """
    missing = f"{load(level, evidence.model)} were not measured"
    below = [point for at, point in sorted(evidence.points.items()) if at < level]
    found = collapse.first_collapsed(below)
    if found is None:
        raise Unresolved(missing, valid=False)
    missing = f"{missing}, because at {at_level(found[0])} {found[1]}"
    rising = slo.metric == "throughput"
    if slo.against is not None or rising == (slo.comparison in AT_MOST):
        raise Unresolved(missing, valid=False)
    try:
        seen = _at_level(slo, evidence, below[-1])
    except Unresolved as doubt:
        raise Unresolved(f"{missing}; {doubt}", valid=False) from None
    if rising and evidence.model == "closed":
        times = level / below[-1].level
        seen = replace(seen, value=times * seen.value, high=times * seen.high, shown=False)
    if status_of(slo, seen) != "missed":
        raise Unresolved(missing, valid=False)
    return replace(seen, why=f"{missing}; {seen.why}", shown=False)


def _failing_anyway(slo: Slo, point: Point) -> SloMeasurement:
    """
    What is certain though the measurement is not valid: that most requests failed, or that many of
    them were answered with a failure.

    Raises:
        Unresolved: they did not, or it does not decide.
    """
    where = f"at {at_level(point)}"
    own = sum(count for kind, count in point.errors.kinds.items() if kind in OWN_FAILURES)
    failed = round(point.errors.rate * point.requests) - own
    if failed > 0 and slo.against is None:
        worth = min(effective(point), point.requests)
        low, _ = proportion(failed / point.requests * worth, worth, TAIL)
        answered = answered_with_failures(point)
        sure, _ = proportion(answered * worth, worth, TAIL)
        far = slo.metric == "errors" and answered > FAR and not slo.holds(sure)
        if far or low > collapse.TOO_MANY_FAILURES:
            kinds = ", ".join(
                kind for kind in list(point.errors.kinds)[:3] if kind not in OWN_FAILURES
            )
            told = f"{of_them(failed, point.requests)} {where} failed ({kinds})"
            seen = replace(of_errors(slo, failed, point.requests, worth, where), why=told)
            if slo.metric == "throughput":
                seen = replace(of_estimate(slo, point.throughput, "", rate), why=told)
            elif slo.metric != "errors":
                seen = SloMeasurement(math.inf, math.inf, math.inf, told, shown=False)
            if status_of(slo, seen) == "missed":
                return seen
    reasons = list(point.problems)
    if point.errors.rate and not any("failed" in text for text in reasons):
        reasons.insert(0, f"{percent(point.errors.rate)} of the requests failed")
    reasons.sort(key=lambda text: "failed" not in text)
    text = "; ".join(reasons) or "no reason is known"
    raise Unresolved(f"the measurement {where} is not valid: {text}", valid=False)


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


def _errors_everywhere(slo: Slo, evidence: Evidence) -> SloMeasurement:
    points = [point for _, point in sorted(evidence.points.items())]
    doubts: list[Unresolved] = []
    for point in points:
        try:
            seen = _at_level(slo, evidence, point)
        except Unresolved as doubt:
            doubts.append(doubt)
            continue
        if status_of(slo, seen) == "missed":
            return seen
    if doubts:
        raise doubts[0]
    for level in evidence.levels:
        if level not in evidence.points:
            try:
                _skipped(slo, evidence, level)
            except Unresolved as doubt:
                raise _with_a_level(slo, level, doubt) from None
    requests = sum(point.requests for point in points)
    failed = sum(point.errors.rate * point.requests for point in points)
    worth = sum(map(effective, points))
    return of_errors(slo, round(failed), requests, worth, "at all levels together")


def _with_a_level(slo: Slo, level: int, doubt: Unresolved) -> Unresolved:
    """Levels that SLOs name are played after a collapse, too."""
    if ", because " not in str(doubt):
        return doubt
    return Unresolved(f'{doubt}; an SLO "{slo.text} at {level}" has them played', valid=False)


def _knee(slo: Slo, evidence: Evidence) -> SloMeasurement:
    knee = evidence.knee
    if knee is not None and knee.level is not None:
        place = Estimate(value=knee.level, low=knee.low, high=knee.high)
        return of_estimate(slo, place, "the knee", lambda level: load(level, evidence.model))
    if knee is not None and knee.high is not None:
        why = f"the knee is at or below {load(knee.high, evidence.model)}"
        if slo.against is None and slo.holds(0.0) != slo.holds(knee.high):
            raise Unresolved(f"{why}: only lower levels can decide it")
        return SloMeasurement(0.0, 0.0, knee.high, why, shown=False)
    if knee is not None and knee.low is not None:
        why = f"no knee was found up to {load(max(evidence.points), evidence.model)}"
        if slo.against is None and slo.holds(knee.low) != slo.holds(math.inf):
            raise Unresolved(f"{why}: only higher levels can decide it")
        return SloMeasurement(math.inf, knee.low, math.inf, why, shown=False)
    raise Unresolved(f"a knee takes {knees.LEAST_LEVELS} valid levels")


def _estimate(seen: SloMeasurement) -> Estimate | None:
    return ratios.bounded(seen) if seen.shown and math.isfinite(seen.value) else None
