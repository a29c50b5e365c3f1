"""One request in the service: what it waited for, as intervals, and the CPU that it took.

Every time is in seconds; moments are those of CLOCK_MONOTONIC. A wait is time in which the request
did not run: a task between two of its steps, a thread without its CPU. So its own work is in no
wait, and neither is the time in which it was ready and something else had the core.
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

    __slots__ = ("cpu", "idle", "since", "spans", "step", "visit")

    def __init__(self, visit: Visit, spans: list[Span]) -> None:
        self.visit = visit
        self.spans = spans
        self.cpu = 0.0
        """Of the steps that are done."""
        self.idle = 0.0
        """Between those steps."""
        self.since = 0.0
        """When the last step ended."""
        self.step = _SUSPENDED
        """The thread's CPU when the present step began."""

    def used(self) -> float:
        """The CPU so far."""
        return self.cpu if self.step < 0.0 else self.cpu + (thread_time() - self.step)

    def waited(self, now: float) -> float:
        """The time in which it did not run."""
        return self.idle if self.step >= 0.0 else self.idle + (now - self.since)


TRACK: ContextVar[Track | None] = ContextVar("track", default=None)


@coroutine
def metered(work: Coroutine[Any, Any, Any], track: Track) -> Generator[Any, Any, Any]:
    """Awaits `work` and notes the CPU of each of its steps."""
    send, throw = work.send, work.throw
    value: Any = None
    error: BaseException | None = None
    try:
        while True:
            if track.since:
                track.idle += monotonic() - track.since
            track.step = thread_time()
            if error is None:
                asked = send(value)
            else:
                thrown, error = error, None
                asked = throw(thrown)
            track.cpu += thread_time() - track.step
            track.since = monotonic()
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
            track.since = monotonic()
            track.step = _SUSPENDED


async def branched(work: Coroutine[Any, Any, Any], trunk: Track) -> Any:
    """Awaits `work` in a task that the request started; its CPU is the request's."""
    if trunk.visit.over:
        return await work
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
        "counted",
        "end",
        "got",
        "head",
        "opened",
        "sent",
        "stay",
        "visit",
        "waited",
        "waited_begin",
        "waited_end",
        "waited_got",
        "waited_head",
        "waited_sent",
    )

    def __init__(self, waited: Callable[[float], float] | None = None) -> None:
        """`waited` tells how long whoever calls has not run; None: that of the present task."""
        track = TRACK.get()
        self.begin = now = monotonic()
        if track is None:
            self.visit: Visit | None = None
            self.counted = True
            self.waited = waited or float
        else:
            self.visit = visit = track.visit
            self.counted = visit.counted
            self.waited = waited or track.waited
            if not visit.over:
                track.spans.append(self)
        self.got: float | None = None
        self.sent: float | None = None
        self.head: float | None = None
        self.end: float | None = None
        self.stay: float | None = None
        self.opened = False
        self.waited_begin = self.waited(now)

    def gets(self, opens: bool = False) -> None:
        """It has a place in the pool, and opens a connection or not."""
        self.got = now = monotonic()
        self.waited_got = self.waited(now)
        self.opened = opens

    def sends(self) -> None:
        self.sent = now = monotonic()
        self.waited_sent = self.waited(now)

    def answered(self, stay: float | None) -> None:
        """The headers came; `stay` is how long the upstream says that it took to them."""
        self.head = now = monotonic()
        self.waited_head = self.waited(now)
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
        self.end = end = monotonic()
        self.waited_end = self.waited(end)
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
        end = self.waited_head if self.end is None else self.waited_end
        failed = self.head is None
        # What was not seen took no time, but where a failed call stood is where it ended.
        got, sent = (end, end) if failed else (self.waited_begin, self.waited_begin)
        if self.got is not None:
            got = self.waited_got
            sent = max(got, sent)
        if self.sent is not None:
            sent = self.waited_sent
        pool = got - self.waited_begin
        connect = sent - got if self.opened else 0.0
        if self.head is None or self.sent is None:
            return 0.0, pool, connect, end - sent
        first = self.waited_head - sent
        if self.stay is not None:
            first = min(self.stay, self.head - self.sent)
        return 0.0, pool, connect, first + end - self.waited_head


def of_thread(now: float) -> float:
    """How long the present thread has not run, but for a constant."""
    return now - thread_time()


class Hop:
    """A function on its way to a worker thread and back."""

    __slots__ = ("begin", "end", "func", "spans", "trunk", "waited", "waited_before")

    def __init__(self, trunk: Track, func: Callable[..., Any]) -> None:
        self.trunk = trunk
        self.func = func
        self.spans: list[Span] = []
        self.waited: float | None = None
        """For the thread; None: it did not get there."""
        self.end: float | None = None
        self.begin = monotonic()
        self.waited_before = trunk.waited(self.begin)
        trunk.spans.append(self)

    def __call__(self, *args: Any) -> Any:
        """In the worker, in a copy of the context."""
        trunk = self.trunk
        self.waited = trunk.waited(monotonic()) - self.waited_before
        track = Track(trunk.visit, self.spans)
        TRACK.set(track)
        track.step = thread_time()
        try:
            return self.func(*args)
        finally:
            trunk.visit.cpu += track.used()

    @property
    def finished(self) -> float | None:
        return self.end

    def waits(self) -> Waits:
        waited = self.waited
        if waited is None:
            assert self.end is not None
            waited = self.end - self.begin
        return (waited, *critical(self.spans)[1:])


def critical(spans: Sequence[Span]) -> Waits:
    """
    The waits along the critical path.

    From the end backwards: the span that ended last, then the last one that ended before that one
    began, and so on. Of spans one after the other that is all of them.
    """
    if not spans:
        return NOTHING
    if len(spans) == 1:
        return NOTHING if spans[0].finished is None else spans[0].waits()
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
    return thread, pool, connect, upstream


def _end(done: tuple[float, Span]) -> float:
    return done[0]
