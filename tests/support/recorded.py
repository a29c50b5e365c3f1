"""Stages as the controller would hold them, made of requests whose times are known."""

import heapq
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from loadtests.analysis.inputs.records import Header, Record, StageRecord
from loadtests.analysis.runs import run_of
from loadtests.recording.messages import RequestSpec, Stage, StageStarted
from loadtests.results import Point, Run, SloResult
from tests.support.slices_of import slices_of

Draw = Callable[[random.Random], float]


class Request(NamedTuple):
    """Seconds since the stage began, and whether it fails."""

    start: float
    end: float
    failed: bool = False


def stage(
    number: int,
    deployment: str,
    level: int,
    *,
    settle: float = 2.0,
    measure: float = 5.0,
    **options: Any,
) -> Stage:
    values = {
        "target": "http://127.0.0.1:1",
        "think_time": 0.0,
        "requests": (RequestSpec(name="/", method="GET", path="/", weight=1.0, timeout=10.0),),
        "seed": number,
        **options,
    }
    return Stage(
        number=number,
        deployment=deployment,
        level=level,
        settle=settle,
        measure=measure,
        **values,
    )


def recorded(played: Stage, requests: Iterable[Request], kind: str = "timeout") -> StageRecord:
    """The record of a stage in which these requests were sent; `kind` of the failures."""
    length = played.settle + played.measure
    sent = list(requests)
    starts, ends, failed = zip(*sent, strict=True) if sent else ((), (), ())
    start, end, wrong = np.array(starts), np.array(ends), np.array(failed, dtype=bool)
    within = (start >= 0) & (start < length)
    slices = slices_of(
        played.number,
        start[within],
        end[within],
        wrong[within],
        model=played.model,
        kind=kind,
        status="",
    )
    made = StageRecord(played)
    made.begun = StageStarted(stage=played.number, at=1000.0 * (played.number + 1), generators={})
    made.slices = [slices[key] for key in sorted(slices)]
    return made


def users(
    played: Stage,
    draw: Draw,
    rng: random.Random,
    *,
    servers: int | None = None,
    failing: Callable[[random.Random], float | None] | None = None,
    fails_at: Callable[[float], bool] | None = None,
) -> list[Request]:
    """
    What users who start within half the settling time send, one request after the other.

    Args:
        servers: requests that are worked on at the same time; None: all.
        failing: None, or how long the request takes to fail; without it none fails so.
        fails_at: whether a request that starts then fails, after its usual time.
    """
    length, think = played.settle + played.measure, played.think_time
    ready = sorted(rng.uniform(0, played.settle / 2) for _ in range(played.level))
    free = [0.0] * (servers or 0)
    starts, ends, failed = list[float](), list[float](), list[bool]()
    while (start := ready[0]) < length:
        begin = max(start, free[0]) if servers else start
        wrong = failing(rng) if failing else None
        end = begin + (draw(rng) if wrong is None else wrong)
        if servers:
            heapq.heapreplace(free, end)
        starts.append(start)
        ends.append(end)
        failed.append(wrong is not None or (fails_at is not None and fails_at(start)))
        heapq.heapreplace(ready, end + think)
    # Request() itself takes as long as all of the rest.
    return list(map(partial(tuple.__new__, Request), zip(starts, ends, failed, strict=True)))


def arrivals(
    played: Stage, draw: Draw, rng: random.Random, succeeding: Callable[[], bool] = lambda: True
) -> list[Request]:
    """What a Poisson stream of the level's rate sends to a service that has no queue."""
    found, now = [], 0.0
    while (now := now + rng.expovariate(played.level)) < played.settle + played.measure:
        found.append(Request(now, now + draw(rng), not succeeding()))
    return found


def hung(played: Stage, rng: random.Random, timeout: float = 10.0) -> StageRecord:
    """A stage in which no request is answered: each user waits for the timeout."""
    starts = (rng.uniform(0, played.settle / 2) for _ in range(played.level))
    return recorded(played, [Request(start, start + timeout, True) for start in starts])


def lognormal(mean: float, variation: float) -> Draw:
    """`variation`: the standard deviation over the mean."""
    sigma = math.sqrt(math.log1p(variation**2))
    mu = math.log(mean) - sigma**2 / 2
    return lambda rng: math.exp(rng.normalvariate(mu, sigma))


def analysed(
    stages: Sequence[StageRecord],
    slos: Mapping[str, str] = {},
    *,
    samples: Iterable[dict[str, Any]] = (),
    plan: Mapping[str, Any] = {},
) -> Run:
    """The run of these stages, all of deployment "a"."""
    levels = sorted({one.stage.level for one in stages})
    whole = {
        "deployments": {"a": {}},
        "load": {"levels": levels, "model": stages[0].stage.model},
        "slos": dict(slos),
        **plan,
    }
    record = Record(
        Header(id="r", name="r", plan=whole),
        stages=list(stages),
        samples=list(samples),
        status="complete",
    )
    return run_of(record)


def of_all(run: Run) -> list[Point]:
    """The points of deployment "a"."""
    return run.of("a")


def outcome(run: Run, name: str) -> SloResult:
    """The result of one SLO."""
    return next(one for one in run.slos if one.name == name)
