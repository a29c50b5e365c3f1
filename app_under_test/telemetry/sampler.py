"""Gauges of the process, from a thread of its own: a blocked event loop cannot be asked.

Datagrams in JSON, `brownout-gauges/1`, two a second. What they hold between two of them is the mean
over the ticks of the thread, which also wakes the loop at each tick to see how long that takes.
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from threading import Event, Thread, get_ident
from typing import Any

import anyio.to_thread

from .address import Address
from .process import PROCESS, Use

TICK = 0.05  # seconds
TICKS = 10  # in a datagram
_LARGEST = 8192  # bytes of a datagram
_POOLS = 16  # in a datagram


def start_sampler(address: Address) -> "GaugeSampler":
    """Start the sampler of the running event loop; it ends with the loop."""
    try:
        limiter: Any = anyio.to_thread.current_default_thread_limiter()
    except Exception:  # no event loop of those that anyio knows
        limiter = None
    sampler = GaugeSampler(address, Loop(asyncio.get_running_loop()), limiter)
    sampler.start()
    return sampler


class Loop:
    """An event loop as it is seen from another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called in the loop's thread."""
        self.loop = loop
        self.clock: int | None = None
        if hasattr(time, "pthread_getcpuclockid"):
            self.clock = time.pthread_getcpuclockid(get_ident())
        self.asked: float | None = None
        self.answered: float | None = None
        self.lag = Mean()
        self.worst = 0.0

    def answer(self) -> None:
        self.answered = time.monotonic()

    def look(self) -> None:
        """
        How long the last wake-up took; or has taken so far, if it is still waited for.

        Raises:
            RuntimeError: the loop is closed.
        """
        now = time.monotonic()
        if self.asked is not None:
            lag = (self.answered or now) - self.asked
            self.lag.add(lag)
            self.worst = max(self.worst, lag)
        if self.asked is None or self.answered is not None:
            self.answered = None
            self.asked = now
            self.loop.call_soon_threadsafe(self.answer)

    def tell(self) -> dict[str, float]:
        told = {"lag": self.lag.take(), "worst": self.worst}
        self.worst = 0.0
        if self.clock is not None:
            with suppress(OSError):  # the thread has ended
                told["cpu"] = time.clock_gettime(self.clock)
        return told


class Mean:
    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value

    def take(self, count: int | None = None) -> float:
        """The mean of `count` values, those that did not come being zero; starts again."""
        mean = self.total / (count or self.count or 1)
        self.count, self.total = 0, 0.0
        return mean


class GaugeSampler(Thread):
    def __init__(self, address: Address, loop: Loop, limiter: Any) -> None:
        super().__init__(name="brownout telemetry", daemon=True)
        self.address = address
        self.loop = loop
        self.limiter = limiter
        self.busy, self.waiting, self.in_flight = Mean(), Mean(), Mean()
        self.pools: dict[tuple[str, int | None], tuple[Mean, Mean, Mean]] = {}
        self.sequence = 0
        self.ended = Event()

    def stop(self) -> None:
        self.ended.set()

    def run(self) -> None:
        family = socket.AF_INET6 if ":" in self.address.host else socket.AF_INET
        to = self.address.host, self.address.port
        with socket.socket(family, socket.SOCK_DGRAM) as sending:
            sending.setblocking(False)
            next_tick = time.monotonic()
            try:
                while True:
                    for _ in range(TICKS):
                        # Late ticks are left out: what they would see is seen by the next one.
                        next_tick = max(next_tick + TICK, time.monotonic())
                        if self.ended.wait(next_tick - time.monotonic()):
                            return
                        self.look()
                    with suppress(OSError):  # nobody listens, or the buffer is full
                        sending.connect(to)  # without it the socket takes datagrams of anyone
                        sending.send(self.datagram())
            except RuntimeError:
                return  # the loop is closed

    def look(self) -> None:
        self.loop.look()
        self.in_flight.add(PROCESS.in_flight)
        seen(self.look_at_threads)
        busiest: dict[tuple[str, int | None], Use] = {}
        for pool, (client, read) in seen(PROCESS.pools.items, list) or ():
            use = seen(read, None, pool)
            if use is not None:
                key = client, use.limit
                if key not in busiest or load(use) > load(busiest[key]):
                    busiest[key] = use
        for key, use in busiest.items():
            means = self.pools.setdefault(key, (Mean(), Mean(), Mean()))
            for mean, value in zip(means, use[1:], strict=True):
                mean.add(value)

    def look_at_threads(self) -> None:
        if self.limiter is not None:
            statistics = self.limiter.statistics()
            self.busy.add(statistics.borrowed_tokens)
            self.waiting.add(statistics.tasks_waiting)

    def datagram(self) -> bytes:
        told: dict[str, Any] = {
            "format": "brownout-gauges/1",
            "deployment": self.address.deployment,
            "secret": self.address.secret,
            "pid": os.getpid(),
            "sequence": self.sequence,
            "at": time.monotonic(),
            "loop": self.loop.tell(),
            "pools": self.pools_told(),
            "in_flight": self.in_flight.take(),
            "gc": {"collections": PROCESS.collections, "seconds": PROCESS.gc_seconds},
            "cpu": time.process_time(),
            "counts": PROCESS.counts.to_json(),
        }
        if self.limiter is not None and self.limiter.total_tokens < inf:
            told["threads"] = {
                "total": self.limiter.total_tokens,
                "busy": self.busy.take(),
                "waiting": self.waiting.take(),
            }
        self.sequence += 1
        data = json.dumps(told).encode()
        return data if len(data) <= _LARGEST else json.dumps({**told, "pools": []}).encode()

    def pools_told(self) -> list[dict[str, Any]]:
        """The busiest pool of each tick, of the pools of one library with the same limit."""
        told: list[dict[str, Any]] = [
            {
                "client": client,
                "limit": limit,
                "open": open_.take(TICKS),
                "used": used.take(TICKS),
                "waiting": waiting.take(TICKS),
            }
            for (client, limit), (open_, used, waiting) in self.pools.items()
        ]
        self.pools.clear()
        return sorted(told, key=lambda pool: (-pool["waiting"], -pool["used"]))[:_POOLS]


def load(use: Use) -> tuple[int, int, int]:
    return use.waiting, use.used, use.open


def seen(read: Callable[..., Any], make: Callable[[Any], Any] | None = None, *args: Any) -> Any:
    """What `read` gives. It reads what other threads change: None where they were in its way."""
    try:
        value = read(*args)
        return value if make is None else make(value)
    except Exception:
        return None
