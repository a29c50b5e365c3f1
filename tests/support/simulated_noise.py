"""Blocks of equal services on two cores that others use in bursts, request by request."""

import bisect
import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from loadtests.analysis.verdicts.blocks import Block
from loadtests.results import QUANTILES
from loadtests.schedules.interleaved import TURNS

BURST = 0.020, 0.500  # seconds, the shortest and the longest
USERS = 40
SETTLE, MEASURE, SWITCHING = 0.25, 1.25, 0.15  # seconds
SERVICE, GENERATOR, MOCK = 1.0e-3, 0.4e-3, 0.24e-3  # seconds of CPU that a request takes
LATENCY = (0.0, 0.03), (0.5, 0.05), (0.95, 0.08), (0.99, 0.15), (1.0, 0.25)  # of the upstream
STARTS = 0.01  # standard deviation of the log of what a request takes, between starts of a service
SEEN = 0.01  # standard deviation with which the share that others took is known
_MOCK, _APP = 0, 1  # cores; the generator shares the mock's
_WAY = (  # core, and seconds of CPU, of each step of a request; the upstream's delay is before 3
    (_MOCK, GENERATOR / 2),
    (_APP, SERVICE / 2),
    (_MOCK, MOCK / 2),
    (_MOCK, MOCK / 2),
    (_APP, SERVICE / 2),
    (_MOCK, GENERATOR / 2),
)


@dataclass
class Core:
    """
    A core that runs one thing at a time, in the order in which they come.

    In a burst it has `left` of its speed: half of it next to a process of the same priority,
    nothing while the host of a virtual machine has stopped it.
    """

    rng: random.Random
    share: float
    left: float
    free: float = 0.0
    _ends: list[float] = field(default_factory=lambda: [0.0])
    _speeds: list[float] = field(default_factory=lambda: [1.0])

    def run(self, at: float, work: float) -> float:
        """When something that comes then, and takes so much CPU, is done."""
        now = max(at, self.free)
        self._reach(now)
        place = bisect.bisect_right(self._ends, now)
        while True:
            if place == len(self._ends):
                self._reach(self._ends[-1] + 1.0)
            end, speed = self._ends[place], self._speeds[place]
            if (end - now) * speed >= work:
                self.free = now + work / speed
                return self.free
            work -= (end - now) * speed
            now, place = end, place + 1

    def taken(self, start: float, end: float) -> float:
        """The share of its time that others had."""
        self._reach(end)
        total = 0.0
        for place in range(bisect.bisect_right(self._ends, start), len(self._ends)):
            begin = self._ends[place - 1]
            if begin >= end:
                break
            overlap = min(self._ends[place], end) - max(begin, start)
            total += overlap * (1 - self._speeds[place])
        return total / (end - start)

    def _reach(self, at: float) -> None:
        low, high = BURST
        mean = (high - low) / math.log(high / low)
        while self._ends[-1] <= at:
            pause, burst = 1.0, 0.0
            if self.share:
                pause = self.rng.expovariate(self.share / ((1 - self.share) * mean))
                burst = low * (high / low) ** self.rng.random()
            self._ends += [self._ends[-1] + pause, self._ends[-1] + pause + burst]
            self._speeds += [1.0, self.left]


def rounds(share: float, left: float, seed: int, count: int) -> Iterator[list[Block]]:
    """
    Blocks of whole rounds of A and B, which are equal, at 40 users.

    Args:
        share: the part of the time in which there is a burst, on each of the two cores.
        left: see `Core`.
    """
    rng = random.Random(f"{share} {left} {seed}")
    grid = [_quantile((place + 0.5) / 100) for place in range(100)]
    for number in range(count):
        cores = [Core(random.Random(rng.random()), share, left) for _ in range(2)]
        costs = [math.exp(rng.gauss(0, STARTS)) for _ in range(2)]
        found, at = [], 1.0
        for side in TURNS:
            side = side if number % 2 else 1 - side
            times, end = _played(rng, cores, grid, at, costs[side])
            found.append(_block(rng, "AB"[side], at, times, cores, end))
            at = end + SWITCHING
        yield found


def _quantile(q: float) -> float:
    for (low, a), (high, b) in pairwise(LATENCY):
        if q <= high:
            return a * (b / a) ** ((q - low) / (high - low))
    return LATENCY[-1][1]


def _played(
    rng: random.Random, cores: list[Core], grid: list[float], begin: float, cost: float
) -> tuple[list[float], float]:
    """Response times of the requests that started in the window, and when the last one ended."""
    end, window = begin + SETTLE + MEASURE, begin + SETTLE
    # (when, a number for the order, step, when the request began)
    events = [(begin + 0.02 * rng.random(), user, 0, 0.0) for user in range(USERS)]
    heapq.heapify(events)
    delays: list[float] = []
    times, number, last = [], USERS, end
    while events:
        at, _, step, began = heapq.heappop(events)
        if step == 0:
            if at >= end:
                continue
            began = at
        core, work = _WAY[step]
        done = cores[core].run(at, work * (cost if core == _APP else 1.0) * (0.5 + rng.random()))
        if step == 2:
            if not delays:
                delays = grid.copy()
                rng.shuffle(delays)
            done += delays.pop()
        if step == len(_WAY) - 1:
            last = max(last, done)
            if window <= began:
                times.append(done - began)
        number += 1
        heapq.heappush(events, (done, number, (step + 1) % len(_WAY), began))
    return times, last


def _block(
    rng: random.Random, name: str, begin: float, times: list[float], cores: list[Core], end: float
) -> Block:
    ordered, count = sorted(times), len(times)
    values = {
        metric: ordered[math.ceil(round(q * count, 9)) - 1] for metric, q in QUANTILES.items()
    }
    values["throughput"] = USERS * count / math.fsum(times)
    values["errors"] = 0.0
    return Block(
        name,
        USERS,
        begin,
        count,
        values,
        disturbances={
            f"cores {number}": max(core.taken(begin, end) + rng.gauss(0, SEEN), 0.0)
            for number, core in enumerate(cores)
        },
    )
