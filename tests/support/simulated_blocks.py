"""Blocks and points of services that are equal, in which requests fail in one way or another."""

import math
import random

import numpy as np

from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.points import points
from loadtests.analysis.verdicts.blocks import Block
from loadtests.recording.messages import RequestSpec, Stage, StageStarted
from loadtests.results import QUANTILES, Point
from tests.support.slices_of import slices_of

BURST = 0.1  # seconds in which every request fails
FAILING = {
    "none fail": (0.0, False),
    "2 % fail": (0.02, False),
    "5 % fail": (0.05, False),
    "2 % fail, in bursts": (0.02, True),
    "5 % fail, in bursts": (0.05, True),
}
_ANSWER, _SPREAD = 0.05, 0.35  # of the response times: median in seconds, and standard deviation
_STARTS, _BLOCKS = 0.01, 0.015  # standard deviations between starts of a service, and blocks


class Equals:
    """Draws the blocks of one comparison; `made(step, round)` is what `blocks.contested` wants."""

    def __init__(self, seed: int, share: float, bursts: bool, users: int = 40) -> None:
        self._rng = np.random.default_rng(seed)
        self._share, self._bursts, self._users = share, bursts, users
        self._starts: dict[tuple[str, int], float] = {}

    def made(self, step, number: int, seconds: float = 1.25) -> Block:
        rng, key = self._rng, (step.deployment, number)
        if key not in self._starts:
            self._starts[key] = rng.normal(0, _STARTS)
        factor = math.exp(self._starts[key] + rng.normal(0, _BLOCKS))
        mean = _ANSWER * math.exp(_SPREAD**2 / 2) * factor
        count = int(self._users * seconds / mean)
        times = np.sort(rng.lognormal(math.log(_ANSWER * factor), _SPREAD, count))
        failed = self._failed(count, seconds)
        ok = np.delete(times, rng.choice(count, failed, replace=False)) if failed else times
        values = {}
        for name, q in QUANTILES.items():
            rank = math.ceil(round(q * count, 9))
            values[name] = float(ok[rank - 1]) if rank <= len(ok) else math.inf
        values["throughput"] = self._users / float(times.mean()) * (1 - failed / count)
        values["errors"] = failed / count
        values["cpu"] = 0.001 * math.exp(self._starts[key] + rng.normal(0, 0.01))
        values["memory"] = 6e7 * math.exp(self._starts[key] / 10)
        values["size"], values["calls"] = 100.0, 1.0
        return Block(
            step.deployment,
            step.level,
            0.0,
            count,
            values,
            kinds={"503": failed} if failed else {},
            statuses={"200": count - failed},
        )

    def _failed(self, count: int, seconds: float) -> int:
        rng = self._rng
        if not self._bursts:
            return int(rng.binomial(count, self._share))
        # A burst that began before the block reaches into it.
        often = self._share / BURST * (seconds + BURST)
        starts = rng.uniform(-BURST, seconds, rng.poisson(often))
        failing = np.zeros(count, dtype=bool)
        at = rng.uniform(0, seconds, count)
        for start in starts:
            failing |= (start <= at) & (at < start + BURST)
        return int(failing.sum())


def point(
    seed: int,
    share: float,
    bursts: bool,
    users: int = 12,
    settle: float = 0.5,
    measure: float = 5.0,
) -> Point:
    """The point of all requests of one level of one run."""
    rng = random.Random(seed)
    length = settle + measure
    begins, at = list[float](), -BURST
    while bursts and (at := at + rng.expovariate(share / BURST)) < length:
        begins.append(at)
    stage = Stage(
        number=0,
        deployment="mine",
        target="http://127.0.0.1:1",
        level=users,
        think_time=0.0,
        settle=settle,
        measure=measure,
        requests=(RequestSpec(name="/", method="GET", path="/", weight=1.0, timeout=10.0),),
        seed=seed,
    )
    record = StageRecord(stage)
    record.begun = StageStarted(stage=0, at=1000.0, generators={})
    starts, ends, wrong = list[float](), list[float](), list[bool]()
    for _ in range(users):
        start = rng.uniform(0, 0.1)
        while start < length:
            seconds = rng.lognormvariate(math.log(_ANSWER), _SPREAD)
            failed = (
                any(begin <= start < begin + BURST for begin in begins)
                if bursts
                else rng.random() < share
            )
            starts.append(start)
            start += seconds
            ends.append(start)
            wrong.append(failed)
    slices = slices_of(0, starts, ends, wrong, body=100)
    record.slices = [slices[key] for key in sorted(slices)]
    return next(one for one in points([record]) if one.request == "all")
