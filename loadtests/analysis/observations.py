"""What was seen of one deployment at one level, by the service, the mock and the host."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadtests.analysis.ledgers import Delays, Ledger, Lenient
from loadtests.analysis.records import StageRecord
from loadtests.analysis.resources import Sample, inside
from loadtests.results import Point

OVERFULL = 1.2  # what is used is not more than this part of what there is, or it is nonsense
SEMAPHORE = "semaphore"  # the client of a pool that is none
REST = 1.0  # seconds after a stage in which what it began may still go on


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    total: float
    busy: float
    waiting: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Connections of one client; `limit` is None where there is none."""

    client: str
    limit: float | None
    used: float
    waiting: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """
    What the service told of itself, all its processes together; means over the windows.

    `lag` and `loop_cpu` are of the worst process, `lag` in seconds and `loop_cpu` in cores.
    `calls` and those below are for each request: numbers, and seconds; `call` is the mean length
    of one call. What no process told is None.
    """

    processes: int
    threads: Threads | None = None
    pools: tuple[Pool, ...] = ()
    lag: float | None = None
    loop_cpu: float | None = None
    cpu: float | None = None
    collecting: float | None = None
    in_flight: float | None = None
    requests: float | None = None
    calls: float | None = None
    call: float | None = None
    retried: float | None = None
    connects: float | None = None
    connecting: float | None = None
    clients: float | None = None
    constructing: float | None = None

    @property
    def fullest(self) -> Pool | None:
        """The pool of connections that most wait for, or else the one that is used up most."""
        return _fullest(one for one in self.pools if one.client != SEMAPHORE)

    @property
    def semaphore(self) -> Pool | None:
        """Likewise; it is told of as a pool."""
        return _fullest(one for one in self.pools if one.client == SEMAPHORE)


def _fullest(pools: Iterable[Pool]) -> Pool | None:
    limited = [pool for pool in pools if pool.limit]
    return max(limited, key=lambda one: (one.waiting, one.used / (one.limit or 1)), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """
    What the mock's ledger tells of the windows; seconds, calls per second, shares of the calls.

    `stay` is the mean time of a call in the mock, `asked` what the profile wanted without a queue,
    `queued` the wait for a server, `service` the time with one. `peaks`: the most calls at a time
    in each second. `busy` is the share of the servers at work.
    """

    calls: float
    in_flight: float
    peaks: tuple[float, ...] = ()
    stay: float | None = None
    asked: float | None = None
    queued: float | None = None
    service: float | None = None
    servers: int | None = None
    busy: float | None = None
    waiting: float | None = None
    refused: float = 0.0
    failing: float = 0.0
    connections: float | None = None


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
        told = _told(name, pairs)
        cpu = told.cpu if told and told.cpu is not None else _sampled(name, pairs)
        found.setdefault(name, []).append(
            Observation(
                point=point,
                think_time=usable[0].stage.think_time if usable else 0.0,
                rate=point.requests / point.seconds if point.seconds else 0.0,
                cpu=cpu,
                cores=cores,
                idle=idle[name],
                starved=_sampled(name, pairs, "wait") or 0.0,
                workers=max(told.processes if told else 0, workers.get(name, 1)),
                told=told,
                upstream=_upstream(pairs),
            )
        )
    return found


Pairs = Sequence[tuple[Sample, Sample]]


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
    rates = _Rates()
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
    for pid, told in processes.items() if isinstance(processes, dict) else ():
        at, cpu = (told.get("at"), told.get("cpu")) if isinstance(told, dict) else (None, None)
        if isinstance(at, int | float) and isinstance(cpu, int | float):
            found[pid] = float(at), float(cpu)
    return found


Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Threads(_Part):
    total: Number
    busy: Number
    waiting: Number


class _Pool(_Part):
    client: str = ""
    limit: Number | None = None
    used: Number
    waiting: Number = 0.0


class _Loop(_Part):
    lag: Number
    cpu: Number


class _Collections(_Part):
    seconds: Number


class _Gauges(_Part):
    """Of one process in one sample; what is missing or nonsense is None."""

    at: Number
    threads: Annotated[_Threads | None, Lenient] = None
    pools: Annotated[list[_Pool] | None, Lenient] = None
    loop: Annotated[_Loop | None, Lenient] = None
    gc: Annotated[_Collections | None, Lenient] = None
    in_flight: Annotated[Number | None, Lenient] = None
    cpu: Annotated[Number | None, Lenient] = None
    counts: Annotated[dict[str, Number] | None, Lenient] = None

    @classmethod
    def of(cls, sample: Sample, name: str) -> dict[str, Self]:
        """By process id."""
        gauges = sample.get("gauges")
        processes = gauges.get(name) if isinstance(gauges, dict) else None
        found = {}
        for pid, told in processes.items() if isinstance(processes, dict) else ():
            try:
                found[str(pid)] = cls.model_validate(told)
            except ValidationError:
                continue
        return found


def _told(name: str, pairs: Pairs) -> Told | None:
    seen = [(_Gauges.of(before, name), _Gauges.of(sample, name)) for before, sample in pairs]
    seen = [(before, now) for before, now in seen if now]
    if not seen:
        return None
    looks = [list(now.values()) for _, now in seen]
    grown = _Growth.of(seen)
    requests = grown.counts.get("requests", 0.0)
    calls = grown.counts.get("calls", 0.0)

    def each(count: str) -> float | None:
        return grown.counts[count] / requests if requests and count in grown.counts else None

    lags = defaultdict(list)
    for _, now in seen:
        for pid, one in now.items():
            if one.loop:
                lags[pid].append(one.loop.lag)
    flights = [sum(one.in_flight or 0.0 for one in look) for look in looks]
    return Told(
        processes=max(map(len, looks)),
        threads=_threads(looks),
        pools=_pools(looks),
        lag=max(map(fmean, lags.values()), default=None),
        loop_cpu=max(grown.loops, default=None),
        cpu=grown.cpu,
        collecting=grown.collecting,
        in_flight=fmean(flights) if any(flights) else None,
        requests=requests if "requests" in grown.counts else None,
        calls=each("calls"),
        call=grown.counts["call_seconds"] / calls
        if calls and "call_seconds" in grown.counts
        else None,
        retried=each("retried"),
        connects=each("connects"),
        connecting=each("connect_seconds"),
        clients=each("clients"),
        constructing=each("client_seconds"),
    )


@dataclass(frozen=True, slots=True)
class _Growth:
    """What counts from the start of a process, grown in the windows."""

    counts: Mapping[str, float]
    cpu: float | None  # cores, all processes
    loops: list[float]  # cores, of each process
    collecting: float | None  # share of the time, all processes

    @classmethod
    def of(cls, seen: Sequence[tuple[Mapping[str, _Gauges], Mapping[str, _Gauges]]]) -> "_Growth":
        counts: defaultdict[str, float] = defaultdict(float)
        cpu, loops, collecting = _Rates(), _Rates(), _Rates()
        for pid, before, now in _steps(seen):
            elapsed = now.at - before.at
            cpu.add(pid, elapsed, before.cpu, now.cpu)
            if before.loop and now.loop:
                loops.add(pid, elapsed, before.loop.cpu, now.loop.cpu)
            if before.gc and now.gc:
                collecting.add(pid, elapsed, before.gc.seconds, now.gc.seconds)
            if before.counts is not None and now.counts is not None:
                grown = {key: now.counts[key] - before.counts.get(key, 0.0) for key in now.counts}
                if min(grown.values(), default=0.0) >= 0:
                    for key, value in grown.items():
                        counts[key] += value
        return cls(counts, cpu.all(), loops.each(), collecting.all())


class _Rates:
    """Of what only grows, for each process."""

    def __init__(self) -> None:
        self._grown: defaultdict[str, float] = defaultdict(float)
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def add(self, pid: str, elapsed: float, then: float | None, now: float | None) -> None:
        if then is not None and now is not None and now >= then:
            self._grown[pid] += now - then
            self._seconds[pid] += elapsed

    def each(self) -> list[float]:
        return [grown / self._seconds[pid] for pid, grown in self._grown.items()]

    def all(self) -> float | None:
        return sum(self.each()) if self._grown else None


def _steps(
    seen: Sequence[tuple[Mapping[str, _Gauges], Mapping[str, _Gauges]]],
) -> Iterator[tuple[str, _Gauges, _Gauges]]:
    """Of each process: what it told in two samples, one after the other."""
    for before, now in seen:
        for pid, one in now.items():
            then = before.get(pid)
            if then is not None and one.at > then.at:
                yield pid, then, one


def _threads(looks: Sequence[Sequence[_Gauges]]) -> Threads | None:
    seen = [[one.threads for one in look if one.threads] for look in looks]
    seen = [look for look in seen if look]
    if not seen:
        return None
    total = max(sum(one.total for one in look) for look in seen)
    busy = fmean(sum(one.busy for one in look) for look in seen)
    waiting = fmean(sum(one.waiting for one in look) for look in seen)
    if not total or busy > OVERFULL * total:
        return None
    return Threads(total=total, busy=busy, waiting=waiting)


def _pools(looks: Sequence[Sequence[_Gauges]]) -> tuple[Pool, ...]:
    """A pool is known by its client and by its place among those of this client."""
    same: dict[tuple[str, int], list[list[_Pool]]] = defaultdict(list)
    for look in looks:
        here: dict[tuple[str, int], list[_Pool]] = defaultdict(list)
        for one in look:
            places: Counter[str] = Counter()
            for pool in one.pools or ():
                here[pool.client, places[pool.client]].append(pool)
                places[pool.client] += 1
        for key, pools in here.items():
            same[key].append(pools)
    found = []
    for (client, _), seen in same.items():
        limits = [sum(pool.limit or math.inf for pool in pools) for pools in seen]
        limit = max(limits) if max(limits) < math.inf else None
        used = fmean(sum(pool.used for pool in pools) for pools in seen)
        waiting = fmean(sum(pool.waiting for pool in pools) for pools in seen)
        if limit is None or used <= OVERFULL * limit:
            found.append(Pool(client=client, limit=limit, used=used, waiting=waiting))
    return tuple(found)


def _upstream(pairs: Pairs) -> Upstream | None:
    """The ledger's growth, from sample to sample; over a restart nothing is counted."""
    steps = [
        (then, now)
        for before, sample in pairs
        if (then := Ledger.of(before))
        and (now := Ledger.of(sample))
        and now.continues(then)
        and now.elapsed > then.elapsed
    ]
    if not steps or any(now.arrivals is None or then.arrivals is None for then, now in steps):
        return None
    elapsed = sum(now.elapsed - then.elapsed for then, now in steps)
    arrivals = sum((now.arrivals or 0.0) - (then.arrivals or 0.0) for then, now in steps)
    accepted = [
        now.connections.accepted - then.connections.accepted
        for then, now in steps
        if now.connections and then.connections
    ]
    queues = [(then.queue, now.queue) for then, now in steps if then.queue and now.queue]
    refused = sum(_total(now.refused) - _total(then.refused) for then, now in steps)
    last = queues[-1][1] if queues else None
    worked = sum(now.busy_seconds - then.busy_seconds for then, now in queues)
    return Upstream(
        calls=arrivals / elapsed,
        in_flight=sum(now.in_flight.seconds - then.in_flight.seconds for then, now in steps)
        / elapsed,
        peaks=tuple(now.in_flight.peak for _, now in steps if now.in_flight.peak is not None),
        stay=_mean([(then.delivered, now.delivered) for then, now in steps]),
        asked=_mean([(then.asked, now.asked) for then, now in steps]),
        queued=_mean([(then.queued, now.queued) for then, now in steps]),
        service=_mean([(then.service, now.service) for then, now in steps]),
        servers=last.servers if last else None,
        busy=worked / elapsed / last.servers if last else None,
        waiting=fmean(now.waiting for _, now in queues) if queues else None,
        refused=refused / arrivals if arrivals else 0.0,
        failing=_failing(steps) / arrivals if arrivals else 0.0,
        connections=sum(accepted) / arrivals if arrivals and accepted else None,
    )


def _total(counts: Mapping[Any, float] | None) -> float:
    return sum(counts.values()) if counts else 0.0


def _failing(steps: Sequence[tuple[Ledger, Ledger]]) -> float:
    """Answers that say that the upstream failed, and those that never came."""

    def count(one: Ledger) -> float:
        answers = one.answers or {}
        failed = sum(number for status, number in answers.items() if status >= 429)
        return failed + (one.unanswered or 0.0)

    return sum(count(now) - count(then) for then, now in steps)


def _mean(pairs: Sequence[tuple[Delays | None, Delays | None]]) -> float | None:
    """Of the delays that were counted in between."""
    count = total = 0.0
    for then, now in pairs:
        if then and now and now.count >= then.count:
            count += now.count - then.count
            total += now.total - then.total
    return total / count if count and total >= 0 else None
