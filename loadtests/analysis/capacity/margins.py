"""What one stage says about the SLOs: how far each was met, as a *margin*, and how surely."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from loadtests.analysis.checks.generator import FAR, answered_with_failures
from loadtests.analysis.numbers import duration, percent, rate
from loadtests.analysis.stats.intervals import proportion
from loadtests.analysis.stats.sample_size import TAIL
from loadtests.plans.slos import Slo
from loadtests.results import Estimate, Point

RESOLUTION = 0.05  # of the level, or one level: the width of an interval that is narrow enough
BETWEEN = 0.01  # two stages at one level differ by this beyond what each one's interval says
SURE = 2.5  # standard errors; more than 1.96 as a level is tried until it is decided
LONGEST = 8.0  # times as long as the plan says, of a stage
FARTHEST = 0.5  # a margin beyond tells no more than that the border is far away
_DEVIATIONS = 1.96  # standard errors in half an interval
_UNSEEN = 3.0  # failures expected at the threshold, of which none was seen, show that it is met
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
class Slack:
    """How far an SLO is met: the log of threshold over value; above zero it is met."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Trial:
    """
    One stage. `margins` and `seen` by SLO; one that could not be judged is absent.

    `longer`: the times as long that a stage at this level must be to show that it keeps them.
    """

    level: int
    margins: Mapping[str, Slack]
    seen: Mapping[str, str]  # e.g. "p95 212 ms"
    rate: float = 0.0  # answers per second
    rising: frozenset[str] = frozenset()  # SLOs on throughput, which low levels cannot keep
    longer: float = 1.0


def searchable(slos: Mapping[str, Slo], deployment: str) -> dict[str, Slo]:
    """
    The SLOs that a level of this deployment meets or misses. The knee is no such thing, nor is
    what compares two deployments (see `compared`): each is searched at levels of its own.

    Raises:
        ValueError: one that is met above a level and not below it, such as p95 > 10ms; or there
            are only such as compare it with another deployment.
    """
    own = {name: slo for name, slo in slos.items() if slo.deployment in (None, deployment)}
    relative = compared(own)
    found = {n: slo for n, slo in own.items() if slo.metric != "knee" and slo.against is None}
    if relative and not found:
        raise ValueError(
            f"{relative[0]}; add an SLO that {deployment} keeps or misses by itself, "
            "with a threshold such as 250ms"
        )
    for name, slo in found.items():
        upper = slo.comparison in _LOWER_IS_BETTER
        if upper == (slo.metric == "throughput"):
            way = "at least, with >" if slo.metric == "throughput" else "at most, with <"
            raise ValueError(
                f"slos.{name}: {slo.text!r} does not end at a highest level; a search needs "
                f"what {slo.metric} is {way}"
            )
    return found


def compared(slos: Mapping[str, Slo]) -> list[str]:
    """Why SLOs that compare two deployments are not searched for, a phrase for each."""
    return [
        f"slos.{name}: {slo.text!r} compares two deployments, which a search cannot, as it tries "
        "each at levels of its own"
        for name, slo in slos.items()
        if slo.against is not None
    ]


def trial(slos: Mapping[str, Slo], point: Point, slow: Mapping[str, Estimate | None]) -> Trial:
    """
    What one stage says about the SLOs; if it is not valid, only that far too many requests fail.

    A stage that moves, or of which it is not known whether its queue grows, meets no SLO but
    can break one.

    Args:
        slow: the quantiles of all requests by name, a failure being infinitely slow.
    """
    margins, seen = {}, {}
    steady = point.steady == "steady" or (point.model == "closed" and point.steady is None)
    longer = 1.0 if steady or not point.counts else 2.0
    for name, slo in slos.items():
        if not point.counts and not (slo.metric == "errors" and _far(slo, point)):
            continue
        found = _margin(slo, point, slow)
        if found is not None and (steady or found[0].value < 0 or slo.metric == "throughput"):
            margins[name], seen[name] = found
        if slo.metric == "errors" and point.requests:
            longer = max(longer, _UNSEEN / max(slo.threshold * _effective(point), 1e-9))
    rising = frozenset(name for name in margins if slos[name].metric == "throughput")
    return Trial(point.level, margins, seen, point.throughput.value, rising, min(longer, LONGEST))


def _margin(
    slo: Slo, point: Point, slow: Mapping[str, Estimate | None]
) -> tuple[Slack, str] | None:
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
        return Slack(-FARTHEST, BETWEEN), f"{slo.metric} grows to the end"
    if failing or (estimate is not None and math.isinf(estimate.value) and _never(estimate)):
        told = f"{percent(point.errors.rate)} of the requests fail, which counts as too slow"
        return Slack(-FARTHEST, BETWEEN), told
    if estimate is None:
        return None
    told = f"{slo.metric} {'too slow' if math.isinf(estimate.value) else duration(estimate.value)}"
    return _log(slo.threshold, estimate, at_most=True), told


def _never(estimate: Estimate) -> bool:
    return estimate.low is not None and math.isinf(estimate.low)


def _log(threshold: float, seen: Estimate, *, at_most: bool) -> Slack:
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
    return Slack(value, math.hypot(error, BETWEEN))


def _errors(slo: Slo, point: Point) -> tuple[Slack, str] | None:
    """
    The margin of a share, on the arcsine scale that makes its error the same everywhere.

    It is as sure as the likelihood ratio of the share that was seen and the one of the SLO:
    without a single failure, 2 n p of n independent requests are the square of the standard errors
    by which a share below p is met. So n = 3 / p of them are just enough, in one stage or several.
    """
    if not point.requests:
        return None
    share, count = point.errors.rate, _effective(point)
    told = f"{percent(share)} of {point.requests:,} requests failed"
    if (users := point.errors.unanswered) and users / point.level > max(share, slo.threshold):
        share, count = users / point.level, point.level
        told = f"{users} of {point.level} users waited in vain"
    margin = 2 * (math.asin(math.sqrt(slo.threshold)) - math.asin(math.sqrt(share)))
    sure = math.sqrt(2 * count * _divergence(share, slo.threshold))
    # Where the share is the one of the SLO, both are zero, and their ratio is this.
    error = abs(margin) / sure if sure > 1e-6 else 1 / math.sqrt(count)
    return Slack(margin, math.hypot(error, BETWEEN * min(abs(margin), 1.0))), told


def _far(slo: Slo, point: Point) -> bool:
    """Whether far more requests are answered with a failure than the SLO allows."""
    answered, worth = answered_with_failures(point), _effective(point)
    low, _ = proportion(answered * worth, worth, TAIL)
    return answered > FAR and low > slo.threshold


def _divergence(share: float, other: float) -> float:
    """The Kullback-Leibler divergence between two probabilities of a failure."""
    parts = ((share, other), (1 - share, 1 - other))
    return sum(p * math.log(p / max(q, 1e-12)) for p, q in parts if p > 0)


def _effective(point: Point) -> float:
    worth = point.errors.effective
    return max(point.requests if worth is None else worth, 1.0)
