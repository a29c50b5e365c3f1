"""The gauges of a service at one level, all its processes together."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Self

from pydantic import Field

from loadtests.analysis.inputs.sample_parts import Lenient, Sample, SamplePart, json_table

OVERFULL = 1.2  # what is used is not more than this part of what there is, or it is nonsense
SEMAPHORE = "semaphore"  # the client of a pool that is none
GAUGED = ("sqlalchemy", "asyncio", "executor", "anyio.CapacityLimiter", "anyio.Semaphore")
"""Clients of pools whose connections, threads or places no HTTP call holds."""
Pairs = Sequence[tuple[Sample, Sample]]


Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ThreadGauges(SamplePart):
    total: Number
    busy: Number
    waiting: Number


class PoolGauges(SamplePart):
    """Connections of one client; `limit` is None where there is none."""

    client: str = ""
    limit: Number | None = None
    used: Number
    waiting: Number = 0.0


class _LoopGauges(SamplePart):
    lag: Number
    cpu: Number


class _CollectorGauges(SamplePart):
    seconds: Number


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceGauges:
    """
    The gauges of a service, all its processes together; means over the windows.

    `lag` and `loop_cpu` are of the worst process, `lag` in seconds and `loop_cpu` in cores.
    `calls` and those below are for each request: numbers, and seconds. `call` is the mean length
    of one call, `thread` is for how long a request holds a worker thread, before and after its
    answer, and `background` how long its work goes on after the answer: means over the traced
    requests, while all requests are counted. What no process told is None.
    """

    processes: int
    threads: ThreadGauges | None = None
    pools: tuple[PoolGauges, ...] = ()
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
    thread: float | None = None
    background: float | None = None
    clients: float | None = None
    constructing: float | None = None

    @property
    def fullest(self) -> PoolGauges | None:
        """The pool of connections that most wait for, or else the one that is used up most."""
        return _fullest(one for one in self.pools if one.client not in (SEMAPHORE, *GAUGED))

    @property
    def semaphore(self) -> PoolGauges | None:
        """The semaphore with the most waiters; services report it as a pool."""
        return _fullest(one for one in self.pools if one.client == SEMAPHORE)

    def gauged(self, client: str) -> PoolGauges | None:
        """Return the pool of one of GAUGED that is used up most."""
        return _fullest(one for one in self.pools if one.client == client)


def _fullest(pools: Iterable[PoolGauges]) -> PoolGauges | None:
    limited = [pool for pool in pools if pool.limit]
    return max(limited, key=lambda one: (one.waiting, one.used / (one.limit or 1)), default=None)


class _Gauges(SamplePart):
    """The gauges of one process in one sample; missing or impossible values are None."""

    at: Number
    threads: Annotated[ThreadGauges | None, Lenient] = None
    pools: Annotated[list[PoolGauges] | None, Lenient] = None
    loop: Annotated[_LoopGauges | None, Lenient] = None
    gc: Annotated[_CollectorGauges | None, Lenient] = None
    in_flight: Annotated[Number | None, Lenient] = None
    cpu: Annotated[Number | None, Lenient] = None
    counts: Annotated[dict[str, Number] | None, Lenient] = None

    @classmethod
    def of(cls, sample: Sample, name: str) -> dict[str, Self]:
        """The gauges of a sample by process id."""
        processes = json_table(sample, "gauges", name)
        return {str(pid): read for pid, told in processes.items() if (read := cls.read(told))}


def service(name: str, pairs: Pairs) -> ServiceGauges | None:
    seen = [(_Gauges.of(before, name), _Gauges.of(sample, name)) for before, sample in pairs]
    seen = [(before, now) for before, now in seen if now]
    if not seen:
        return None
    looks = [list(now.values()) for _, now in seen]
    grown = _Growth.of(seen)

    def each(count: str, of: str = "requests") -> float | None:
        number = grown.counts.get(of)
        return grown.counts[count] / number if number and count in grown.counts else None

    lags = defaultdict(list)
    for _, now in seen:
        for pid, one in now.items():
            if one.loop:
                lags[pid].append(one.loop.lag)
    flights = [sum(one.in_flight or 0.0 for one in look) for look in looks]
    return ServiceGauges(
        processes=round(_usual(map(len, looks))),
        threads=_threads(looks),
        pools=_pools(looks),
        lag=max(map(fmean, lags.values()), default=None),
        loop_cpu=max(grown.loops, default=None),
        cpu=grown.cpu,
        collecting=grown.collecting,
        in_flight=fmean(flights) if any(flights) else None,
        requests=grown.counts.get("requests"),
        calls=each("calls"),
        # Of an earlier version all calls were traced.
        call=each("call_seconds", "traced_calls" if "traced_calls" in grown.counts else "calls"),
        retried=each("retried"),
        connects=each("connects"),
        thread=each("thread_seconds", "traced"),
        background=each("background_seconds", "traced"),
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
        cpu, loops, collecting = Rates(), Rates(), Rates()
        for pair, pid, before, now in _steps(seen):
            elapsed = now.at - before.at
            cpu.add(pid, elapsed, before.cpu, now.cpu, pair)
            if before.loop and now.loop:
                loops.add(pid, elapsed, before.loop.cpu, now.loop.cpu, pair)
            if before.gc and now.gc:
                collecting.add(pid, elapsed, before.gc.seconds, now.gc.seconds, pair)
            if before.counts is not None and now.counts is not None:
                grown = {key: now.counts[key] - before.counts.get(key, 0.0) for key in now.counts}
                if min(grown.values(), default=0.0) >= 0:
                    for key, value in grown.items():
                        counts[key] += value
        return cls(counts, cpu.all(), loops.each(), collecting.all())


class Rates:
    """
    The growth per second of what only grows, for each process.

    Processes come and go: one that was there for a part of the pairs of samples counts for as much.
    """

    def __init__(self) -> None:
        self._grown: defaultdict[str, float] = defaultdict(float)
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._pairs: dict[str, tuple[int, int]] = {}

    def add(
        self, pid: str, elapsed: float, then: float | None, now: float | None, pair: int
    ) -> None:
        """
        Args:
            pair: the number of the pair of samples.
        """
        if then is not None and now is not None and now >= then:
            self._grown[pid] += now - then
            self._seconds[pid] += elapsed
            self._pairs[pid] = self._pairs.get(pid, (pair, pair))[0], pair

    def each(self) -> list[float]:
        return [grown / self._seconds[pid] for pid, grown in self._grown.items()]

    def all(self) -> float | None:
        if not self._grown:
            return None
        first = min(first for first, _ in self._pairs.values())
        last = max(last for _, last in self._pairs.values())
        return sum(
            rate * (self._pairs[pid][1] - self._pairs[pid][0] + 1) / (last - first + 1)
            for pid, rate in zip(self._grown, self.each(), strict=True)
        )


def _steps(
    seen: Sequence[tuple[Mapping[str, _Gauges], Mapping[str, _Gauges]]],
) -> Iterator[tuple[int, str, _Gauges, _Gauges]]:
    """The gauges of each process in two samples, one after the other, with the pair's number."""
    for pair, (before, now) in enumerate(seen):
        for pid, one in now.items():
            then = before.get(pid)
            if then is not None and one.at > then.at:
                yield pair, pid, then, one


def _usual(counts: Iterable[float]) -> float:
    """
    Return the largest that a fourth of the samples have: a worker that ends and the one that takes
    its place are in one sample together.
    """
    ranked = sorted(counts, reverse=True)
    return ranked[len(ranked) // 4]


def _threads(looks: Sequence[Sequence[_Gauges]]) -> ThreadGauges | None:
    seen = [[one.threads for one in look if one.threads] for look in looks]
    seen = [look for look in seen if look]
    if not seen:
        return None
    total = _usual(sum(one.total for one in look) for look in seen)
    busy = fmean(sum(one.busy for one in look) for look in seen)
    waiting = fmean(sum(one.waiting for one in look) for look in seen)
    if not total or busy > OVERFULL * total:
        return None
    return ThreadGauges(total=total, busy=busy, waiting=waiting)


def _pools(looks: Sequence[Sequence[_Gauges]]) -> tuple[PoolGauges, ...]:
    """A pool is known by its client and by its place among those of this client."""
    same: dict[tuple[str, int], list[list[PoolGauges]]] = defaultdict(list)
    for look in looks:
        here: dict[tuple[str, int], list[PoolGauges]] = defaultdict(list)
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
            found.append(PoolGauges(client=client, limit=limit, used=used, waiting=waiting))
    return tuple(found)
