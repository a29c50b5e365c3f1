"""What took time from the generator, the mock and a deployment, quarter second by quarter second.

It is read from the system's own counts, and not from response times: a quarter second that is left
out for its disturbance is left out whatever it showed.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from loadtests.analysis.inputs import stops
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.sample_parts import Sample, SampledProcesses, SamplePart
from loadtests.recording.histograms import merged
from loadtests.recording.slices import LENGTH

GENERATOR, MOCK = "generator", "mock"

LARGE = 0.2
"""Of a quarter second: where so much of it was taken from one of our processes, it is left out."""
REACH = 2.0  # times the mean answer of the stage: hardly one takes longer
LEAST = 0.5  # of the quarters of a window that must be left, or none is left out
LEAST_SECONDS = 2.0
UNSEEN = 0.01
"""
Cores. A deployment's command that uses less is perhaps only the client of a container, whose own
processes are then the others that use its cores.
"""
_TAKES = 0.1
"""
What a process of a lower priority takes of what it uses: at nice 10 its share next to one that
wants the whole core (sched(7)). The rest it uses while ours wait for one another, or for nothing.
"""
_TICK = 0.01  # seconds: the system counts what cores do in these
_SECOND = 1.5  # the most seconds that a sample covers, where it does not say so itself


class _Looked(SamplePart):
    """See samples.quarters."""

    at: float
    worked: tuple[float, ...] = ()
    niced: tuple[float, ...] = ()
    stolen: tuple[float, ...] = ()
    used: Mapping[str, float] = {}
    waited: Mapping[str, float] = {}


class _Sampled(SampledProcesses):
    """What a sample says of cores and processes."""

    at: float
    worked: tuple[float, ...] = ()
    stolen: tuple[float, ...] = ()
    quarters: tuple[_Looked, ...] = ()
    gave_way: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TakenTime:
    """
    Seconds between two moments (monotonic) in which a process wanted to run and could not.

    `host`: what the host of this virtual machine took of its cores. `others`: what processes that
    are not ours used of them while it waited. `stopped`: by a signal.
    """

    start: float
    end: float
    host: float = 0.0
    others: float = 0.0
    stopped: float = 0.0

    @property
    def seconds(self) -> float:
        return min(self.host + self.others + self.stopped, self.end - self.start)

    def within(self, start: float, end: float) -> float:
        """Its seconds between two moments, as if they were spread evenly."""
        overlap = min(self.end, end) - max(self.start, start)
        return max(overlap, 0.0) / (self.end - self.start) * self.seconds


@dataclass(frozen=True)
class Look:
    """What cores and processes did from one moment to the next; shares, and cores."""

    start: float
    end: float
    worked: Sequence[float]
    stolen: Sequence[float]
    used: Mapping[str, float]
    waited: Mapping[str, float | None]
    affinity: Mapping[str, frozenset[int]]
    hidden: frozenset[int] = frozenset()
    """Cores of a deployment that is not seen: what others use there may be its own work."""
    niced: Sequence[float] = ()
    gave_way: Sequence[float] = ()
    """By core, the part of what others used that processes of a lower priority used."""

    def taken(self, name: str) -> TakenTime:
        """
        What was taken of the cores of this process.

        Others take only what it waited for: one that gives way at once, as a niced one does, takes
        nothing. A process waits for others of ours, too; so others take what they used at most.
        """
        cores, length = self.affinity.get(name, frozenset()), self.end - self.start
        if not cores:
            return TakenTime(self.start, self.end)
        stolen, worked = self._sum(self.stolen, cores), self._sum(self.worked, cores)
        host = stolen / max(stolen + worked, 1.0)
        waited = self.waited.get(name)
        others = max(worked - self._ours(cores), 0.0)
        # The system counts the user time of niced processes alone, and none of SCHED_IDLE ones.
        part = max((self.gave_way[core] for core in cores if core < len(self.gave_way)), default=0)
        gave_way = max(self._sum(self.niced, cores), part * others)
        others = max(others - (1 - _TAKES) * gave_way - _TICK / length, 0.0)
        others = min(others, math.inf if waited is None else waited, 1.0 - host)
        if cores & self.hidden:
            others = 0.0
        return TakenTime(self.start, self.end, host * length, max(others, 0.0) * length)

    def _sum(self, values: Sequence[float], cores: Iterable[int]) -> float:
        return math.fsum(values[core] for core in cores if core < len(values))

    def _ours(self, cores: frozenset[int]) -> float:
        # One that may run elsewhere, too, counts as if it were always here.
        return math.fsum(
            used for name, used in self.used.items() if self.affinity.get(name, cores) & cores
        )


@dataclass(frozen=True)
class Disturbances:
    """The disturbances of one stage's window."""

    record: StageRecord
    looks: Sequence[Look]
    stops: Mapping[str, Sequence[tuple[float, float]]]
    quarterly: bool
    """Whether quarter seconds were looked at, or whole seconds alone (by earlier versions)."""

    @property
    def names(self) -> tuple[str, str, str]:
        return self.record.stage.deployment, MOCK, GENERATOR

    def taken(self, name: str) -> list[TakenTime]:
        """What was taken from a process, by time; stops are told apart."""
        return [look.taken(name) for look in self.looks]

    def stopped(self, name: str) -> list[TakenTime]:
        return [TakenTime(a, b, stopped=b - a) for a, b in self.stops.get(name, ()) if b > a]

    @cached_property
    def cut(self) -> tuple[int, ...]:
        """
        The quarters of the window that are left out, counted from its first.

        Those in which much was taken, the next one, in which a process catches up, and those before
        in which requests began that had not been answered yet: for as long as answers take in the
        whole stage, which is the same for all of them. None where too little would be left.
        """
        window = self.record.window
        if window is None or not self.quarterly:
            return ()
        count = round(self.record.stage.measure / LENGTH)
        large = {index for index in range(count) if self._large(window[0] + index * LENGTH)}
        large |= self._late(count)
        if not large:
            return ()
        reach = math.ceil(REACH * self._answer() / LENGTH)
        out = {n for index in large for n in range(index - reach, index + 2) if 0 <= n < count}
        left = count - len(out)
        return () if left < max(LEAST * count, LEAST_SECONDS / LENGTH) else tuple(sorted(out))

    def _large(self, start: float) -> bool:
        end = start + LENGTH
        return any(
            math.fsum(one.within(start, end) for one in (*self._spells[name],)) >= LARGE * LENGTH
            for name in self.names
        )

    @cached_property
    def _spells(self) -> Mapping[str, Sequence[TakenTime]]:
        return {name: [*self.taken(name), *self.stopped(name)] for name in self.names}

    def _late(self, count: int) -> set[int]:
        """The quarters in which a generator's timers woke so late, and those until they did."""
        first = round(self.record.stage.settle / LENGTH)
        return {
            index
            for done in self.record.dones.values()
            for one in done.lateness
            if one.worst >= LARGE * LENGTH
            for index in range(
                one.index - first, one.index - first + math.ceil(one.worst / LENGTH) + 1
            )
            if 0 <= index < count
        }

    def _answer(self) -> float:
        """Seconds that an answer takes in the mean."""
        times = merged(part.ok for part in self.record.slices)
        return times.mean() if times.count else 0.0


def of_record(record: StageRecord, samples: Sequence[Sample]) -> Disturbances:
    """What the samples say about a stage's window."""
    window = record.window
    if window is None:
        return Disturbances(record, (), {}, False)
    found = list(_looks(window, samples, record.stage.deployment))
    stopped = stops.within(window, samples)
    return Disturbances(
        record, [look for look, _ in found], stopped, any(light for _, light in found)
    )


def cut(record: StageRecord, samples: Sequence[Sample]) -> tuple[int, ...]:
    """The quarters of a stage's window that are left out; see `Disturbances.cut`."""
    return of_record(record, samples).cut


def _looks(
    window: tuple[float, float], samples: Sequence[Sample], deployment: str
) -> Iterator[tuple[Look, bool]]:
    """The looks that overlap a window, clipped to it; whether each is of a quarter second."""
    start, end = window
    near = [
        (before, sample)
        for before, sample in pairwise(samples)
        if before["at"] < end and sample["at"] > start
    ]
    read = [(before["at"], _Sampled.read(sample)) for before, sample in near]
    seen = [one for _, one in read if one is not None]
    here = next((one.processes[deployment] for one in seen if deployment in one.processes), None)
    used = [one.processes[deployment].cpu for one in seen if deployment in one.processes]
    hidden = frozenset[int]()
    if here is None:
        hidden = frozenset(range(max((len(one.worked) for one in seen), default=0)))
    elif math.fsum(used) < UNSEEN * len(used):
        hidden = here.affinity
    for before, one in read:
        if one is None:
            continue
        affinity = {name: process.affinity for name, process in one.ours.items()}
        parts = _light(one, before) if one.quarters else _whole(one, before)
        for begin, look in parts:
            if begin < end and look.at > start and look.at > begin:
                yield (
                    Look(
                        begin,
                        look.at,
                        look.worked,
                        look.stolen,
                        look.used,
                        {**look.waited} if one.quarters else _waits(one),
                        affinity,
                        hidden,
                        look.niced,
                        one.gave_way,
                    ),
                    bool(one.quarters),
                )


def _light(one: _Sampled, before: float) -> Iterator[tuple[float, _Looked]]:
    begin = before
    for look in one.quarters:
        # After a gap it is not known when a look began: it covers about a quarter second.
        yield max(begin, look.at - 2 * LENGTH), look
        begin = look.at


def _whole(one: _Sampled, before: float) -> Iterator[tuple[float, _Looked]]:
    used = {name: process.cpu for name, process in one.ours.items()}
    look = _Looked(at=one.at, worked=one.worked, stolen=one.stolen, used=used)
    yield max(before, one.at - _SECOND), look


def _waits(one: _Sampled) -> Mapping[str, float | None]:
    return {name: process.wait for name, process in one.ours.items()}
