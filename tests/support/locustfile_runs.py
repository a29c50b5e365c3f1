"""Runs of locustfiles whose users think, stop or send several requests at a time, and their truth.

A number of threads serves the requests in their order; without a limit each is served at once.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from loadtests.analysis.inputs.records import Header, Record
from loadtests.recording.messages import Clock, GeneratorDone, StageStarted, UserCounts
from loadtests.recording.slices import Slice
from tests.support.simulated_engine import recorded, stage

Request = tuple[float, float, bool]  # start, end (seconds), whether it failed
SPREAD = 1.0  # seconds over which users begin


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    What each user does again and again: `parallel` requests at a time, then a pause.

    `servers`: threads of the service; None: as many as there are requests. `stopping`: every n-th
    user stops in on_start; 0: none does. `lock`: tasks that can be in a request at a time, by a
    lock of the locustfile; None: all of them.
    """

    servers: int | None
    service: Callable[[random.Random], float]
    parallel: int = 1
    pause: Callable[[random.Random], float] = lambda rng: 0.0
    stopping: int = 0
    lock: int | None = None

    def users(self, level: int) -> int:
        return level - level // self.stopping if self.stopping else level


def thinking(servers: int | None) -> Scenario:
    """40 to 60 ms, and a pause of 0.5 to 1 s."""
    return Scenario(servers, lambda rng: rng.uniform(0.04, 0.06), 1, lambda r: r.uniform(0.5, 1.0))


def at_work(servers: int | None, stopping: int = 0) -> Scenario:
    """40 to 60 ms, without a pause."""
    return Scenario(servers, lambda rng: rng.uniform(0.04, 0.06), stopping=stopping)


def calls_in_parallel(servers: int, parallel: int) -> Scenario:
    """90 to 110 ms, several at a time."""
    return Scenario(servers, lambda rng: rng.uniform(0.09, 0.11), parallel)


def record_of(
    scenarios: Mapping[str, Scenario],
    levels: Sequence[int],
    *,
    measure: float = 4.0,
    slos: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Record:
    """The record of a run of these deployments at these levels, with its users counted."""
    plan = {
        "load": {"levels": list(levels), "measure": f"{measure:g}s"},
        "deployments": {name: {"url": "http://127.0.0.1:1"} for name in scenarios},
        "slos": dict(slos or {}),
    }
    stages = []
    for level in levels:
        for name, scenario in scenarios.items():
            one = stage(len(stages), name, level, settle=2.0, measure=measure)
            one = one.model_copy(update={"own_tasks": True})
            rng = random.Random(f"{seed} {name} {level}")
            found = recorded(one, requests(scenario, level, 2.0 + measure, rng))
            clocks = {"local": Clock(offset=0.0, uncertainty=0.0)}
            at = 1000.0 * (len(stages) + 1)
            found.begun = StageStarted(stage=one.number, at=at, generators=clocks)
            found.dones["local"] = _done(one.number, scenario, level, found.slices)
            stages.append(found)
    return Record(Header(id="run", name="run", plan=plan), stages=stages, status="complete")


def requests(
    scenario: Scenario, level: int, length: float, rng: random.Random
) -> Iterator[Request]:
    """All requests that start before `length` (seconds)."""
    places = scenario.lock or scenario.servers
    free = [0.0] * (places or 0)
    heapify(free)
    turns = [(rng.uniform(0, SPREAD), user) for user in range(scenario.users(level))]
    heapify(turns)
    while turns:
        now, user = heappop(turns)
        if now >= length:
            continue
        ends = []
        for _ in range(scenario.parallel):
            begins = max(now, heappop(free)) if places else now
            ends.append(begins + scenario.service(rng))
            if places:
                heappush(free, ends[-1])
            yield begins if scenario.lock else now, ends[-1], False
        heappush(turns, (max(ends) + scenario.pause(rng), user))


def _done(number: int, scenario: Scenario, level: int, slices: Sequence[Slice]) -> GeneratorDone:
    """What the generator says at the end; its users are in a task while their requests last."""
    users = scenario.users(level)
    total = sum(part.ok.total() for part in slices)
    running = min(total / 6.0, float(users)) if scenario.parallel == 1 else float(users)
    return GeneratorDone(
        stage=number,
        generator="local",
        reports=0,
        unfinished=0,
        cpu=0.1,
        lag=0.0001,
        users=UserCounts(
            running=running, waiting=users - running, starting=0.0, least=users,
            classes={"User": float(users)},
        ),
    )  # fmt: skip
