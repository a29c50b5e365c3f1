"""Queues with known truth that speak as the engine does: they prove the statistics."""

import math
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from operator import sub
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from loadtests.analysis.inputs.records import StageRecord
from loadtests.engine.arrivals import first_starts
from loadtests.recording.messages import (
    Clock,
    Enough,
    GeneratorDone,
    GeneratorLost,
    Measured,
    Report,
    RequestSpec,
    SliceMessage,
    Stage,
    StageStarted,
)
from loadtests.recording.phases import NAMES
from loadtests.recording.slices import LENGTH, Slice
from tests.support.slices_of import slices_of

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

    `phase` and `queue`: of loadtests.recording.phases.NAMES, what working and waiting here are.
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
    """A blocking service: a number of threads; everything else waits."""
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
    _sent: "_Sent" = field(default_factory=lambda: _Sent())
    _settle: float = 0.0  # seconds of the last stage that count for nothing
    _answers: dict[str, float] = field(default_factory=dict)  # mean, by deployment

    def play(self, stage: Stage) -> Iterator[StageStarted | Report | GeneratorDone | GeneratorLost]:
        begun, recorded = self.generated(stage)
        yield begun
        for name, slices in recorded.items():
            reports = _reports(stage.number, name, slices)
            yield from reports
            yield self.ended(stage, name, len(reports))

    def ended(self, stage: Stage, generator: str, reports: int) -> GeneratorDone | GeneratorLost:
        """What is the last of a generator in this stage."""
        if self._is_silent(stage, generator):
            return GeneratorLost(stage=stage.number, generator=generator, reason="fell silent")
        return GeneratorDone(
            stage=stage.number,
            generator=generator,
            reports=reports,
            unfinished=0,
            cpu=self.cpu,
            lag=self.lag,
        )

    def generated(
        self, stage: Stage
    ) -> tuple[StageStarted, dict[str, dict[tuple[int, str], Slice]]]:
        """How the stage begins, and what each generator records of it."""
        names = [f"generator-{number}" for number in range(self.generators)]
        begun = StageStarted(
            stage=stage.number,
            at=self.clock,
            generators={name: Clock(offset=0.0, uncertainty=0.0) for name in names},
        )
        system = self.systems[stage.deployment]
        length = stage.settle + stage.measure
        rng = random.Random(f"{self.seed} {stage.number} {stage.seed}")
        telling = random.Random(f"telling {self.seed} {stage.number}")  # changes no time
        sent = _requests(system, stage, length, rng, self._answers.get(stage.deployment))
        self._sent, self._settle = sent, stage.settle
        count = len(sent.starts)
        tells = [n for n in range(count) if telling.random() < system.tells] if system.tells else []
        generator = np.array(sent.users) % len(names)
        recorded = {
            name: {}
            if self._is_silent(stage, name)
            else _slices(stage, sent, generator == number, tells)
            for number, name in enumerate(names)
        }
        if count:
            spent = map(sub, sent.ends, sent.starts)
            self._answers[stage.deployment] = sum(spent) / count
        self.clock += length + 0.2
        return begun, recorded

    @property
    def state(self) -> tuple[float, dict[str, float]]:
        """All that the next stage depends on."""
        return self.clock, dict(self._answers)

    @state.setter
    def state(self, state: tuple[float, dict[str, float]]) -> None:
        self.clock, self._answers = state[0], dict(state[1])

    @property
    def times(self) -> list[float]:
        """Service times of the last stage's successes that started in the window; seconds."""
        return [self._sent.ends[n] - self._sent.starts[n] for n in self._succeeded()]

    @property
    def told(self) -> list[tuple[float, list[float]]]:
        """
        Each of `times` with its phases in the order of loadtests.recording.phases.NAMES; seconds.
        Empty if the system has no telemetry.
        """
        if not self._sent.phases:
            return []
        return list(zip(self.times, (self._sent.phases[n] for n in self._succeeded()), strict=True))

    @property
    def calls(self) -> list[tuple[float, float]]:
        """Start and end of each request of the last stage, in seconds since it began."""
        return list(zip(self._sent.starts, self._sent.ends, strict=True))

    def _is_silent(self, stage: Stage, generator: str) -> bool:
        return stage.number == self.dies_at and generator == f"generator-{self.generators - 1}"

    def _succeeded(self) -> list[int]:
        sent = self._sent
        window = (n for n, start in enumerate(sent.starts) if start >= self._settle)
        return [n for n in window if not sent.failed[n]]


class SimulatedLine:
    """The line to an engine: plays each stage that is sent, which ends sooner if it may."""

    def __init__(self, engine: SimulatedEngine) -> None:
        self.sent: list[Any] = []
        self._engine = engine
        self._stage: Stage | None = None
        self._before: tuple[float, dict[str, float]] = (0.0, {})  # of the engine, at its beginning
        self._coming: deque[Any] = deque()
        self._given = 0  # messages about the stage

    def send(self, message: Any) -> None:
        self.sent.append(message)
        match message:
            case Stage():
                self._stage, self._given = message, 0
                self._before = self._engine.state
                self._coming = deque(self._engine.play(message))
            case Enough() if self._stage is not None:
                reported = self._given * 2 * LENGTH - self._stage.settle
                measure = max(message.measure, reported)
                if measure >= self._stage.measure:
                    return
                # What came so far comes once more, since the seed is the same.
                self._engine.state = self._before
                shorter = self._stage.model_copy(update={"measure": measure})
                following = list(self._engine.play(shorter))[self._given :]
                measured = Measured(stage=message.stage, measure=measure)
                self._coming = deque([measured, *following])

    def receive(self, timeout: float | None) -> Any:
        self._given += 1
        return self._coming.popleft()


def record(engine: SimulatedEngine, played: Stage) -> StageRecord:
    """What the controller would hold after the stage, had nothing to be encoded and read."""
    made = StageRecord(played)
    begun, recorded = engine.generated(played)
    made.add(begun)
    for name, slices in recorded.items():
        made.slices += [slices[key] for key in sorted(slices)]
        made.add(engine.ended(played, name, 0))
    return made


def recorded(played: Stage, requests: Iterable[tuple[float, float, bool]]) -> StageRecord:
    """
    What the controller would hold after these requests: (start, end, whether it failed) in seconds
    from the stage's beginning. Those that start after its end are left out, as by the recorder.
    """
    length = played.settle + played.measure
    those = [one for one in requests if one[0] < length]
    starts, ends, failed = zip(*those, strict=True) if those else ((), (), ())
    name = played.requests[0].name
    slices = slices_of(
        played.number, starts, ends, failed, names=[name], model=played.model, body=BODY
    )
    made = StageRecord(played)
    made.add(StageStarted(stage=played.number, at=1000.0 * (played.number + 1), generators={}))
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


@dataclass(slots=True)
class _Sent:
    """Requests in the order of their ends, a list for each of their values."""

    users: list[int] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)  # the place among the stage's requests
    idle: list[float] = field(default_factory=list)  # since the user's answer before, or nan
    phases: list[list[float]] = field(default_factory=list)  # as NAMES, where a service tells them


def _requests(
    system: System, stage: Stage, length: float, rng: random.Random, answer: float | None
) -> _Sent:
    """Every request that starts before `length` (seconds)."""
    weights = [request.weight for request in stage.requests]
    numbers = range(len(weights))
    failing = system.failing(stage.level)
    closed, thinks, think = stage.model == "closed", system.thinks, stage.think_time
    servers = [math.inf if one.servers is None else one.servers for one in system.stations]
    services = [one.service for one in system.stations]
    places = [(NAMES.index(one.queue), NAMES.index(one.phase)) for one in system.stations]
    last = len(services) - 1
    # An event: (time, tie-breaker, user, station that the request leaves, or -1 for a new one).
    begins = list(_first_starts(stage, length, rng, answer))
    events = [(begin, user, user, -1) for user, begin in enumerate(begins)]
    heapify(events)
    tie = len(begins)
    waiting = [deque[int]() for _ in services]
    busy = [0] * len(services)
    started, ended, queued = ([math.nan] * tie for _ in range(3))
    phases: list[list[float]] = [[] for _ in begins] if system.tells else []
    sent = _Sent()
    while events:
        now, _, user, left = heappop(events)
        entering, at = user, left + 1
        if left < 0:
            if now >= length:
                continue
            started[user] = now
            if phases:
                phases[user] = [0.0] * len(NAMES)
        else:
            busy[left] -= 1
            if waiting[left]:
                # The one who waited takes the server before this request goes on.
                following = waiting[left].popleft()
                busy[left] += 1
                work = services[left](rng)
                if phases:
                    queue, phase = places[left]
                    phases[following][queue] += now - queued[following]
                    phases[following][phase] += work
                heappush(events, (now + work, tie, following, left))
                tie += 1
            if left == last:
                name = rng.choices(numbers, weights)[0] if len(weights) > 1 else 0
                sent.users.append(user)
                sent.starts.append(started[user])
                sent.ends.append(now)
                sent.failed.append(failing > 0 and rng.random() < failing)
                sent.chosen.append(name)
                # Of random pauses those that end within the stage are the short ones; the engine
                # has none.
                sent.idle.append(math.nan if thinks else started[user] - ended[user])
                if phases:
                    sent.phases.append(phases[user])
                ended[user] = now
                if not closed:
                    continue
                pause = rng.expovariate(1 / think) if thinks else think
                if pause or (events and events[0][0] <= now):
                    heappush(events, (now + pause, tie, user, -1))
                    tie += 1
                    continue
                # The next request of the same user comes before all other events.
                if now >= length:
                    continue
                at = 0
                started[user] = now
                if phases:
                    phases[user] = [0.0] * len(NAMES)
        if busy[at] >= servers[at]:
            waiting[at].append(entering)
            queued[entering] = now
            continue
        busy[at] += 1
        work = services[at](rng)
        if phases:
            phases[entering][places[at][1]] += work
        heappush(events, (now + work, tie, entering, at))
        tie += 1
    return sent


def _first_starts(
    stage: Stage, length: float, rng: random.Random, answer: float | None
) -> Iterator[float]:
    """The first start of each user; in the open model each user comes once."""
    if stage.model == "closed":
        spread = first_starts(stage, answer)
        yield from (rng.uniform(0, spread) for _ in range(stage.level))
        return
    now = 0.0
    while now < length:
        yield now
        now += 1 / stage.level if stage.arrivals == "even" else rng.expovariate(stage.level)


def _slices(
    stage: Stage, sent: _Sent, users: NDArray[np.bool_], tells: Sequence[int]
) -> dict[tuple[int, str], Slice]:
    """
    What the generator of these users records.

    Args:
        users: which of the requests are theirs.
        tells: the requests that tell where their time went.
    """
    names = [request.name for request in stage.requests]
    found = slices_of(
        stage.number,
        np.array(sent.starts)[users],
        np.array(sent.ends)[users],
        np.array(sent.failed)[users],
        names=names,
        chosen=np.array(sent.chosen)[users],
        idle=np.array(sent.idle)[users],
        model=stage.model,
        body=BODY,
    )
    for place in tells:
        if users[place] and not sent.failed[place]:
            begin, name = sent.starts[place], names[sent.chosen[place]]
            part = found[int(begin / LENGTH), name]
            part.phases.record(sent.ends[place] - begin, sent.phases[place])
    return found


def _reports(stage: int, generator: str, slices: Mapping[tuple[int, str], Slice]) -> list[Report]:
    """Two quarter seconds in each, in order."""
    by_report: dict[int, list[SliceMessage]] = defaultdict(list)
    for index, request in sorted(slices):
        by_report[index // 2].append(SliceMessage.of(slices[index, request]))
    return [
        Report(stage=stage, generator=generator, sequence=sequence, slices=tuple(parts))
        for sequence, parts in enumerate(by_report.values())
    ]
