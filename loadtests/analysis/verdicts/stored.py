"""Two saved runs of a deployment -> a verdict. The weaker method.

The interval of a point knows the noise within its run alone: not that of another start of the
service, another hour, another neighbour. So a change is called one only when an interval of 99 %
leaves 1 out and the change itself is beyond the margin.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from loadtests.analysis.checks import canaries
from loadtests.analysis.light_scipy import special
from loadtests.analysis.numbers import load, percent
from loadtests.analysis.stats import failure_shares
from loadtests.analysis.stats.intervals import proportion
from loadtests.analysis.stats.ratios import ratio
from loadtests.analysis.stats.sample_size import CONFIDENCE
from loadtests.analysis.verdicts import answers
from loadtests.analysis.verdicts.config import ALARMS, EACH, ERRORS, LONGEST, POWER, RISE
from loadtests.analysis.verdicts.text import amount, change, minutes, would_have_been_seen
from loadtests.results import QUANTILES, Change, Estimate, Kind, Point, Verdict

NOTE = "A stored baseline: what changes from run to run is not in these intervals."
BASELINE, NEW = "the baseline", "the new run"  # A and B
METRIC = "p95"  # decides
METRICS = ("p50", "p95", "p99", "throughput")
MARGIN = 0.05
_LUCK = 0.5  # standard errors that are allowed for when more time is predicted
_MOVING = {"drifting": "drifting", "unsteady": "not steady"}
_USUAL = float(special.ndtri((1 + CONFIDENCE) / 2))

Sign = Literal[-1, 0, 1]  # B is better, the same, worse


def verdict(
    names: tuple[str, str],
    in_a: Sequence[Point],
    in_b: Sequence[Point],
    level: int | None = None,
    margin: float = MARGIN,
) -> Verdict:
    """
    Whether a deployment is better in B than in A, the baseline, from its points of all requests.

    p95 decides, at one level. A failure counts as infinitely slow. WORSE is also what fails more
    often, by more than a percentage point and more than chance: so a faster p95 makes no BETTER.

    Args:
        names: of the deployment in A and in B.
        level: that decides. Without it the highest one that both measured validly and at which the
            response times of one of them, at least, have an end.
        margin: the change that does not matter, as a share; from 1 / (1 + margin) to 1 + margin.
    """
    side_a, side_b = ({point.level: point for point in side} for side in (in_a, in_b))
    pairs = {at: _Pair(a, side_b[at], margin) for at, a in side_a.items() if at in side_b}
    at = _highest(pairs) if level is None else level
    seen = pairs.get(at) if at is not None else None
    found = (
        seen.judged() if seen else _StoredFinding("INVALID", _missing(side_a, side_b, pairs, level))
    )
    decided = found.kind != "INVALID"
    unsaid = Verdict(
        verdict=found.kind,
        method="stored",
        a=names[0],
        b=names[1],
        metric=METRIC,
        level=at,
        margin=margin,
        ratio=seen.ratio if seen and decided else None,
        minimum_detectable_change=seen.minimum_detectable_change if seen and decided else None,
        sentence="",
        problems=[*_passed_over(pairs, at), *(seen.problems() if seen else [])],
        seconds_needed=found.seconds_needed,
        changes=[*_changes(pairs, at)],
    )
    return _said(unsaid, found.told)


def invalid(verdict: Verdict, why: str) -> Verdict:
    """The comparison as INVALID, for a reason that lies outside of it."""
    nothing: dict[str, Any] = {
        "verdict": "INVALID",
        "ratio": None,
        "minimum_detectable_change": None,
        "seconds_needed": None,
        "changes": [],
    }
    return _said(verdict.model_copy(update=nothing), why)


def _said(verdict: Verdict, told: str) -> Verdict:
    sentence = f"{verdict.title}: {verdict.verdict}. {told}"
    return verdict.model_copy(update={"sentence": sentence})


@dataclass(frozen=True, slots=True)
class _StoredFinding:
    """
    `told`: why, in sentences. `unsure`: what is said besides when nothing else decides. `more`:
    seconds that would probably decide it.
    """

    kind: Kind
    told: str
    unsure: str = ""
    seconds_needed: float | None = None


@dataclass(frozen=True)
class _Pair:
    """The points of both runs at one level."""

    a: Point
    b: Point
    margin: float

    @property
    def valid(self) -> bool:
        return self.a.valid and self.b.valid

    @property
    def at(self) -> str:
        return load(self.a.level, self.a.model)

    @cached_property
    def ratio(self) -> Estimate | None:
        return of_metric(self.a, self.b, METRIC)

    @property
    def tells(self) -> bool:
        """Whether it can decide: in one of the two, at least, p95 is known and has an end."""
        sides = self.a, self.b
        return self.valid and (
            all(_time(point, METRIC) for point in sides) or sum(map(_endless, sides)) == 1
        )

    @cached_property
    def answers(self) -> list[str]:
        """Differences between the successes of both sides, as sentences."""
        return answers.of_points(self.a, self.b, (BASELINE, NEW), self._sizes_apart)

    def _sizes_apart(self, seen: Estimate) -> bool:
        return apart(seen, answers.LEAST, ALARMS) != 0

    @property
    def endless(self) -> bool:
        return _endless(self.a) and _endless(self.b)

    @cached_property
    def minimum_detectable_change(self) -> float | None:
        """The slow-down that would have been called one in POWER of such comparisons, a share."""
        half = _half_width(self.ratio, 1)
        if half is None:
            return None
        sure = max(_z(EACH) * half / _USUAL, math.log1p(self.margin))
        return math.expm1(sure + float(special.ndtri(POWER)) * half / _USUAL)

    def judged(self) -> _StoredFinding:
        if not self.valid:
            failures = [self._failing()] if abs(self._rise) >= failure_shares.LARGE else []
            return _StoredFinding("INVALID", " ".join([*failures, *self._invalid()]))
        found = self._judged()
        if found.kind == "BETTER" and (differing := self.answers):
            told = f"{found.told} {answers.other_work(differing)}"
            return _StoredFinding("INVALID", told)
        return found

    def _judged(self) -> _StoredFinding:
        times, errors = self._times(), self._errors()
        if errors:
            # Fewer failures that come with slower answers are a regression, too: one of the two is.
            worse = errors > 0 or times.kind == "WORSE"
            told = f"{self._failing()} {times.told}{self._seen(times.kind)}"
            return _StoredFinding("WORSE" if worse else "BETTER", told)
        told = f"{times.told}{times.unsure}{self._seen(times.kind)}"
        return _StoredFinding(times.kind, told, seconds_needed=times.seconds_needed)

    def _times(self) -> _StoredFinding:
        """What p95 alone says."""
        endless = [point for point in (self.a, self.b) if _endless(point)]
        if len(endless) == 2:
            return _StoredFinding("INVALID", self._endless())
        if endless:
            return self._one_endless(endless[0])
        if self.ratio is None:
            few = min((self.a, self.b), key=lambda p: (_time(p, METRIC) is not None, p.requests))
            side = BASELINE if few is self.a else NEW
            told = f"{few.requests:,} requests at {self.at} in {side} are too few for {METRIC}."
            return _StoredFinding("UNRESOLVED", told)
        told = self._change(self.ratio)
        if self.ratio.low is None or self.ratio.high is None:
            return _StoredFinding("UNRESOLVED", told, " It has no interval: measure for longer.")
        edge = math.log1p(self.margin)
        if max(-math.log(self.ratio.low), math.log(self.ratio.high)) <= edge:
            return _StoredFinding("EQUIVALENT", f"{told} The margin is {percent(self.margin)}.")
        if sign := apart(self.ratio, self.margin):
            return _StoredFinding("WORSE" if sign > 0 else "BETTER", told)
        more = self._more(self.ratio)
        unsure = f" That is neither within {percent(self.margin)} nor surely a change."
        if more is None:
            unsure += " An hour more in both would not decide it."
        else:
            unsure += f" About {minutes(more)} more at {self.at} in both would decide it."
        return _StoredFinding("UNRESOLVED", told, unsure, more)

    def _one_endless(self, endless: Point) -> _StoredFinding:
        """Response times grow without end in one run, or more than p95 allows for fail."""
        sign: Sign = 1 if endless is self.b else -1
        answered = of_metric(self.a, self.b, "throughput")
        if _unstable(endless) and answered and apart(answered, 0.0) == -sign:
            return _StoredFinding("WORSE" if sign > 0 else "BETTER", self._endless())
        return _StoredFinding("UNRESOLVED", self._endless(), " That may be chance.")

    def _endless(self) -> str:
        why = []
        for side, point in self._sides():
            if _unstable(point):
                why.append(f"more came than was answered in {side}")
            elif _endless(point):
                why.append(f"{percent(point.errors.rate)} of the requests fail in {side}")
        return f"{METRIC} at {self.at} has no end: {' and '.join(why)}."

    def _errors(self) -> Sign:
        """1: more requests fail in B, -1: fewer; by more than RISE and more than chance."""
        if sign := _failures_apart(self.a, self.b, 1 - CONFIDENCE):
            return sign
        if abs(self._rise) < failure_shares.LARGE:
            return 0
        # With few requests two intervals overlap before the test of both says that it is chance.
        effect = max(_effect(self.a), _effect(self.b))
        shares = [(one.errors.rate, one.requests / effect) for one in (self.a, self.b)]
        if failure_shares.p_value(*shares) >= EACH:
            return 0
        return 1 if self._rise > 0 else -1

    @property
    def _rise(self) -> float:
        return self.b.errors.rate - self.a.errors.rate

    def _failing(self) -> str:
        shares = [percent(point.errors.rate) for point in (self.b, self.a)]
        return f"{shares[0]} of the requests at {self.at} fail, {shares[1]} in {BASELINE}."

    def _change(self, seen: Estimate) -> str:
        a, b = (_time(point, METRIC) for point in (self.a, self.b))
        values = [amount(METRIC, one.value) if one else "?" for one in (b, a)]
        ends = ""
        if seen.low is not None and seen.high is not None:
            ends = f" ({change(seen.low).removesuffix(' %')} to {change(seen.high)})"
        what = f"{METRIC} at {self.at} is {change(seen.value)}{ends}"
        return f"{what}: {values[0]} against {values[1]}."

    def _seen(self, kind: Kind) -> str:
        text = would_have_been_seen(kind, self.ratio, self.minimum_detectable_change)
        return f" {text}" if text else ""

    def _more(self, seen: Estimate) -> float | None:
        """The seconds that would decide it, by the square root law, with a margin for luck."""
        effect, edge = abs(math.log(seen.value)), math.log1p(self.margin)
        sign: Sign = 1 if seen.value >= 1 else -1
        if effect > edge:
            half = _half_width(seen, sign)
            wanted = min(effect / (_z(EACH) + _LUCK), (effect - edge) / _LUCK)
        else:
            half = _half_width(seen, -sign)
            wanted = (edge - effect) / (_USUAL + _LUCK)
        if half is None or wanted <= 0:
            return None
        longer = max(self.a.seconds, self.b.seconds) * ((half / _USUAL / wanted) ** 2 - 1)
        return longer if 0 < longer <= LONGEST else None

    def _invalid(self) -> Iterator[str]:
        for side, point in self._sides():
            if not point.valid:
                why = "; ".join(point.problems) or "no reason is known"
                yield f"At {self.at} {side} is not valid: {why}."

    def problems(self) -> Iterator[str]:
        """What weakens the numbers without forbidding them."""
        for side, point in self._sides():
            if point.steady in _MOVING:
                yield f"{side} is {_MOVING[point.steady]} at {self.at}"
            if point.errors.rate and not point.response_time_with_failures and not _endless(point):
                yield f"{side} has no times with failures: its times are those of successes only"
        if {*self.a.errors.kinds} != {*self.b.errors.kinds}:
            kinds = [", ".join(sorted(p.errors.kinds)) or "nothing" for p in (self.a, self.b)]
            what = f"{kinds[1]} against {kinds[0]} in {BASELINE}"
            yield f"what fails at {self.at} differs: {what}"
        if text := canaries.apart(self.a, self.b):
            yield f"at {self.at} {NEW} is not comparable in what needs CPU: {text}"
        if self.valid:
            yield from self.answers

    def _sides(self) -> list[tuple[str, Point]]:
        return [(BASELINE, self.a), (NEW, self.b)]


def of_metric(a: Point, b: Point, metric: str) -> Estimate | None:
    """B over A, a failure being infinitely slow; null where one has no value or no end."""
    if metric == "throughput":
        return ratio(a.throughput, b.throughput)
    return ratio(_time(a, metric), _time(b, metric))


def apart(seen: Estimate, margin: float, alarms: float = EACH) -> Sign:
    """
    1: the ratio is above one, -1: below; by more than the margin, and with an interval that holds
    the truth with 1 - `alarms` and leaves one out. 0: neither can be said.
    """
    effect = math.log(seen.value)
    sign: Sign = 1 if effect > 0 else -1
    half = _half_width(seen, sign)
    if half is None or abs(effect) <= math.log1p(margin):
        return 0
    return sign if abs(effect) > half * _z(alarms) / _USUAL else 0


def _half_width(seen: Estimate | None, sign: Sign) -> float | None:
    """The half width of the interval on the log scale, to one side of the ratio."""
    if seen is None or seen.low is None or seen.high is None:
        return None
    return math.log(seen.value / seen.low) if sign > 0 else math.log(seen.high / seen.value)


def _z(alarms: float) -> float:
    return float(special.ndtri(1 - alarms / 2))


def _time(point: Point, metric: str) -> Estimate | None:
    if _failing(point, metric):
        return None
    if point.errors.rate and point.response_time_with_failures:
        return point.response_time_with_failures.get(metric)
    return point.response_time.get(metric)


def _failing(point: Point, metric: str) -> bool:
    """Whether enough requests fail that the quantile is a failure."""
    return point.errors.rate > 1 - QUANTILES[metric]


def _unstable(point: Point) -> bool:
    return point.steady == "over-saturated"


def _endless(point: Point) -> bool:
    return _unstable(point) or _failing(point, METRIC)


def _failures(a: Point, b: Point, alarms: float) -> list[tuple[float, float]]:
    """
    The interval of the true share of failures of each side.

    Failures of the one side come in bursts as those of the other do, where a side has too few to
    show it: so each counts for as few independent requests as the worse of the two says.
    """
    effect = max(_effect(a), _effect(b))
    found = []
    for point in (a, b):
        worth = point.requests / effect
        found.append(proportion(point.errors.rate * worth, worth, alarms / 2))
    return found


def _effect(point: Point) -> float:
    """How many requests tell as much of the share of failures as an independent one."""
    effective = point.errors.effective
    return max(point.requests / effective, 1.0) if effective else 1.0


def _failures_apart(a: Point, b: Point, alarms: float) -> Sign:
    rise = b.errors.rate - a.errors.rate
    if abs(rise) <= RISE or not (a.requests and b.requests):
        return 0
    (low_a, high_a), (low_b, high_b) = _failures(a, b, alarms)
    return 1 if low_b > high_a else -1 if high_b < low_a else 0


def _highest(pairs: Mapping[int, _Pair]) -> int | None:
    """The level that decides unless one is asked for."""
    telling = [at for at, pair in pairs.items() if pair.tells]
    valid = [at for at, pair in pairs.items() if pair.valid]
    return max(telling or valid or pairs, default=None)


def _missing(
    in_a: Mapping[int, Point],
    in_b: Mapping[int, Point],
    pairs: Mapping[int, _Pair],
    level: int | None,
) -> str:
    for side, points in ((BASELINE, in_a), (NEW, in_b)):
        if not points:
            return f"Nothing was measured in {side}."
        if level is not None and level not in points:
            model = next(iter(points.values())).model
            return f"{load(level, model)} were not measured in {side}."
    return "The two have no level in common."


def _passed_over(pairs: Mapping[int, _Pair], at: int | None) -> Iterator[str]:
    """Why no higher level decides."""
    for level in sorted(pairs, reverse=True):
        if at is None or level <= at:
            return
        pair = pairs[level]
        if not pair.valid:
            sides = [n for n, p in ((BASELINE, pair.a), (NEW, pair.b)) if not p.valid]
            yield f"{pair.at} could not decide: not valid in {' and '.join(sides)}"
        elif not pair.tells:
            why = "is not known" if not pair.endless else "has no end in either"
            yield f"{pair.at} could not decide: {METRIC} {why}"


def _changes(pairs: Mapping[int, _Pair], at: int | None) -> Iterator[Change]:
    """
    Every metric and level other than the one that decides, at valid levels; all of them together
    are falsely called changed as seldom as the one that decides (Bonferroni).
    """
    valid = {level: pair for level, pair in sorted(pairs.items()) if pair.valid}
    asked = [
        (metric, level)
        for level in valid
        for metric in (*METRICS, ERRORS)
        if (metric, level) != (METRIC, at)
    ]
    found = {
        (metric, level): of_metric(valid[level].a, valid[level].b, metric)
        for metric, level in asked
        if metric != ERRORS
    }
    told = {key: seen for key, seen in found.items() if seen is not None}
    count = len(told) + sum(metric == ERRORS for metric, _ in asked) or 1
    for metric, level in asked:
        pair = valid[level]
        if metric == ERRORS:
            yield _errors_changed(pair, count)
        elif (seen := told.get((metric, level))) is not None:
            yield Change(
                metric=metric,
                level=level,
                change=_widened(seen, _z((1 - CONFIDENCE) / count) / _USUAL),
                changed=apart(seen, pair.margin, ALARMS / count) != 0,
            )


def _errors_changed(pair: _Pair, count: int) -> Change:
    a, b = pair.a, pair.b
    low = high = None
    if a.requests and b.requests:
        (low_a, high_a), (low_b, high_b) = _failures(a, b, (1 - CONFIDENCE) / count)
        low, high = low_b - high_a, high_b - low_a
    rise = Estimate(value=b.errors.rate - a.errors.rate, low=low, high=high)
    sign = _failures_apart(a, b, ALARMS / count)
    return Change(metric=ERRORS, level=a.level, change=rise, changed=sign != 0)


def _widened(seen: Estimate, factor: float) -> Estimate:
    if seen.low is None or seen.high is None:
        return seen
    low = seen.value * (seen.low / seen.value) ** factor
    return Estimate(value=seen.value, low=low, high=seen.value * (seen.high / seen.value) ** factor)
