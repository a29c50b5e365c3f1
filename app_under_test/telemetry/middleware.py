"""Counts every request, and tells the phases of traced ones in a Server-Timing header."""

import os
from collections.abc import Awaitable, Iterable
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import clients, repeats, threads
from .address import address, asked, every
from .process import PROCESS
from .sampler import GaugeSampler, start_sampler
from .tracing import TRACK, RequestTrace, TaskTrace, critical_path, measure_steps

_STAMP = b"x-sent-mono"
_COUNTED = "brownout.counted"
"""The key of a scope that a Telemetry further out has counted."""
_LONGEST = 60.0  # seconds before the app; clients give up sooner, and an older stamp is not a wait
_SIX = (
    b"thread_wait;dur=%.3f, pool_wait;dur=%.3f, connect;dur=%.3f, upstream;dur=%.3f, "
    b"loop_wait;dur=%.3f, own;dur=%.3f"
)
_SENT = b"total;dur=%.3f, pre_app;dur=%.3f, " + _SIX
_UNSENT = b"total;dur=%.3f, " + _SIX


class Telemetry:
    """
    An ASGI app that says where the time of its responses goes, and how the process is.

    `app = Telemetry(app)` around any ASGI app; `app.add_middleware(Telemetry)` works as well, but
    leaves out the answers to unhandled exceptions, which Starlette makes further out.

    Off, and then nothing is touched, unless the environment has BROWNOUT_TELEMETRY: 1 for the
    header alone, HOST:PORT/NAME to have gauges sent there too, as UDP datagrams. It must not be
    on in production without authentication: it tells everybody how the service is made, how
    loaded it is, and how long its upstream takes.

    All requests are counted, and those with a stamp are traced: a header `x-sent-mono`, the
    CLOCK_MONOTONIC nanoseconds of their sending, which brownout's load generator puts on a few
    requests a second. BROWNOUT_TELEMETRY=all traces every request, without gauges.

    The response to a traced request has a `Server-Timing` header, in milliseconds: `total`, from
    the arrival here to the start of the response, is the sum of thread_wait, pool_wait, connect,
    upstream, loop_wait and own; `pre_app`, from the sending to the arrival, comes before it and
    needs a client on this machine; it is left out where the stamp is older than this process or
    than a minute. `own` is the CPU of the request's task, of its functions in anyio's worker
    threads, and of the calls of async clients in tasks that it started. The rest of such tasks, and
    threads that did not come from anyio, are left out: their time is part of loop_wait. Calls at
    the same time count along their critical path.
    """

    def __init__(self, app: ASGIApp) -> None:
        """
        Raises:
            ValueError: BROWNOUT_TELEMETRY cannot be read.
        """
        self.app = app
        self.address = address(os.environ)
        self.on = asked(os.environ)
        self.every = every(os.environ)
        self.sampler: GaugeSampler | None = None
        self.started = False
        if self.on:
            threads.observe()
            clients.observe()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.on or scope["type"] != "http" or _COUNTED in scope:  # of two, the outer one
            if self.on and scope["type"] == "lifespan":
                await self.lifespan(scope, receive, send)
            else:
                await self.app(scope, receive, send)
            return
        if not self.started:  # a server without lifespan events
            self.start()
        scope[_COUNTED] = True
        counts = PROCESS.counts
        counts.requests += 1
        serve = self.app
        if self.every:
            serve = self.traced
        else:
            for name, _ in scope["headers"]:
                if name == _STAMP:
                    serve = self.traced
                    break
            if PROCESS.failing:
                repeats.keep()
        try:
            await serve(scope, receive, send)
        finally:
            counts.ended += 1

    async def traced(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = RequestTrace(monotonic())
        track = TaskTrace(visit, visit.spans)

        def forward(message: Message) -> Awaitable[None]:
            kind = message["type"]
            if kind == "http.response.start":
                if not visit.over:
                    visit.over = True
                    told = b"server-timing", timing(track, stamp(scope["headers"]))
                    message = {**message, "headers": [*message.get("headers", ()), told]}
            elif kind == "http.response.body" and not message.get("more_body"):
                visit.answered = monotonic()
            return send(message)

        token = TRACK.set(track)
        repeats.keep()
        try:
            await measure_steps(self.app(scope, receive, forward), track)  # type: ignore[arg-type]
        finally:
            visit.over = True
            visit.spans.clear()  # they know the visit: only the collector would free them
            TRACK.reset(token)
            after = monotonic() - visit.answered if visit.answered is not None else 0.0
            PROCESS.counts.background_seconds += after
            PROCESS.counts.traced += 1

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, self.starting(send))
        if self.sampler is not None:
            self.sampler.stop()

    def starting(self, send: Send) -> Send:
        async def forward(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.start()
            await send(message)

        return forward

    def start(self) -> None:
        """Start the sampler. Called inside the event loop, once the service is set up."""
        self.started = True
        clients.observe()
        PROCESS.watch_gc()
        PROCESS.ready = True
        if self.address is not None:
            self.sampler = start_sampler(self.address)


def stamp(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """When the client sent the request, in monotonic seconds; None: it does not say."""
    for name, value in headers:
        if name == _STAMP:
            return int(value) * 1e-9 if value.isdigit() and len(value) <= 20 else None
    return None


def timing(track: TaskTrace, sent: float | None) -> bytes:
    """The header's value; to the microsecond, the phases add up exactly."""
    visit = track.visit
    arrival = visit.arrival
    total = int((monotonic() - arrival) * 1e6)
    thread = pool = connect = upstream = waited = 0
    if visit.spans:
        waits = critical_path(visit.spans)
        thread = int(waits[0] * 1e6)
        pool = int(waits[1] * 1e6)
        connect = int(waits[2] * 1e6)
        upstream = int(waits[3] * 1e6)
        waited = thread + pool + connect + upstream
        if waited > total:  # some of it at the same time
            thread, pool, connect, upstream = (
                wait * total // waited for wait in (thread, pool, connect, upstream)
            )
            waited = thread + pool + connect + upstream
    left = total - waited
    own = min(int((track.used() + visit.cpu) * 1e6), left)
    phases = (
        thread / 1e3, pool / 1e3, connect / 1e3, upstream / 1e3, (left - own) / 1e3, own / 1e3
    )  # fmt: skip
    if sent is None or not plausible(sent, arrival):
        return _UNSENT % (total / 1e3, *phases)
    return _SENT % (total / 1e3, (arrival - sent) * 1e3, *phases)


def plausible(sent: float, arrival: float) -> bool:
    """
    Whether a request that arrived then can have been sent then, both in monotonic seconds: not
    before this process, not later than it arrived, and at most a minute earlier.

    The clock starts at boot, so the stamp of another clock can be a small number: right after boot
    that is only a moment ago.
    """
    return max(PROCESS.started, arrival - _LONGEST) <= sent <= arrival
