"""SLOs that compare two deployments: the ratio of what was measured of each."""

import math

from loadtests.analysis.numbers import rounded
from loadtests.analysis.slos.metrics import SloMeasurement, Unresolved, status_of, times_longer
from loadtests.analysis.stats.ratios import ends
from loadtests.plans.slos import Slo
from loadtests.results import Estimate


def divided(
    slo: Slo, names: tuple[str, str], left: SloMeasurement, right: SloMeasurement
) -> SloMeasurement:
    """
    The ratio of two measurements; a value that is infinite or zero on one side bounds it.

    Raises:
        Unresolved: there is no ratio, or none that the SLO can be met by.
    """
    one, other = names
    shown = left.shown and right.shown
    if shown:
        why = f"{left.why} on {one} and {right.told} on {other}"
    else:
        why = f"{one}: {left.why}; {other}: {right.why}"
    if left.value == right.value and (left.value == 0 or math.isinf(left.value)):
        raise Unresolved(f"{why}, which gives no ratio")
    value, low, high = _quotient(left, right)
    longer = times_longer(*map(_log, (value, low, high, slo.threshold)))
    seen = SloMeasurement(
        value, low, high, why + _with_bounds(value, low, high), shown, longer=longer
    )
    degenerate = not shown or 0 in (left.value, right.value)
    if degenerate and slo.metric in ("mean", "throughput") and status_of(slo, seen) == "met":
        # One failure in a million makes a mean infinite: enough to miss by, not to be better than.
        raise Unresolved(f"{why}, so there is no {slo.metric} to be better than")
    return seen


def _quotient(left: SloMeasurement, right: SloMeasurement) -> tuple[float, float, float]:
    """
    left / right and the ends of its interval.

    Errors have no logarithm where a value is infinite or zero: there the ends are those of the
    least and the largest ratio between the two intervals.
    """
    if 0 < left.value < math.inf and 0 < right.value < math.inf:
        low, high = ends(bounded(right), bounded(left))
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


def _with_bounds(value: float, low: float, high: float) -> str:
    """E.g. ", a ratio of 0.546 (0.472 to 0.62)", ", a ratio of at least 3.43"."""
    least = f"at least {rounded(low, 3)}" if 0 < low < math.inf else ""
    most = f"at most {rounded(high, 3)}" if 0 < high < math.inf else ""
    if 0 < value < math.inf:
        both = f"{rounded(low, 3)} to {rounded(high, 3)}" if least and most else least or most
        return f", a ratio of {rounded(value, 3)}{f' ({both})' if both else ''}"
    bound = least if math.isinf(value) else most
    return f", a ratio of {bound}" if bound else ""


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def bounded(seen: SloMeasurement) -> Estimate:
    """The value with the ends of its interval that are finite."""
    low, high = (end if math.isfinite(end) else None for end in (seen.low, seen.high))
    return Estimate(value=seen.value, low=low, high=high)
