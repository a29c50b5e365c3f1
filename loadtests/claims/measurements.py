"""What one plan of the experiments showed: its points, and the mock's own counts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from loadtests.analysis.inputs import cpu
from loadtests.analysis.inputs.ledgers import LedgerReading
from loadtests.analysis.inputs.records import Record, StageRecord
from loadtests.analysis.inputs.resources import inside
from loadtests.analysis.light_scipy import special
from loadtests.analysis.stats.intervals import proportion
from loadtests.analysis.stats.ratios import ratio
from loadtests.analysis.stats.sample_size import TAIL
from loadtests.plans import Plan
from loadtests.recording.slices import LENGTH
from loadtests.results import Estimate, Point, Run
from mock_upstream.latency.distributions import Latency

_STEPS = 2000  # of a distribution, for its mean


class NotMeasured(Exception):
    """An experiment has no answer; the message says why."""


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """
    What came to the mock in the whole seconds of a stage's window, and what was asked of the
    service in the same seconds.
    """

    requests: float  # of the service
    calls: float  # that arrived at the mock
    connections: float  # that the mock accepted
    peak: float  # calls in flight, at most
    last_peak: float  # the same, of the last second

    @property
    def connections_per_call(self) -> float:
        return self.connections / self.calls

    @property
    def calls_per_request(self) -> float:
        return self.calls / self.requests


@dataclass(frozen=True)
class Measurement:
    """One plan that was played. Times are seconds, rates a second."""

    plan: Plan
    run: Run
    record: Record

    @cached_property
    def delay(self) -> float:
        """The mean delay that the plan gives a call."""
        return self.longest_of(1)

    def longest_of(self, calls: int) -> float:
        """The mean of the longest delay among `calls` calls at once."""
        latency: Latency = self.plan.upstream.latency
        middles = ((step + 0.5) / _STEPS for step in range(_STEPS))
        return sum(latency.quantile(u ** (1 / calls)) for u in middles) / _STEPS

    def any_point(self, deployment: str, level: int, request: str = "all") -> Point:
        """
        A point of which only counts are wanted, which hold on a busy machine, too.

        Raises:
            NotMeasured: there is none.
        """
        for point in self.run.of(deployment, request):
            if point.level == level:
                return point
        reasons = "; ".join(self.run.problems) or "the stage was not played to its end"
        raise NotMeasured(f"{self.run.name}, {deployment} at {level}: {reasons}")

    def point(self, deployment: str, level: int, request: str = "all") -> Point:
        """
        A point whose times count.

        Raises:
            NotMeasured: there is none, or it is not valid.
        """
        found = self.any_point(deployment, level, request)
        if not found.valid:
            why = next(iter(found.problems), "not valid")
            raise NotMeasured(f"{self.run.name}, {deployment} at {level}: {why}")
        return found

    def throughput(self, deployment: str, level: int, request: str = "all") -> Estimate:
        return self.point(deployment, level, request).throughput

    def mean(self, deployment: str, level: int, request: str = "all") -> Estimate:
        """The mean response time of successful requests."""
        found = self.point(deployment, level, request).response_time.get("mean")
        if found is None:
            raise NotMeasured(f"{self.run.name}, {deployment} at {level}: nothing succeeded")
        return found

    def share(
        self, deployment: str, level: int, request: str = "all", kinds: Sequence[str] | None = None
    ) -> Estimate:
        """
        The part of the requests that failed with these kinds of failures (None: any).

        The interval is the exact one of the effective size (Clopper and Pearson 1934).
        """
        point = self.any_point(deployment, level, request)
        if not point.requests:
            raise NotMeasured(f"{self.run.name}, {deployment} at {level}: no request was made")
        found = point.errors.kinds
        failed = sum(count for kind, count in found.items() if kinds is None or kind in kinds)
        value, worth = failed / point.requests, point.errors.effective or point.requests
        low, high = proportion(value * worth, worth, TAIL)
        return Estimate(value=value, low=low, high=high)

    def answers(self, deployment: str, level: int) -> Estimate:
        """Successes a second where they may be few or none; by their number (Garwood 1936)."""
        point = self.any_point(deployment, level)
        count = round(point.throughput.value * point.seconds)
        low = special.gammaincinv(count, TAIL) if count else 0.0
        high = special.gammaincinv(count + 1, 1 - TAIL)
        seconds = point.seconds
        return Estimate(value=count / seconds, low=float(low) / seconds, high=float(high) / seconds)

    def elasticity(self, deployment: str) -> Estimate:
        """
        Return d ln X / d ln L beyond the knee: throughput against the upstream's delays.

        Raises:
            NotMeasured: the delays of this deployment's upstream were not changed.
        """
        for one in self.run.experiments:
            if (one.deployment, one.kind) == (deployment, "upstream") and one.elasticity:
                return one.elasticity
        raise NotMeasured(f"{self.run.name}, {deployment}: no experiment was played to its end")

    def cpu(self, deployment: str, level: int) -> Estimate:
        """CPU seconds of the service for one request, between the least and most of any second."""
        point = self.point(deployment, level)
        cores = [
            used
            for _, sample in inside(self._stage(deployment, level), self.record.samples)
            if (used := sample["processes"].get(deployment, {}).get("cpu")) is not None
        ]
        answers = point.throughput.value
        if not cores or not answers:
            raise NotMeasured(f"{self.run.name}, {deployment} at {level}: its CPU was not sampled")
        mean = sum(cores) / len(cores)
        return Estimate(value=mean / answers, low=min(cores) / answers, high=max(cores) / answers)

    def cpu_counted(self, deployment: str) -> Estimate:
        """
        CPU seconds of the service for one request, by its clocks before and after each stage: the
        mean of the levels, between the least and the most.

        Raises:
            NotMeasured: a level is not valid. What else runs on a core makes a request cost more.
        """
        levels = [self.point(deployment, level).level for level in self.plan.load.levels]
        rest = cpu.resting(deployment, self.record.stages)
        each = [
            value
            for level in levels
            if (value := cpu.per_request(deployment, [self._stage(deployment, level)], rest or 0.0))
        ]
        if not each:
            raise NotMeasured(f"{self.run.name}, {deployment}: its CPU was not read")
        return Estimate(value=sum(each) / len(each), low=min(each), high=max(each))

    def counts(self, deployment: str, level: int) -> RequestCounts:
        """
        Raises:
            NotMeasured: the mock was not sampled twice meanwhile, or got no call.
        """
        record = self._stage(deployment, level)
        pairs = list(self._ledgers(record))
        if not pairs:
            raise NotMeasured(f"{self.run.name}, {deployment} at {level}: the mock was not asked")
        (begin, first), (end, last) = pairs[0][0], pairs[-1][1]
        calls = (last.arrivals or 0) - (first.arrivals or 0)
        requests = _started(record, begin, end)
        if calls <= 0 or requests <= 0:
            raise NotMeasured(f"{self.run.name}, {deployment} at {level}: the mock got no call")
        peaks = [after.in_flight.peak or 0.0 for _, (_, after) in pairs]
        opened = [one.connections.accepted if one.connections else 0.0 for one in (first, last)]
        return RequestCounts(
            requests=requests,
            calls=calls,
            connections=opened[1] - opened[0],
            peak=max(peaks),
            last_peak=peaks[-1],
        )

    def _stage(self, deployment: str, level: int) -> StageRecord:
        for one in self.record.stages:
            if (one.stage.deployment, one.stage.level) == (deployment, level) and one.complete:
                return one
        raise NotMeasured(f"{self.run.name}, {deployment} at {level}: the stage is not complete")

    def _ledgers(
        self, record: StageRecord
    ) -> Iterator[tuple[tuple[float, LedgerReading], tuple[float, LedgerReading]]]:
        for before, sample in inside(record, self.record.samples):
            then, now = LedgerReading.of(before), LedgerReading.of(sample)
            if then and now and now.continues(then):
                yield (before["at"], then), (sample["at"], now)


def counted(value: float) -> Estimate:
    """What was counted is known exactly."""
    return Estimate(value=value, low=value, high=value)


def measured_ratio(before: Estimate, after: Estimate) -> Estimate:
    """Return after / before; zero where there is none."""
    return ratio(before, after) or Estimate(value=0.0)


def _started(record: StageRecord, begin: float, end: float) -> float:
    """Requests that started between two monotonic times, to a quarter second at each end."""
    origin = record.begun.at if record.begun else 0.0
    first, last = ((at - origin) / LENGTH for at in (begin, end))
    total = 0.0
    for part in record.slices:
        covered = min(part.index + 1, last) - max(part.index, first)
        total += part.started * min(max(covered, 0.0), 1.0)
    return total
