"""Queues with known truth that speak as the engine does: they prove the statistics."""

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any, Literal, NamedTuple

from loadtests.analysis.records import StageRecord
from loadtests.engine.arrivals import first_starts
from loadtests.phases import NAMES
from loadtests.slices import LENGTH, Slice
from loadtests.stages import (
    Begun,
    Clock,
    Done,
    Lost,
    Report,
    RequestSpec,
    SliceMessage,
    Stage,
)

Draw = Callable[[random.Random], float]
BODY = 100  # bytes of every success


def exponential(mean: float) -> Draw:
    return lambda rng: rng.expovariate(1 / mean)


def constant(seconds: float) -> Draw:
    return lambda rng: seconds


def uniform(low: float, high: float) -> Draw:
    return lambda rng: rng.uniform(low, high)


@dataclass(frozen=True, slots=True)
class Station:
    """
    `servers` that work at the same time (None: as many as there are requests), one queue.

    `phase` and `queue`: of loadtests.phases.NAMES, what working and waiting here are.
    """

    service: Draw
    servers: int | None = None
    phase: str = "upstream"
    queue: str = "thread_wait"


@dataclass(frozen=True, slots=True)
class System:
    """
    A deployment: stations that each request passes in turn.

    A request fails with the probability `failing(level)`, by status 503, after its whole way.
    With `thinks` the think time is exponential, of the stage's mean. `tells`: the part of the
    responses that tell where their time went; nobody does by default.
    """

    stations: Sequence[Station]
    failing: Callable[[int], float] = lambda level: 0.0
    thinks: bool = False
    tells: float = 0.0


def threads(servers: int, service: Draw) -> System:
    """A blocking service: so many threads, everything else waits."""
    return System([Station(service, servers)])


@dataclass(slots=True)
class SimulatedEngine:
    """
    Plays stages as the real engine does, in milliseconds.

    In the open model arrivals wait for nobody, so a request's service time is its response time.

    Args:
        systems: by deployment.
        seed: same seed, same messages.
        cpu, lag: what each generator says of itself.
        generators: how many share the users.
    """

    systems: Mapping[str, System]
    seed: int = 0
    cpu: float = 0.2
    lag: float = 0.0005
    generators: int = 1
    clock: float = 1000.0  # monotonic seconds; moves on with every stage
    dies_at: int | None = None  # the stage in which the last generator falls silent
    _times: list[float] = field(default_factory=list)
    _told: list[tuple[float, list[float]]] = field(default_factory=list)
    _answers: dict[str, float] = field(default_factory=dict)  # mean, by deployment

    def play(self, stage: Stage) -> Iterator[Begun | Report | Done | Lost]:
        names = [f"generator-{number}" for number in range(self.generators)]
        yield Begun(
            stage=stage.number,
            at=self.clock,
            generators={name: Clock(offset=0.0, uncertainty=0.0) for name in names},
        )
        rng = random.Random(f"{self.seed} {stage.number} {stage.seed}")
        system = self.systems[stage.deployment]
        self._times, self._told = [], []
        recorded: dict[str, dict[tuple[int, str], Slice]] = {name: {} for name in names}
        length = stage.settle + stage.measure
        telling = random.Random(f"telling {self.seed} {stage.number}")  # changes no time
        answer = self._answers.get(stage.deployment)
        count, seconds = 0, 0.0
        for one in _requests(system, stage, length, rng, answer):
            count, seconds = count + 1, seconds + one.end - one.start
            tells = system.tells > 0 and telling.random() < system.tells
            _record(recorded[names[one.user % len(names)]], stage, one, tells)
            if not one.failed and one.start >= stage.settle:
                self._times.append(one.end - one.start)
                self._told.append((one.end - one.start, one.phases))
        if count:
            self._answers[stage.deployment] = seconds / count
        self.clock += length + 0.2
        for name in names:
            if stage.number == self.dies_at and name == names[-1]:
                yield Lost(stage=stage.number, generator=name, reason="fell silent")
                continue
            reports = _reports(stage.number, name, recorded[name])
            yield from reports
            yield Done(
                stage=stage.number,
                generator=name,
                reports=len(reports),
                unfinished=0,
                cpu=self.cpu,
                lag=self.lag,
            )

    @property
    def times(self) -> list[float]:
        """Service times of the last stage's successes that started in the window; seconds."""
        return self._times

    @property
    def told(self) -> list[tuple[float, list[float]]]:
        """Of each of `times`: itself, and where it went, as loadtests.phases.NAMES; seconds."""
        return self._told


def record(engine: SimulatedEngine, played: Stage) -> StageRecord:
    """What the controller would hold after the stage."""
    made = StageRecord(played)
    for message in engine.play(played):
        made.add(message)
    return made


def recorded(played: Stage, requests: Iterable[tuple[float, float, bool]]) -> StageRecord:
    """
    What the controller would hold after these requests: (start, end, whether it failed) in seconds
    from the stage's beginning. Those that start after its end are left out, as by the recorder.
    """
    length = played.settle + played.measure
    slices: dict[tuple[int, str], Slice] = {}
    for start, end, failed in requests:
        if start < length:
            one = _Request(0, start, end, failed, played.requests[0].name, [], None)
            _record(slices, played, one, tells=False)
    made = StageRecord(played)
    made.add(Begun(stage=played.number, at=1000.0 * (played.number + 1), generators={}))
    made.slices = [slices[key] for key in sorted(slices)]
    return made


def ladder(
    engine: SimulatedEngine, deployment: str, levels: Sequence[int], **options: Any
) -> list[StageRecord]:
    """A stage for each level; the options are those of `stage`."""
    return [
        record(engine, stage(number, deployment, level, **options))
        for number, level in enumerate(levels)
    ]


def stage(
    number: int,
    deployment: str,
    level: int,
    *,
    settle: float = 2.0,
    measure: float = 5.0,
    think_time: float = 0.0,
    requests: Mapping[str, float] | None = None,
    model: Literal["closed", "open"] = "closed",
    arrivals: Literal["poisson", "even"] = "poisson",
) -> Stage:
    """A Stage with what a simulation needs; `requests` are weights by name."""
    return Stage(
        number=number,
        deployment=deployment,
        target="http://127.0.0.1:1",
        model=model,
        arrivals=arrivals,
        level=level,
        think_time=think_time,
        settle=settle,
        measure=measure,
        requests=tuple(
            RequestSpec(name=name, method="GET", path=name, weight=weight, timeout=10.0)
            for name, weight in (requests or {"/external-data": 1.0}).items()
        ),
        seed=number,
    )


class _Request(NamedTuple):
    user: int
    start: float
    end: float
    failed: bool
    name: str
    phases: list[float]  # seconds, as NAMES
    idle: float | None  # seconds from the same user's answer before; None: it is not known


def _requests(
    system: System, stage: Stage, length: float, rng: random.Random, answer: float | None
) -> Iterator[_Request]:
    """Every request that starts before `length` (seconds)."""
    names = [request.name for request in stage.requests]
    weights = [request.weight for request in stage.requests]
    failing = system.failing(stage.level)
    places = [(NAMES.index(one.queue), NAMES.index(one.phase)) for one in system.stations]
    # An event: (time, tie-breaker, user, station that the request leaves, or -1 for a new one).
    tie = count()
    events: list[tuple[float, int, int, int]] = []
    for user, begin in enumerate(_first_starts(stage, length, rng, answer)):
        heappush(events, (begin, next(tie), user, -1))
    waiting: dict[int, deque[int]] = defaultdict(deque)
    busy: dict[int, int] = defaultdict(int)
    started: dict[int, float] = {}
    ended: dict[int, float] = {}
    queued: dict[int, float] = {}  # since when, of those who wait
    phases: dict[int, list[float]] = {}

    def thinking() -> float:
        return rng.expovariate(1 / stage.think_time) if system.thinks else stage.think_time

    def arrive(now: float, user: int, at: int) -> None:
        station = system.stations[at]
        if station.servers is not None and busy[at] >= station.servers:
            waiting[at].append(user)
            queued[user] = now
        else:
            busy[at] += 1
            work = station.service(rng)
            queue, phase = places[at]
            phases[user][queue] += now - queued.pop(user, now)
            phases[user][phase] += work
            heappush(events, (now + work, next(tie), user, at))

    while events:
        now, _, user, left = heappop(events)
        if left < 0:
            if now < length:
                started[user] = now
                phases[user] = [0.0] * len(NAMES)
                arrive(now, user, 0)
            continue
        busy[left] -= 1
        if waiting[left]:
            arrive(now, waiting[left].popleft(), left)
        if left + 1 < len(system.stations):
            arrive(now, user, left + 1)
            continue
        name = rng.choices(names, weights)[0] if len(names) > 1 else names[0]
        failed = failing > 0 and rng.random() < failing
        # Of random pauses those that end within the stage are the short ones; the engine has none.
        known = user in ended and not system.thinks
        idle = started[user] - ended[user] if known else None
        ended[user] = now
        yield _Request(user, started[user], now, failed, name, phases[user], idle)
        if stage.model == "closed":
            heappush(events, (now + thinking(), next(tie), user, -1))


def _first_starts(
    stage: Stage, length: float, rng: random.Random, answer: float | None
) -> Iterator[float]:
    """Of each user; in the open model each user comes once."""
    if stage.model == "closed":
        spread = first_starts(stage, answer)
        yield from (rng.uniform(0, spread) for _ in range(stage.level))
        return
    now = 0.0
    while now < length:
        yield now
        now += 1 / stage.level if stage.arrivals == "even" else rng.expovariate(stage.level)


def _record(
    slices: dict[tuple[int, str], Slice], stage: Stage, request: _Request, tells: bool
) -> None:
    def part(index: int) -> Slice:
        key = index, request.name
        if (found := slices.get(key)) is None:
            found = slices[key] = Slice(stage=stage.number, index=index, request=request.name)
        return found

    seconds = request.end - request.start
    first, last = int(request.start / LENGTH), int(request.end / LENGTH)
    begin = part(first)
    begin.started += 1
    begin.start_lead += (first + 1) * LENGTH - request.start
    if request.idle is not None:
        begin.followed += 1
        begin.idle += request.idle
    if request.failed:
        begin.failed.record(seconds)
        begin.kinds["503"] = begin.kinds.get("503", 0) + 1
    else:
        begin.ok.record(seconds)
        begin.statuses["200"] = begin.statuses.get("200", 0) + 1
        begin.bytes += BODY
        if stage.model == "open":
            begin.response.record(seconds)
        if tells:
            begin.phases.record(seconds, request.phases)
    finish = part(last)
    finish.ended += 1
    finish.end_lead += (last + 1) * LENGTH - request.end
    finish.succeeded += not request.failed


def _reports(stage: int, generator: str, slices: Mapping[tuple[int, str], Slice]) -> list[Report]:
    """Two quarter seconds in each, in order."""
    by_report: dict[int, list[SliceMessage]] = defaultdict(list)
    for index, request in sorted(slices):
        by_report[index // 2].append(SliceMessage.of(slices[index, request]))
    return [
        Report(stage=stage, generator=generator, sequence=sequence, slices=tuple(parts))
        for sequence, parts in enumerate(by_report.values())
    ]
