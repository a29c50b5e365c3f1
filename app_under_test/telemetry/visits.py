"""One request in the service: what it waited for, as intervals, and the CPU that it took.

Every time is in seconds; moments are those of CLOCK_MONOTONIC. An interval that is said to be
waiting is its length without the CPU that the request itself used in it, which is its own work.
"""

from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import ContextVar
from time import monotonic, thread_time
from types import coroutine
from typing import Any, Protocol

from app_under_test.telemetry.process import PROCESS

Waits = tuple[float, float, float, float]
"""Seconds for a thread, for a connection of the pool, for connecting, for the upstream."""
NOTHING: Waits = 0.0, 0.0, 0.0, 0.0
_SUSPENDED = -1.0


class Span(Protocol):
    """Something that a request may have waited for, one after the other or at the same time."""

    begin: float

    @property
    def finished(self) -> float | None:
        """When; None: the response did not wait for it."""

    def waits(self) -> Waits: ...


class Visit:
    """One request, from its arrival at the middleware to the start of its response."""

    __slots__ = ("arrival", "counted", "cpu", "failed", "over", "spans")

    def __init__(self, arrival: float, counted: bool) -> None:
        self.arrival = arrival
        self.counted = counted
        """False for a probe: what it does counts nowhere."""
        self.spans: list[Span] = []
        self.cpu = 0.0
        """Outside of the task of the request: worker threads, tasks that it started."""
        self.failed: set[tuple[str, str]] | None = None
        """Method and URL of the calls that failed."""
        self.over = False
        """Tasks that a request leaves behind may live for as long as the process."""


class Track:
    """One line of execution of a visit: its own task, another task, or a worker thread."""

    __slots__ = ("cpu", "spans", "step", "visit")

    def __init__(self, visit: Visit, spans: list[Span]) -> None:
        self.visit = visit
        self.spans = spans
        self.cpu = 0.0
        """Of the steps that are done."""
        self.step = _SUSPENDED
        """The thread's CPU when the present step began."""

    @property
    def running(self) -> bool:
        return self.step >= 0.0

    def now(self) -> float:
        """The CPU that it has used."""
        return self.cpu if self.step < 0.0 else self.cpu + (thread_time() - self.step)


TRACK: ContextVar[Track | None] = ContextVar("track", default=None)


@coroutine
def metered(work: Coroutine[Any, Any, Any], track: Track) -> Generator[Any, Any, Any]:
    """Awaits `work` and notes the CPU of each of its steps."""
    send, throw = work.send, work.throw
    value: Any = None
    error: BaseException | None = None
    try:
        while True:
            track.step = thread_time()
            if error is None:
                asked = send(value)
            else:
                thrown, error = error, None
                asked = throw(thrown)
            track.cpu += thread_time() - track.step
            track.step = _SUSPENDED
            try:
                value = yield asked
            except GeneratorExit:
                work.close()
                raise
            except BaseException as problem:
                error = problem
    except StopIteration as end:
        return end.value
    finally:
        if track.step >= 0.0:
            track.cpu += thread_time() - track.step
            track.step = _SUSPENDED


def branched(work: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """`work`, which is metered if it runs in a task that the request started."""
    track = TRACK.get()
    if track is None or track.step >= 0.0 or track.visit.over:
        return work
    return _branch(work, track)


async def _branch(work: Coroutine[Any, Any, Any], trunk: Track) -> Any:
    track = Track(trunk.visit, trunk.spans)
    token = TRACK.set(track)
    try:
        return await metered(work, track)
    finally:
        TRACK.reset(token)
        trunk.visit.cpu += track.cpu


class Call:
    """
    One attempt to get an answer from an upstream.

    begin, [got: a connection of the pool], [sent: connected, the sending begins],
    [head: the answer's headers], end: its body is complete, or the attempt has failed.
    """

    __slots__ = (
        "begin",
        "begin_cpu",
        "clock",
        "counted",
        "end",
        "end_cpu",
        "got",
        "got_cpu",
        "head",
        "head_cpu",
        "opened",
        "sent",
        "sent_cpu",
        "stay",
        "visit",
    )

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """`clock` tells the CPU of whoever calls; None: that of the task, if it is metered."""
        track = TRACK.get()
        if track is None:
            self.visit: Visit | None = None
            self.counted = True
            self.clock = clock or _unknown
        else:
            self.visit = visit = track.visit
            self.counted = visit.counted
            self.clock = clock or track.now
            if not visit.over:
                track.spans.append(self)
        self.got = self.sent = self.head = self.end = self.stay = None
        self.got_cpu = self.sent_cpu = self.head_cpu = self.end_cpu = 0.0
        self.opened = False
        self.begin_cpu = self.clock()
        self.begin = monotonic()

    got: float | None
    sent: float | None
    head: float | None
    end: float | None
    stay: float | None

    def gets(self, opens: bool = False) -> None:
        """It has a place in the pool, and opens a connection or not."""
        self.got, self.got_cpu = monotonic(), self.clock()
        self.opened = opens

    def sends(self) -> None:
        self.sent, self.sent_cpu = monotonic(), self.clock()

    def answered(self, stay: float | None) -> None:
        """The headers came; `stay` is how long the upstream says that it took to them."""
        self.head, self.head_cpu = monotonic(), self.clock()
        self.stay = stay

    def asks(self, method: str, url: object) -> None:
        """Whether that is a repetition needs to be looked up after a failure only."""
        if self.counted and self.visit is not None and self.visit.failed:
            again = (method, str(url)) in self.visit.failed
            PROCESS.counts.retried += again

    def fails(self, method: str, url: object) -> None:
        """Without an answer, or with one that asks for a repetition."""
        if self.visit is not None and not self.visit.over:
            if self.visit.failed is None:
                self.visit.failed = set()
            self.visit.failed.add((method, str(url)))

    def ends(self) -> None:
        """May be called again."""
        if self.end is not None:
            return
        self.end_cpu = self.clock()
        self.end = end = monotonic()
        if not self.counted:
            return
        counts = PROCESS.counts
        counts.calls += 1
        held = end - (self.begin if self.got is None else self.got)
        counts.call_seconds += held
        if self.opened and self.got is not None and self.sent is not None:
            took = self.sent - self.got
            counts.connects += 1
            counts.connect_seconds += took

    @property
    def finished(self) -> float | None:
        """An answer that is passed on while it comes has been waited for up to its headers."""
        return self.head if self.end is None else self.end

    def waits(self) -> Waits:
        end = self.finished
        assert end is not None
        end_cpu = self.head_cpu if self.end is None else self.end_cpu
        failed = self.head is None
        if self.got is None and failed:
            return 0.0, _waited(self.begin, end, self.begin_cpu, end_cpu), 0.0, 0.0
        got, got_cpu = (
            (self.begin, self.begin_cpu) if self.got is None else (self.got, self.got_cpu)
        )
        pool = _waited(self.begin, got, self.begin_cpu, got_cpu)
        sent, sent_cpu = self.sent, self.sent_cpu
        if sent is None:
            if failed:
                return 0.0, pool, _waited(got, end, got_cpu, end_cpu) if self.opened else 0.0, 0.0
            sent, sent_cpu = got, got_cpu
        connect = _waited(got, sent, got_cpu, sent_cpu) if self.opened else 0.0
        if self.head is None:
            return 0.0, pool, connect, _waited(sent, end, sent_cpu, end_cpu)
        if self.stay is None:
            first = _waited(sent, self.head, sent_cpu, self.head_cpu)
        else:
            first = min(self.stay, self.head - sent)
        return 0.0, pool, connect, first + _waited(self.head, end, self.head_cpu, end_cpu)


class Hop:
    """A function on its way to a worker thread and back."""

    __slots__ = ("begin", "cpu", "end", "func", "spans", "started", "trunk", "used")

    def __init__(self, trunk: Track, func: Callable[..., Any]) -> None:
        self.trunk = trunk
        self.func = func
        self.spans: list[Span] = []
        self.started: float | None = None
        self.end: float | None = None
        self.used = 0.0
        """CPU of the request's task on the way to the thread."""
        self.cpu = trunk.now()
        self.begin = monotonic()
        trunk.spans.append(self)

    def __call__(self, *args: Any) -> Any:
        """In the worker, in a copy of the context."""
        trunk = self.trunk
        self.used = trunk.cpu - self.cpu
        self.started = monotonic()
        track = Track(trunk.visit, self.spans)
        TRACK.set(track)
        track.step = thread_time()
        try:
            return self.func(*args)
        finally:
            trunk.visit.cpu += track.now()

    @property
    def finished(self) -> float | None:
        return self.end

    def waits(self) -> Waits:
        end = self.end
        assert end is not None
        started = end if self.started is None else self.started
        waits = critical(self.spans)
        return (started - self.begin - max(0.0, self.used), *waits[1:])


def critical(spans: Sequence[Span]) -> Waits:
    """
    The waits along the critical path.

    From the end backwards: the span that ended last, then the last one that ended before that one
    began, and so on. Of spans one after the other that is all of them.
    """
    if not spans:
        return NOTHING
    done = [(end, span) for span in spans if (end := span.finished) is not None]
    done.sort(key=_end, reverse=True)
    thread = pool = connect = upstream = 0.0
    before = float("inf")
    for end, span in done:
        if end <= before:
            before = span.begin
            waits = span.waits()
            thread += waits[0]
            pool += waits[1]
            connect += waits[2]
            upstream += waits[3]
    return max(0.0, thread), pool, connect, upstream


def _end(done: tuple[float, Span]) -> float:
    return done[0]


def _waited(begin: float, end: float, cpu_before: float, cpu_after: float) -> float:
    took = end - begin
    used = cpu_after - cpu_before
    return max(0.0, took - used) if used > 0.0 else max(0.0, took)


def _unknown() -> float:
    return 0.0
