"""What the whole process counts, and the pools that it was seen to use.

A count is raised by `+=` with no call in between, from several threads: the interpreter switches
threads at calls and jumps only, so none is lost.
"""

import gc
import os
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary


class Counts:
    """
    Totals since the start of the process; seconds.

    Of all requests: `requests` that began and those that `ended`; their `calls`, and those of them
    that were `retried`; the connections (`connects`) and `clients` made for them, and
    `client_seconds` of CPU for these.

    Of the traced requests, `traced` of them: their `traced_calls`, which took `call_seconds`;
    `thread_seconds` for which they held worker threads, until and after the answer; and
    `background_seconds` from the end of their answers to the end of their work.
    """

    __slots__ = (
        "background_seconds",
        "call_seconds",
        "calls",
        "client_seconds",
        "clients",
        "connects",
        "ended",
        "requests",
        "retried",
        "thread_seconds",
        "traced",
        "traced_calls",
    )

    def __init__(self) -> None:
        self.requests = self.ended = self.calls = self.connects = self.clients = self.retried = 0
        self.traced = self.traced_calls = 0
        self.call_seconds = self.client_seconds = 0.0
        self.thread_seconds = self.background_seconds = 0.0

    def to_json(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in sorted(self.__slots__)}


class Use(NamedTuple):
    """What a pool holds now."""

    limit: int | None
    """Connections at most; None: nothing waits, however many are in use."""
    open: int
    used: int
    waiting: int


class Process:
    __slots__ = (
        "collecting",
        "collections",
        "counts",
        "failing",
        "gc_seconds",
        "pools",
        "ready",
        "started",
    )

    def __init__(self) -> None:
        self.started = monotonic()
        """When telemetry was imported; a fork keeps it, as it keeps the listening socket."""
        self.counts = Counts()
        self.failing = False
        """Whether a call has ever failed: until then no call can be a repetition."""
        self.ready = False
        """Whether the service has started: clients made before that are made once."""
        self.pools: WeakKeyDictionary[Any, tuple[str, Callable[[Any], Use]]] = WeakKeyDictionary()
        self.collections = 0
        self.gc_seconds = 0.0
        self.collecting: float | None = None

    @property
    def in_flight(self) -> int:
        counts = self.counts
        return counts.requests - counts.ended

    def saw(self, pool: Any, client: str, read: Callable[[Any], Use]) -> None:
        if pool is not None and pool not in self.pools:
            self.pools[pool] = client, read

    def collect(self, phase: str, info: dict[str, int]) -> None:
        """Record a collection; for gc.callbacks."""
        if phase == "start":
            self.collecting = monotonic()
        elif self.collecting is not None:
            self.gc_seconds += monotonic() - self.collecting
            self.collections += 1
            self.collecting = None

    def watch_gc(self) -> None:
        if self.collect not in gc.callbacks:
            gc.callbacks.append(self.collect)

    def forked(self) -> None:
        """Forget the parent's counts; called in a new child process."""
        self.counts = Counts()
        self.collections = 0
        self.gc_seconds = 0.0


PROCESS = Process()
os.register_at_fork(after_in_child=PROCESS.forked)
