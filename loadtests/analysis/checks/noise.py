"""How far disturbances can have moved the numbers of a point, at most.

A disturbance delays requests, and so it can only have made a response time longer and, where users
wait for answers, throughput lower. By how much is bounded by what was measured of it: how long
processes were without the core that they wanted, how late the generator's timers woke, and how late
the mock's answers were. Nothing here looks at response times to find out what was disturbed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadtests.analysis.checks.generator import Validity
from loadtests.analysis.numbers import duration, percent
from loadtests.recording.histograms import Histogram
from loadtests.results import Estimate, Limit, Resource

USEFUL = 0.25
"""
Of the time from one request of a user to the next (in the open model: of the mean response time):
where disturbances can have made more of it, a point is not valid. With less, intervals that are so
much wider still find a knee and its cause; and of windows in which everything stands still for 10 %
of the time, hardly one has so much.
"""
NOTABLE = 0.02  # of a value: a disturbance that can have moved it by less is not worth a word
NEGLIGIBLE = 0.001  # of a value: less than the histograms resolve
_DELAYS = (0.0, *(0.0002 * 1.4**n for n in range(33)))  # up to ten seconds


@dataclass(frozen=True, slots=True)
class Source:
    """
    One thing that delays steps of requests.

    `steps`: how often a request passes there. `pauses`: (seconds, how many) in which nothing goes
    on; requests then wait for the end. `late`: the share of the steps that were later
    than this many seconds. `seconds`: of the windows. `what`: in words.
    """

    resource: Resource
    what: str
    steps: float
    seconds: float
    pauses: Sequence[tuple[float, float]] = ()
    late: Mapping[float, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Seconds that a step is delayed in the mean."""
        waited = math.fsum(count * length**2 / 2 for length, count in self.pauses) / self.seconds
        return waited + self._mean_late

    @property
    def _mean_late(self) -> float:
        edges = [0.0, *sorted(self.late)]
        # Later than one of these is as late as the next one at most; beyond the last, twice that.
        ends = [*edges[1:], 2 * edges[-1]]
        shares = [max(self.late.values(), default=0.0), *(self.late[at] for at in edges[1:])]
        return math.fsum(
            share * (end - begin) for share, begin, end in zip(shares, edges, ends, strict=True)
        )

    def beyond(self, delay: float) -> float:
        """The share of the steps that were delayed by more than this many seconds, at most."""
        paused = math.fsum(count * max(length - delay, 0.0) for length, count in self.pauses)
        below = [at for at in self.late if at <= delay]
        late = self.late[max(below)] if below else max(self.late.values(), default=0.0)
        return min(paused / self.seconds + late, 1.0)


@dataclass(frozen=True, slots=True)
class Noise:
    """
    What can have delayed the requests of a level.

    `paused`: the part of the windows in which one process or another was without the core that it
    wanted; while it was, nothing may have gone on at all. `cycle`: seconds from one request of a
    user to the next; None in the open model. `stretch`: that over the one of the lowest level; in
    the open model of the mean response time. `growing`: of the open model, whether more comes than
    is answered. `failures`: what was stopped while requests failed, and that they did; None: they
    failed of the service's own doing.
    """

    sources: Sequence[Source] = ()
    paused: float = 0.0
    cycle: float | None = None
    stretch: float = 1.0
    growing: bool = False
    failures: tuple[Resource, str] | None = None

    @property
    def delay(self) -> float:
        """
        Seconds that a request was delayed in the mean, at most.

        One that waits in a queue also waits for what delayed those before it, so the delay grows as
        the cycle does. A system that stands still for a part of the time takes as much longer for
        everything: so no pause delays the users of a closed model by more than that part of their
        cycle.
        """
        waits, late = (
            self.stretch * math.fsum(one.steps * one.mean for one in sources)
            for sources in (
                [one for one in self.sources if one.pauses],
                [one for one in self.sources if not one.pauses],
            )
        )
        return late + (waits if self.cycle is None else min(waits, self.paused * self.cycle))

    @property
    def of_throughput(self) -> float:
        """The part of the throughput by which it can be higher; N / cycle for N users."""
        if self.cycle is None:
            return self.paused / (1 - self.paused) if self.growing and self.paused < 1 else 0.0
        delay = self.delay
        return delay / (self.cycle - delay) if delay < self.cycle else math.inf

    def of_quantile(self, times: Histogram, q: float) -> float:
        """
        Seconds by which the q-quantile can be lower.

        Of the requests, those that were delayed by more than d can have been anywhere below, and
        the others are d earlier at most: whatever d is. In a queue all are earlier by the same part
        of their time, too. And whatever delayed them, of all requests the part mean / d at most was
        delayed by more than d (Markov's inequality).
        """
        if not times.count or not self.sources:
            return 0.0
        value = times.quantile(q)
        steps = math.fsum(one.steps for one in self.sources)
        mean = self.delay
        best = any_way = 0.0
        for delay in _DELAYS[1:]:
            if mean < q * delay:
                any_way = max(any_way, times.quantile(q - mean / delay) - delay)
        for delay in _DELAYS:
            shift = steps * delay
            if shift >= value:
                break
            share = math.fsum(one.steps * one.beyond(delay) for one in self.sources)
            if share < q:
                best = max(best, times.quantile(q - share) - shift)
        queued = mean / (self.cycle or times.mean()) * (1 - 1 / self.stretch)
        return max(value - max(best * (1 - min(queued, 1.0)), any_way), 0.0)

    @property
    def main(self) -> Source | None:
        """What delays most."""
        return max(self.sources, key=lambda one: one.steps * one.mean, default=None)

    @property
    def what(self) -> str:
        """What disturbed, the worst first."""
        ranked = sorted(self.sources, key=lambda one: -one.steps * one.mean)
        least = 0.1 * ranked[0].steps * ranked[0].mean if ranked else 0.0
        texts = [one.what for one in ranked if one.steps * one.mean >= least]
        return " and ".join(dict.fromkeys(texts))


def disturbance(found: Noise, times: Histogram) -> Validity:
    """
    Whether disturbances can have moved the numbers of a level too far, and what is worth a word.

    Of a closed model that is its throughput, from which the knee, the causes and the ceilings are
    read; of an open one its mean response time. Other numbers have intervals that say it. That
    requests fail is the service's own doing, unless a process was stopped.

    Args:
        times: the response times of the successes.
    """
    if found.failures:
        return _invalid(*found.failures)
    main = found.main
    if main is None or not times.count:
        return Validity()
    delay, mean = found.delay, times.mean()
    part = delay / (mean if found.cycle is None else found.cycle)
    p95 = min(found.of_quantile(times, 0.95), times.quantile(0.95))
    effects = [
        f"throughput can be {_up_to(found.of_throughput)} higher" if found.of_throughput else "",
        f"the mean {duration(min(delay, mean), 2)} lower" if delay else "",
        f"p95 {duration(p95, 2)} lower" if p95 else "",
    ]
    told = f"{found.what}: {', '.join(filter(None, effects))} without it"
    if part <= USEFUL + 1e-9:
        worth = max(part, delay / mean) > NOTABLE
        return Validity(problems=(f"disturbed: {told}",) if worth else ())
    return _invalid(main.resource, told)


def _invalid(resource: Resource, told: str) -> Validity:
    lead = {
        "generator": "the load generator was the bottleneck",
        "mock": "the mock upstream was the bottleneck",
    }.get(resource, "the machine was busy with something else")
    why = f"{lead}: {told}"
    return Validity(False, (why,), Limit(resource=resource, why=why))


def _up_to(part: float) -> str:
    return "several times" if part > 1 else percent(part)


def lower(estimate: Estimate | None, seconds: float) -> Estimate | None:
    """A time that can be shorter by this, as its interval says then."""
    if estimate is None or estimate.low is None or not seconds or math.isinf(estimate.value):
        return estimate
    return estimate.model_copy(update={"low": max(estimate.low - seconds, 0.0)})


def higher(estimate: Estimate, amount: float) -> Estimate:
    """A throughput that can be higher by this, as its interval says then."""
    if not amount or estimate.high is None:
        return estimate
    return estimate.model_copy(update={"high": estimate.high + amount})
