"""What was seen of one deployment at one level, by the service, the mock and the host."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from loadtests.analysis.causes import service_gauges, upstream_ledger
from loadtests.analysis.causes.service_gauges import Pairs, ServiceGauges
from loadtests.analysis.causes.upstream_ledger import UpstreamUse
from loadtests.analysis.checks import disturbances, quotas
from loadtests.analysis.inputs import cpu
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.resources import under_load
from loadtests.analysis.inputs.sample_parts import Sample, json_table
from loadtests.results import Point

REST = 1.0  # seconds after a stage in which what it began may still go on


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """
    One level. Rates per second; `time` is the mean of the successes' response times.

    `rate` counts all requests that began, `failing` is the part of them that failed. `cpu` and
    `cores` are the cores that the service used and was given; `idle` what it uses without load;
    `starved` is the part of the time in which it had work and no core. `usable` are the cores that
    its processes can use together, and `busiest` is the part of one core that the busiest of them
    used; None where the processes were not read one by one. `quota`: the cores that a CPU quota of
    its own allows it, as in a container. `host` and `others` are the parts of its cores that the
    host of this virtual machine, and processes that are not ours, took from it.
    """

    point: Point
    rate: float
    cpu: float | None = None
    cores: int | None = None
    idle: float = 0.0
    starved: float = 0.0
    usable: float | None = None
    quota: float | None = None
    busiest: float | None = None
    host: float = 0.0
    others: float = 0.0
    cpu_read: float | None = None
    """Seconds of CPU for a request, as read at the barriers."""
    workers: int = 1
    gauges: ServiceGauges | None = None
    upstream: UpstreamUse | None = None

    @property
    def level(self) -> int:
        return self.point.level

    @property
    def throughput(self) -> float:
        return self.point.throughput.value

    @property
    def time(self) -> float | None:
        mean = self.point.response_time.get("mean")
        return mean.value if mean else None

    @property
    def failing(self) -> float:
        return self.point.errors.rate

    @property
    def per_request(self) -> float | None:
        """Calls for each request."""
        if self.gauges and self.gauges.calls is not None:
            return self.gauges.calls
        if self.upstream and self.rate:
            return self.upstream.calls / self.rate
        return None

    @property
    def cpu_each(self) -> float | None:
        """Seconds of CPU for a request, of all processes together."""
        if self.cpu_read is not None:
            return self.cpu_read
        if self.cpu is None or not self.rate:
            return None
        return max(self.cpu - self.idle, 0.0) / self.rate

    @property
    def phases(self) -> Mapping[str, float]:
        """Seconds of the mean response; empty when not told."""
        return self.point.phases.get("mean", {})


def observations(
    points: Iterable[Point],
    records: Sequence[StageRecord],
    samples: Sequence[Sample],
    deployments: Mapping[str, Mapping[str, Any]],
    workers: Mapping[str, int],
) -> dict[str, list[Observation]]:
    """
    One observation for each level of each deployment, by rising level.

    Args:
        samples: with their ledgers read.
        deployments: how each was started, as the header says.
        workers: by deployment; processes with telemetry are counted.
    """
    levels: dict[str, list[Point]] = defaultdict(list)
    for point in sorted(points, key=lambda one: one.level):
        if point.request == "all":
            levels[point.deployment].append(point)
    return {
        name: _Service(name, records, samples, deployments.get(name, {})).levels(
            of, workers.get(name, 1)
        )
        for name, of in levels.items()
    }


class _Service:
    """One deployment in all of its stages."""

    def __init__(
        self,
        name: str,
        records: Sequence[StageRecord],
        samples: Sequence[Sample],
        how: Mapping[str, Any],
    ) -> None:
        self._name, self._samples, self._how = name, samples, how
        self._records = [one for one in records if one.stage.deployment == name]
        rest = cpu.resting(name, records)
        self._idle = _idle(name, records, samples) if rest is None else rest
        everywhere = [pair for one in self._records for pair in under_load(one, samples)]
        self._cores = _cores(name, everywhere, how)
        self._quota = quotas.cores(name, samples)
        self._processors = cpu.processors(name, self._records, self._cores)

    def levels(self, points: Sequence[Point], workers: int) -> list[Observation]:
        return [self._level(point, workers) for point in points]

    def _level(self, point: Point, workers: int) -> Observation:
        these = [one for one in self._records if one.stage.level == point.level]
        complete = [one for one in these if one.complete] or these
        pairs = [pair for one in complete for pair in under_load(one, self._samples)]
        gauges = service_gauges.service(self._name, pairs)
        used = cpu.cores(self._name, complete, self._idle)
        busiest = None
        if used is not None and self._processors:
            shares = [self._processors.busiest.get(one.stage.number) for one in complete]
            busiest = max((used * share for share in shares if share is not None), default=None)
        if used is None:
            used = gauges.cpu if gauges and gauges.cpu is not None else _sampled(self._name, pairs)
        host, others = _taken(self._name, complete, self._samples)
        return Observation(
            point=point,
            rate=point.requests / point.seconds if point.seconds else 0.0,
            cpu=used,
            cores=self._cores,
            idle=self._idle,
            starved=_sampled(self._name, pairs, "wait") or 0.0,
            usable=self._processors.usable if self._processors else None,
            quota=self._quota,
            busiest=busiest,
            host=host,
            others=others,
            cpu_read=cpu.per_request(self._name, complete, self._idle),
            workers=max(gauges.processes if gauges else 0, workers),
            gauges=gauges,
            upstream=upstream_ledger.upstream(pairs),
        )


def _taken(
    name: str, records: Sequence[StageRecord], samples: Sequence[Sample]
) -> tuple[float, float]:
    """The parts of its cores that the host, and others, took from a deployment."""
    seen = [
        one for record in records for one in disturbances.of_record(record, samples).taken(name)
    ]
    seconds = math.fsum(one.end - one.start for one in seen)
    if not seconds:
        return 0.0, 0.0
    return (
        math.fsum(one.host for one in seen) / seconds,
        math.fsum(one.others for one in seen) / seconds,
    )


def _sampled(name: str, pairs: Pairs, what: str = "cpu") -> float | None:
    """Cores that the processes used, or waited for, by the system's count."""
    values = [json_table(sample, "processes", name).get(what) for _, sample in pairs]
    seen = [one for one in values if isinstance(one, int | float) and 0 <= one < math.inf]
    return fmean(seen) if seen else None


def _cores(name: str, pairs: Pairs, how: Mapping[str, Any]) -> int | None:
    for _, sample in pairs:
        affinity = json_table(sample, "processes", name).get("affinity")
        if isinstance(affinity, list) and affinity:
            return len(affinity)
    given = how.get("cores")
    return len(given) if isinstance(given, list) and given else None


def _idle(name: str, records: Sequence[StageRecord], samples: Sequence[Sample]) -> float:
    """Cores that the deployment uses while others are loaded; 0 when that was never seen."""
    loaded = [
        (record.begun.at, record.window[1] + REST)
        for record in records
        if record.stage.deployment == name and record.begun and record.window
    ]
    pairs = [
        (before, sample)
        for before, sample in pairwise(samples)
        if not any(start < sample["at"] and before["at"] < end for start, end in loaded)
    ]
    if loaded:
        # Starting up is not rest.
        first = min(start for start, _ in loaded)
        pairs = [pair for pair in pairs if pair[0]["at"] > first]
    rates = service_gauges.Rates()
    for number, (before, sample) in enumerate(pairs):
        now = _spent(name, sample)
        for pid, (at, then) in _spent(name, before).items():
            if pid in now and now[pid][0] > at:
                rates.add(pid, now[pid][0] - at, then, now[pid][1], number)
    found = rates.all()
    return (_sampled(name, pairs) if found is None else found) or 0.0


def _spent(name: str, sample: Sample) -> dict[str, tuple[float, float]]:
    """The time of each process's CPU reading, and the CPU seconds."""
    found = {}
    for pid, one in json_table(sample, "gauges", name).items():
        at, cpu = (one.get("at"), one.get("cpu")) if isinstance(one, dict) else (None, None)
        if isinstance(at, int | float) and isinstance(cpu, int | float):
            found[pid] = float(at), float(cpu)
    return found
