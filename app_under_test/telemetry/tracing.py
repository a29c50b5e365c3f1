"""One traced request in the service: what it waited for, as intervals, and the CPU that it took.

Every time is in seconds; moments are those of CLOCK_MONOTONIC. A wait is time in which the request
did not run: a task between two of its steps, a thread without its CPU. So its own work is in no
wait, and neither is the time in which it was ready and something else had the core.

The CPU clock of a thread is a system call, ten times as dear as a look at the time; so it is read
where a thread is known to stand still now and then: around a blocking call, around a function in a
worker thread, and around a step of the event loop that took longer than any that only computes.
"""

from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import ContextVar
from threading import local
from time import monotonic, thread_time
from types import coroutine
from typing import Any, Protocol

from .process import PROCESS

Waits = tuple[float, float, float, float]
"""Seconds for a thread, for a connection of the pool, for connecting, for the upstream."""
NOTHING: Waits = 0.0, 0.0, 0.0, 0.0
_SUSPENDED = -1.0
_SHORT = 0.001
"""Seconds. A step of the event loop that took less has computed all the time."""


class Span(Protocol):
    """Something that a request may have waited for, one after the other or at the same time."""

    begin: float

    @property
    def finished(self) -> float | None:
        """When; None: the response did not wait for it."""

    def waits(self) -> Waits: ...


class RequestTrace:
    """One request, from its arrival at the middleware to the start of its response."""

    __slots__ = ("answered", "arrival", "cpu", "over", "spans")

    def __init__(self, arrival: float) -> None:
        self.arrival = arrival
        self.spans: list[Span] = []
        self.cpu = 0.0
        """Outside of the task of the request: worker threads, tasks that it started."""
        self.over = False
        """Tasks that a request leaves behind may live for as long as the process."""
        self.answered: float | None = None
        """When the end of its response was sent."""


class TaskTrace:
    """One line of execution of a visit: its own task, another task, or a worker thread."""

    __slots__ = ("cpu", "idle", "since", "spans", "step", "visit")

    def __init__(self, visit: RequestTrace, spans: list[Span], step: float = _SUSPENDED) -> None:
        self.visit = visit
        self.spans = spans
        self.cpu = 0.0
        """Of the steps that are done."""
        self.idle = 0.0
        """Between those steps."""
        self.since = 0.0
        """When the last step ended."""
        self.step = step
        """When the present step began; negative between two."""

    def used(self) -> float:
        """The CPU so far."""
        return self.cpu if self.step < 0.0 else self.cpu + ran(self.step, monotonic())

    def waited(self, now: float) -> float:
        """The time in which it did not run."""
        return self.idle if self.step >= 0.0 else self.idle + now - self.since


TRACK: ContextVar[TaskTrace | None] = ContextVar("track", default=None)
"""None: the request is not traced, or it is none."""


class CpuClock(local):
    """A look at the present thread's CPU clock that is never much older than _SHORT."""

    at = 0.0
    cpu = 0.0


_CLOCK = CpuClock()


def ran(began: float, now: float) -> float:
    """
    The CPU of a step of the event loop.

    Of one that took long it is what the thread has used since the last look before it, at most
    _SHORT too much.
    """
    took = now - began
    return took if took < _SHORT else min(took, thread_time() - _CLOCK.cpu)


@coroutine
def measure_steps(work: Coroutine[Any, Any, Any], track: TaskTrace) -> Generator[Any, Any, Any]:
    """Awaits `work` and notes the CPU of each of its steps."""
    send = work.send
    clock = _CLOCK
    value: Any = None
    error: BaseException | None = None
    began = monotonic()
    try:
        while True:
            if began - clock.at > _SHORT:
                clock.at, clock.cpu = began, thread_time()
            track.step = began
            if error is None:
                asked = send(value)
            else:
                thrown, error = error, None
                asked = work.throw(thrown)
            track.since = now = monotonic()
            took = now - began
            track.cpu += took if took < _SHORT else ran(began, now)
            track.step = _SUSPENDED
            try:
                value = yield asked
            except GeneratorExit:
                work.close()
                raise
            except BaseException as problem:
                error = problem
            began = monotonic()
            track.idle += began - now
    except StopIteration as end:
        return end.value
    finally:
        if track.step >= 0.0:
            track.since = now = monotonic()
            track.cpu += ran(began, now)
            track.step = _SUSPENDED


async def trace_child_task(work: Coroutine[Any, Any, Any], trunk: TaskTrace) -> Any:
    """Awaits `work` in a task that the request started; its CPU is the request's."""
    if trunk.visit.over:
        return await work
    track = TaskTrace(trunk.visit, trunk.spans)
    token = TRACK.set(track)
    try:
        return await measure_steps(work, track)
    finally:
        TRACK.reset(token)
        trunk.visit.cpu += track.cpu


class ClientCall:
    """
    One attempt of the present task to get an answer from an upstream.

    begin, [got: a connection of the pool], [sent: connected, the sending begins],
    [head: the answer's headers], end: its body is complete, or the attempt has failed.
    """

    __slots__ = (
        "begin",
        "connect",
        "end",
        "got",
        "head",
        "mark",
        "opened",
        "pool",
        "sent",
        "track",
        "upstream",
    )

    def __init__(self, track: TaskTrace) -> None:
        self.track = track
        self.begin = now = monotonic()
        self.got: float | None = None
        self.sent: float | None = None
        self.head: float | None = None
        self.end: float | None = None
        self.opened = False
        self.pool = self.connect = self.upstream = 0.0
        """Seconds waited so far."""
        if not track.visit.over:
            track.spans.append(self)
        self.mark = self.waited(now)
        """What was waited at the moment before."""

    def waited(self, now: float) -> float:
        """How long the task has not run."""
        return self.track.waited(now)

    def gets(self, opens: bool = False) -> None:
        """The call has a place in the pool, and opens a connection or not."""
        self.got = now = monotonic()
        waited = self.waited(now)
        self.pool += waited - self.mark
        self.mark = waited
        self.opened = opens

    def sends(self) -> None:
        self.sent = now = monotonic()
        waited = self.waited(now)
        if self.opened:
            self.connect += waited - self.mark
        self.mark = waited

    def answered(self, stay: float | None) -> None:
        """The headers came; `stay` is how long the upstream says that it took to them."""
        self.head = now = monotonic()
        waited = self.waited(now)
        if stay is None or self.sent is None:
            self.upstream = waited - self.mark
        else:
            self.upstream = min(stay, now - self.sent)
        self.mark = waited

    def ends(self) -> None:
        """May be called again."""
        if self.end is not None:
            return
        self.end = end = monotonic()
        self.stood(self.waited(end) - self.mark)
        took = end - (self.begin if self.got is None else self.got)
        counts = PROCESS.counts
        counts.traced_calls += 1
        counts.call_seconds += took

    def stood(self, waited: float) -> None:
        """What was waited to the end; where a failed call stood is where it ended."""
        if self.sent is not None or self.head is not None:
            self.upstream += waited
        elif self.got is None:
            self.pool += waited
        elif self.opened:
            self.connect += waited

    @property
    def finished(self) -> float | None:
        """An answer that is passed on while it comes has been waited for up to its headers."""
        return self.head if self.end is None else self.end

    def waits(self) -> Waits:
        return 0.0, self.pool, self.connect, self.upstream


class BlockingClientCall(ClientCall):
    """
    One attempt of the present thread, which stands still while it waits.

    Its CPU is taken off where it opens a connection and at the end: until then a wait is what the
    clock says. What a pool's queue takes of it is less than a look at it would.
    """

    __slots__ = ("cpu", "told")

    def __init__(self, track: TaskTrace) -> None:
        super().__init__(track)
        self.told = False
        self.cpu = thread_time()

    def waited(self, now: float) -> float:
        return now

    def sends(self) -> None:
        super().sends()
        if self.opened:
            self.connect = max(0.0, self.connect - self.computed())

    def stood(self, waited: float) -> None:
        least = self.upstream if self.told else 0.0  # the upstream's word holds no CPU of ours
        super().stood(waited)
        if self.sent is not None or self.head is not None:
            self.upstream = max(least, self.upstream - self.computed())

    def answered(self, stay: float | None) -> None:
        super().answered(stay)
        self.told = stay is not None

    def computed(self) -> float:
        """CPU since the last time; none where another thread goes on with the call."""
        before, self.cpu = self.cpu, thread_time()
        return max(0.0, self.cpu - before)


class Turn:
    """The wait for a place: of a semaphore, of a pool; or, with `thread`, for a thread."""

    __slots__ = ("begin", "finished", "thread")

    def __init__(self, thread: bool = False) -> None:
        self.thread = thread
        self.finished: float | None = None
        self.begin = monotonic()

    def ends(self) -> None:
        self.finished = monotonic()

    def waits(self) -> Waits:
        assert self.finished is not None
        waited = self.finished - self.begin
        return (waited, 0.0, 0.0, 0.0) if self.thread else (0.0, waited, 0.0, 0.0)


class ThreadOffload:
    """A function on its way to a worker thread and back."""

    __slots__ = ("begin", "end", "func", "spans", "trunk", "waited", "waited_before")

    def __init__(self, trunk: TaskTrace, func: Callable[..., Any]) -> None:
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
        """Run the function in the worker, in a copy of the context."""
        began = thread_time()
        visit = self.trunk.visit
        now = monotonic()
        self.waited = self.trunk.waited(now) - self.waited_before
        TRACK.set(TaskTrace(visit, self.spans, step=0.0))
        try:
            return self.func(*args)
        finally:
            cpu, held = thread_time() - began, monotonic() - now
            visit.cpu += cpu
            PROCESS.counts.thread_seconds += held

    @property
    def finished(self) -> float | None:
        return self.end

    def waits(self) -> Waits:
        waited = self.waited
        if waited is None:
            assert self.end is not None
            waited = self.end - self.begin
        return (waited, *critical_path(self.spans)[1:])


class Held:
    """A function that holds a worker thread once the response has started."""

    __slots__ = ("func",)

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __call__(self, *args: Any) -> Any:
        """Run the function in the worker."""
        began = monotonic()
        try:
            return self.func(*args)
        finally:
            held = monotonic() - began
            PROCESS.counts.thread_seconds += held


def critical_path(spans: Sequence[Span]) -> Waits:
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
