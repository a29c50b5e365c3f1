"""Whether throughput follows the load: one law for knees, causes and ceilings.

The interactive response time law holds for any service, whatever fails, thinks or hides: as long as
no request waits for another one, N users get N / (R_0 + Z) successes a second (Denning and Buzen,
The Operational Analysis of Queueing Network Models, 1978). So the zero-load cycle R_0 + Z is N / X
at the levels below the knee, and needs neither response times nor a think time.

Between the levels the curve lies in a band. Above it are the two asymptotes N / (R_0 + Z) and
X_max, which cross at the knee N* = X_max (R_0 + Z). Below it is the same system with all of its
queueing in one exponential server (mean value analysis, in Schweitzer's approximation). A knee is
possible where the measured levels fit into its band: the interval is that of the profile
likelihood, so levels near the knee say as much as they can, and a lowest level that lies beyond it
says only that the knee is not above.
"""

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtests.analysis.band import DEVIATIONS, Band, Numbers
from loadtests.analysis.light_scipy import special
from loadtests.results import Estimate, Point

FOLLOWING = 0.9  # of N / (R_0 + Z): with less throughput, a level does not follow the load
ANSWERED = 0.95  # ... of the open model's arrivals
FALLING = 0.05  # of X_max
FAILING = 0.05  # of the requests, beyond those that fail at lower levels already
CHANCE = 0.01  # that one level or more of a service without a limit is said not to follow
BETWEEN = 0.01  # half of an interval: what two stages differ by beyond what their own ones say

ALONE = 1.05  # requests in flight of a single user, which sends one at a time

_SIGNIFICANCE = 0.01
_UNSETTLED = 0.25  # relative error of a level that had not come to rest
_NOTHING = 1.0  # ... and of the half request that stands for a level without any success
_DEPENDENT = 10.0  # requests, at most, that are worth one independent one
_NEAR = 1.1  # times the lowest level: a knee that is not higher lies at it, or below
_AT = 0.95  # of the knee: a level from here on may be on the plateau
_MANY = 3.0  # times as many requests show what is rare
_GROWN = 1.1  # times as long in the service as at the lowest rate: a queue was built


@dataclass(frozen=True, slots=True)
class Value:
    """
    A value and the wider half of its interval; math.inf when that is not known.

    What disturbances can have done makes one half wider: the value may be at its end.
    """

    value: float
    half: float

    @classmethod
    def of(cls, estimate: Estimate) -> "Value":
        if estimate.low is None or estimate.high is None:
            return cls(estimate.value, math.inf)
        half = max(estimate.high - estimate.value, estimate.value - estimate.low)
        return cls(estimate.value, half)


@dataclass(frozen=True, slots=True)
class ClosedLaw:
    """
    What the levels of a closed model say about load and throughput.

    `cycle` is R_0 + Z in seconds for each success; its low end is None when the lowest level lies
    beyond the knee. `most` is X_max. `low` and `high` bound the knee, in users: `low` is None when
    it may be at or below the lowest level, `high` when it may be beyond the highest one; `best` is
    the one that fits the levels best. `falls`: throughput at the highest level is lower than X_max.
    `failing`: the share of failures from which a level does not follow the load; None where no
    level has so large a share.
    """

    cycle: Estimate
    most: Value
    low: float | None
    high: float | None
    best: float
    falls: bool
    levels: int
    lowest: int
    failing: float | None = None

    @property
    def knee(self) -> float:
        """X_max (R_0 + Z); where the bounds exclude it, the knee that fits best."""
        crossing = self.most.value * self.cycle.value
        if not (self.low or 0.0) * (1 - 1e-9) <= crossing < (self.high or math.inf):
            return self.best
        return max(crossing, self.low or 0.0)

    @property
    def saturated(self) -> bool:
        """Whether the lowest level lies beyond the knee already."""
        return self.low is None and self.high is not None

    def expected(self, point: Point) -> float | None:
        """Successes a second that the load gives without a queue; None when that is not known."""
        return None if self.saturated else point.level / self.cycle.value

    def follows(self, point: Point) -> bool:
        """
        Whether throughput follows the load at this level.

        It does not when less than FOLLOWING of what the load would give succeeded, whatever
        disturbed it, and the intervals of both together exclude chance at any level of a service
        without a limit; or when many more requests fail than at the levels below.
        """
        if point.level == 1 and (point.in_flight or 0.0) <= ALONE:
            return True  # a request that is alone waits for no other
        if self.saturated and point.level <= self.lowest:
            return (self.high or math.inf) > _NEAR * self.lowest  # the knee may lie above it
        if self.failing is not None and failing_at_least(point, self.levels) > self.failing:
            return False
        reached = math.exp(_logarithm(point) + _slack(point))
        ratio = reached * self.cycle.value / point.level
        if ratio >= FOLLOWING:
            return True
        high = self.cycle.high or math.inf
        known = math.log(high / self.cycle.value) / DEVIATIONS
        waiting = _failing_users(point)
        stuck = math.sqrt(waiting) / max(point.level - waiting, 1.0)
        error = math.hypot(_error(point), BETWEEN / DEVIATIONS, known, stuck)
        return -math.log(ratio) < error * _certain(self.levels)


def _failing_users(point: Point) -> float:
    """
    Users who wait for a failure, by Little's law: those in flight who do not wait for a success.

    Where failures take long and are rare, their number is a matter of chance. They may have begun
    before the window, so that it holds no failure.
    """
    mean = point.response_time.get("mean")
    if point.model == "open" or point.in_flight is None or mean is None:
        return 0.0
    return max(point.in_flight - point.throughput.value * mean.value, 0.0)


@dataclass(frozen=True, slots=True)
class OpenLaw:
    """
    What the rates of an open model say: `usual` is the part that succeeds at the lowest rate,
    `unsure` half of its interval, `stay` the seconds that a request spends in the service there.
    """

    usual: float
    unsure: float
    stay: float | None
    lowest: int
    levels: int

    def expected(self, point: Point) -> float | None:
        """Successes a second, were all answered as at the lowest rate."""
        return self.usual * point.requests / point.seconds if point.seconds else None

    def follows(self, point: Point) -> bool:
        """
        Whether as many succeed as at the lowest rate, of those that come.

        Answers that are still under way when the window ends are not missing: requests then stay
        no longer than at the lowest rate, and no more of them fail.
        """
        came = point.requests / point.seconds if point.seconds else 0.0
        unstable = point.steady == "over-saturated"
        due = self.usual * came
        rate = _undisturbed(point)
        known = rate.half if math.isfinite(rate.half) else math.sqrt(due / (point.seconds or 1.0))
        known += point.noise.get("throughput", 0.0)
        slack = math.hypot(known, self.unsure * came) * _certain(self.levels) / DEVIATIONS
        if rate.value + slack >= due or (not unstable and rate.value >= ANSWERED * due):
            return True
        if 1 - point.errors.rate < ANSWERED * self.usual or point.in_flight is None or not came:
            return False
        if point.level == self.lowest:
            return not unstable
        return self.stay is not None and point.in_flight / came <= _GROWN * self.stay


Law = ClosedLaw | OpenLaw


def law(points: Iterable[Point]) -> Law | None:
    """
    The law of one deployment, from its points of all requests; None when nothing succeeded.

    Source: Denning and Buzen 1978; Reiser and Lavenberg 1980 for mean value analysis.
    """
    seen = usable(points)
    if not seen:
        return None
    if seen[0].model == "open":
        first = seen[0]
        came = first.requests / first.seconds
        stay = None if first.in_flight is None or not came else first.in_flight / came
        unsure = share_error([first])
        return OpenLaw(1 - first.errors.rate, unsure, stay, first.level, len(seen))
    return _closed(seen)


def usable(points: Iterable[Point]) -> list[Point]:
    """
    The points of all requests that count, from the lowest level at which something succeeded.

    A level at which nothing succeeds any more is a collapse, and as good a result as any; a rate
    whose answers all came after the window says nothing of throughput.
    """
    valid = (
        point
        for point in points
        if point.request == "all"
        and point.counts
        and not point.other_mix
        and point.seconds
        and (point.throughput.value or point.errors.rate or point.model == "closed")
    )
    found = sorted(valid, key=lambda point: point.level)
    first = next((i for i, point in enumerate(found) if point.throughput.value), len(found))
    return found[first:]


def steady(seen: Sequence[Point], *also: str) -> Sequence[Point]:
    """The steady levels, or those too short to tell; all levels if there are none."""
    return [point for point in seen if point.steady in (None, "steady", *also)] or seen


def plateau(seen: Sequence[Point]) -> list[Point]:
    """The levels whose throughput cannot be told from the highest one, that one first."""
    settled = [point for point in steady(seen, "over-saturated") if point.throughput.value]
    ranked = sorted(settled or seen, key=lambda point: point.throughput.value, reverse=True)
    rates = [_undisturbed(point) for point in ranked]
    count = _alike(rates, [point.seconds for point in ranked])
    return ranked[:count]


def most_of(points: Sequence[Point]) -> Value:
    """
    X_max: the mean over the levels of a plateau.

    The highest one alone would be the luckiest one, and too high. Noise makes all of them lower, so
    that of the mean is the mean of theirs.
    """
    rates = [_undisturbed(point) for point in points]
    seconds = [point.seconds for point in points]
    found = pooled(rates, seconds)
    noise = [point.noise.get("throughput", 0.0) for point in points]
    mean = sum(map(operator.mul, noise, seconds)) / sum(seconds)
    return Value(found.value, found.half + mean)


def pooled(values: Sequence[Value], weights: Sequence[float]) -> Value:
    """
    The mean of as many values from the front as may be one and the same; the first at least.

    They may when Cochran's Q, the sum of their squared deviations in units of their errors, is not
    significant (The combination of estimates from different experiments, Biometrics 1954). The
    weights are sizes of samples: inverse variances, estimated from a few batches each, would favour
    those that happen to look certain. The interval grows by the Birge ratio where the values
    disagree more than their own intervals say.
    """
    count = _alike(values, weights)
    mean, halves, q = _combined(values[:count], weights[:count])
    if count == 1:
        return Value(mean, float(halves[0]))
    shares = np.array(weights[:count]) / sum(weights[:count])
    disagreement = max(1.0, math.sqrt(q / (count - 1)))
    return Value(mean, disagreement * float(np.linalg.norm(shares * halves)))


def _alike(values: Sequence[Value], weights: Sequence[float]) -> int:
    for count in range(len(values), 1, -1):
        _, halves, q = _combined(values[:count], weights[:count])
        if np.isfinite(halves).all() and special.chdtrc(count - 1, q) > _SIGNIFICANCE:
            return count
    return 1


def _combined(values: Sequence[Value], weights: Sequence[float]) -> tuple[float, Numbers, float]:
    """Mean, halves with what stages differ by, and Cochran's Q."""
    means = np.array([one.value for one in values])
    halves = np.hypot([one.half for one in values], BETWEEN * means)
    halves = np.maximum(halves, 1e-6 * means.max() + 1e-12)  # of a value of zero
    shares = np.array(weights) / sum(weights)
    mean = float(shares @ means)
    deviations = (means - mean) / (halves / DEVIATIONS)
    return mean, halves, float(deviations @ deviations)


def share_error(points: Sequence[Point]) -> float:
    """Half of the interval of the part that fails at these levels together; of coins."""
    came = sum(point.requests for point in points)
    failed = sum(point.errors.rate * point.requests for point in points)
    share = failed / came if came else 0.0
    return DEVIATIONS * math.sqrt(share * (1 - share) / came) if came else 0.0


def failing_at_least(point: Point, levels: int) -> float:
    """The lower bound of the share that fails at one of `levels`; of independent requests."""
    share, size = point.errors.rate, point.errors.effective or point.requests
    error = math.sqrt(share * (1 - share) / size) if size else math.inf
    return share - _certain(levels) * error


def _more_fail(seen: Sequence[Point]) -> tuple[int, float] | None:
    """The lowest level at which many more requests fail than below it, and the share from which."""
    for index, point in enumerate(seen[1:], 1):
        below = seen[:index]
        came = sum(one.requests for one in below)
        failed = sum(one.errors.rate * one.requests for one in below)
        from_here = failed / max(came, 1) + share_error(below) + FAILING
        if failing_at_least(point, len(seen)) > from_here:
            return point.level, from_here
    return None


def falls(top: Point, most: Value) -> bool:
    """Whether throughput at this level is lower than X_max, beyond noise and worth a word."""
    noise = math.hypot(half_width(top), most.half if math.isfinite(most.half) else half_width(top))
    return most.value - top.throughput.value - noise > FALLING * most.value


def may_fall(top: Point, most: Value, part: float) -> bool:
    """Whether the interval of what is lost at this level reaches beyond this part of X_max."""
    lost = most.value - top.throughput.value + math.hypot(half_width(top), most.half)
    return lost > part * most.value


def half_width(point: Point) -> float:
    """Half of the throughput's interval; that of a count where the window was too short for one."""
    half = Value.of(point.throughput).half
    if math.isfinite(half):
        return half
    noise = point.noise.get("throughput", 0.0)
    return DEVIATIONS * _error(point) * point.throughput.value + noise


def _logarithm(point: Point) -> float:
    """The logarithm of the throughput; half a success stands for none."""
    return math.log(max(point.throughput.value, 0.5 / point.seconds))


def _undisturbed(point: Point) -> Value:
    """
    The throughput with the interval that it would have without its noise.

    A few batches can leave more room than their requests do, however these depend on each other,
    and than a window that moves.
    """
    seen, noise = point.throughput, point.noise.get("throughput", 0.0)
    if seen.high is not None and noise:
        seen = seen.model_copy(update={"high": max(seen.high - noise, seen.value)})
    rate = Value.of(seen)
    if math.isfinite(rate.half):
        most = DEVIATIONS * max(_of_count(point, _DEPENDENT), _UNSETTLED)
        rate = Value(rate.value, min(rate.half, most * max(rate.value, 0.5 / point.seconds)))
    return rate


def _slack(point: Point) -> float:
    """
    Logarithm of how many times the throughput can have been what it is, without the disturbances.

    They make it lower at all levels, so this is not an error that several levels average out.
    """
    value = point.throughput.value
    return math.log1p(point.noise.get("throughput", 0.0) / value) if value else 0.0


def _error(point: Point) -> float:
    """
    The relative standard error of throughput.

    Where the window was too short for an interval: that of a count, and of one request more or
    less of each user.
    """
    if not point.throughput.value:
        return _NOTHING
    if point.steady not in (None, "steady", "over-saturated"):
        return _UNSETTLED
    rate = _undisturbed(point)
    if math.isfinite(rate.half):
        return rate.half / rate.value / DEVIATIONS
    return _of_count(point)


def _of_count(point: Point, dependent: float = 1.0) -> float:
    """
    The relative standard error of a throughput as a count, and of one request more or less of each
    user.

    Args:
        dependent: requests that are worth one independent one.
    """
    count = max(point.throughput.value * point.seconds, 0.5)
    users = point.level if point.model == "closed" else 0.0
    return math.sqrt(dependent / count) + users / count / DEVIATIONS


def _errors(seen: Sequence[Point]) -> Numbers:
    """
    The relative standard errors of throughput, none smaller than its number of requests allows.

    A request brings as much variance at any level. A low level has too few of them to show what is
    rare and slow: without a single timeout in it, it looks more certain than it is. What its
    requests bring is therefore taken from the levels with several times as many of them, too.
    """
    own = np.array([_error(point) for point in seen])
    counts = np.array([max(point.throughput.value * point.seconds, 0.5) for point in seen])
    each = own**2 * counts
    others = [each[counts >= _MANY * count] for count in counts]
    # Of two levels the surer one: a window that jumped says nothing of the others.
    shared = np.array([np.quantile(m, 0.5, method="lower") if len(m) else 0.0 for m in others])
    errors: Numbers = np.hypot(np.maximum(own, np.sqrt(shared / counts)), BETWEEN / DEVIATIONS)
    return errors


def _certain(levels: int) -> float:
    """Standard errors beyond which one of `count` levels comes by chance with CHANCE."""
    return float(special.ndtri(1 - CHANCE / max(levels, 1)))


def _closed(seen: Sequence[Point]) -> ClosedLaw:
    highest = plateau(seen)
    most = most_of(highest)
    down = falls(seen[-1], most)
    users = np.array([float(point.level) for point in seen])
    rates = np.array([_logarithm(point) for point in seen])
    slack = np.array([_slack(point) for point in seen])
    band = Band(users, rates, slack, _errors(seen), _unbound(seen, highest, most, down))
    (low, high), best, (short, long) = band.region()
    if seen[0].level > 1 and _as_much(band):
        low = short = None  # it may lie beyond the knee: chance alone makes the band say more
    cycle = min(max(_cycle(seen, most.value), short or 0.0), long)
    more = _more_fail(seen)
    if more is not None and low is not None:
        high = min(high or math.inf, float(more[0]))
        if low >= high:  # failures begin where throughput would still follow the load
            low = float(max(point.level for point in seen if point.level < high))
        best = min(best, high)
    return ClosedLaw(
        cycle=Estimate(value=cycle, low=short, high=long),
        most=most,
        low=low,
        high=high,
        best=best,
        falls=down,
        levels=len(seen),
        lowest=seen[0].level,
        failing=None if more is None else more[1],
    )


def _as_much(band: Band) -> bool:
    """Whether no level is sure to have more throughput than the lowest one."""
    errors = np.hypot(band.errors[0], band.errors)
    missing = band.rates - band.rates[0] - band.slack[0]
    return bool((missing <= _certain(len(band.rates)) * errors).all())


def _cycle(seen: Sequence[Point], most: float) -> float:
    """
    N / X over the levels up to half way to the knee; seconds.

    The lowest level has the fewest requests, so those above it are taken in. What they hold of a
    queue is inside the band, which bounds the result.
    """
    half_way = most * seen[0].level / seen[0].throughput.value / 2
    low = [point for point in seen if point.level <= half_way and point.throughput.value]
    used = steady(low or seen[:1])
    spent = sum(point.level * point.seconds for point in used)
    return spent / sum(point.throughput.value * point.seconds for point in used)


def _unbound(
    seen: Sequence[Point], highest: Sequence[Point], most: Value, down: bool
) -> NDArray[np.bool_]:
    """
    Which levels, beyond the knee, may have less throughput than any queue explains.

    Throughput may fall beyond the knee, and then its highest value may lie between two levels and
    not have been seen. Two levels from the knee on with one and the same throughput say that it has
    not fallen before them; where it falls at a higher one, both must lie beyond the knee.
    """
    knee = most.value * _cycle(seen, most.value)
    start = knee / FOLLOWING if down else _AT * knee
    flat = [point.level for point in highest if point.level >= start]
    if len(flat) >= 2:
        return np.array([point.level > max(flat) for point in seen])
    return np.array([point.level >= highest[0].level for point in seen])
