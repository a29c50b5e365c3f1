"""What was seen of one deployment at one level, by the service, the mock and the host."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from loadtests.analysis import services, upstreams
from loadtests.analysis.records import StageRecord
from loadtests.analysis.resources import Sample, inside
from loadtests.analysis.services import Pairs, Told
from loadtests.analysis.upstreams import Upstream
from loadtests.results import Point

REST = 1.0  # seconds after a stage in which what it began may still go on


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """
    One level. Rates per second; `time` is the mean of the successes' response times.

    `rate` counts all requests that began, `failing` is the part of them that failed. `cpu` and
    `cores` are the cores that the service used and was given; `idle` what it uses without load;
    `starved` is the part of the time in which it had work and no core.
    """

    point: Point
    think_time: float
    rate: float
    cpu: float | None = None
    cores: int | None = None
    idle: float = 0.0
    starved: float = 0.0
    workers: int = 1
    told: Told | None = None
    upstream: Upstream | None = None

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
        if self.told and self.told.calls is not None:
            return self.told.calls
        if self.upstream and self.rate:
            return self.upstream.calls / self.rate
        return None

    @property
    def cpu_each(self) -> float | None:
        """Seconds of CPU for a request, of all processes together."""
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
    Of each deployment by rising level, one for each point of all its requests.

    Args:
        samples: with their ledgers read.
        deployments: how each was started, as the header says.
        workers: by deployment; those that tell of themselves are counted.
    """
    stages: dict[tuple[str, int], list[StageRecord]] = defaultdict(list)
    for record in records:
        stages[record.stage.deployment, record.stage.level].append(record)
    found: dict[str, list[Observation]] = {}
    idle: dict[str, float] = {}
    for point in sorted(points, key=lambda one: one.level):
        if point.request != "all":
            continue
        name = point.deployment
        if name not in idle:
            idle[name] = _idle(name, records, samples)
        these = stages[name, point.level]
        usable = [one for one in these if one.complete] or these
        pairs = [pair for record in usable for pair in inside(record, samples)]
        cores = _cores(name, pairs, deployments.get(name, {}))
        heard = services.service(name, pairs)
        cpu = heard.cpu if heard and heard.cpu is not None else _sampled(name, pairs)
        found.setdefault(name, []).append(
            Observation(
                point=point,
                think_time=usable[0].stage.think_time if usable else 0.0,
                rate=point.requests / point.seconds if point.seconds else 0.0,
                cpu=cpu,
                cores=cores,
                idle=idle[name],
                starved=_sampled(name, pairs, "wait") or 0.0,
                workers=max(heard.processes if heard else 0, workers.get(name, 1)),
                told=heard,
                upstream=upstreams.upstream(pairs),
            )
        )
    return found


def _sampled(name: str, pairs: Pairs, what: str = "cpu") -> float | None:
    """Cores that the processes used, or waited for, by the system's count."""
    values = [_process(name, sample).get(what) for _, sample in pairs]
    seen = [one for one in values if isinstance(one, int | float) and 0 <= one < math.inf]
    return fmean(seen) if seen else None


def _process(name: str, sample: Sample) -> Mapping[str, Any]:
    processes = sample.get("processes")
    process = processes.get(name) if isinstance(processes, dict) else None
    return process if isinstance(process, dict) else {}


def _cores(name: str, pairs: Pairs, how: Mapping[str, Any]) -> int | None:
    for _, sample in pairs:
        affinity = _process(name, sample).get("affinity")
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
        # Starting up is no rest.
        first = min(start for start, _ in loaded)
        pairs = [pair for pair in pairs if pair[0]["at"] > first]
    rates = services.Rates()
    for before, sample in pairs:
        now = _spent(name, sample)
        for pid, (at, then) in _spent(name, before).items():
            if pid in now and now[pid][0] > at:
                rates.add(pid, now[pid][0] - at, then, now[pid][1])
    found = rates.all()
    return (_sampled(name, pairs) if found is None else found) or 0.0


def _spent(name: str, sample: Sample) -> dict[str, tuple[float, float]]:
    """When each process told of its CPU, and how many seconds that were."""
    gauges = sample.get("gauges")
    processes = gauges.get(name) if isinstance(gauges, dict) else None
    found = {}
    for pid, one in processes.items() if isinstance(processes, dict) else ():
        at, cpu = (one.get("at"), one.get("cpu")) if isinstance(one, dict) else (None, None)
        if isinstance(at, int | float) and isinstance(cpu, int | float):
            found[pid] = float(at), float(cpu)
    return found
