"""aiohttp. A call is one attempt: aiohttp sends an idempotent request again by itself."""

from contextvars import ContextVar
from typing import Any

from ..passing import passing
from ..process import PROCESS, Use
from ..repeats import FAILED, asks, fails, failure
from ..tracing import TRACK, ClientCall, TaskTrace
from ..upstream_timing import stay_in
from . import constructed, in_branches, replace

_CALL: ContextVar[ClientCall | None] = ContextVar("call", default=None)
"""The connector's last in this task: the response that is started is that of this call."""


def observe(library: Any) -> None:
    session = getattr(library, "ClientSession", None)
    replace(session, "__init__", constructed)
    replace(session, "_request", in_branches)
    base = getattr(library, "BaseConnector", None)
    replace(base, "connect", connecting)
    replace(base, "_wait_for_available_connection", waiting)
    for kind in ("TCPConnector", "UnixConnector"):
        replace(getattr(library, kind, None), "_create_connection", creating)
    replace(getattr(library, "ClientResponse", None), "start", starting)


def connecting(original: Any) -> Any:
    async def watched(self: Any, req: Any, *args: Any, **options: Any) -> Any:
        track = TRACK.get()
        if track is not None:
            return await traced(track, self, req, *args, **options)
        return await attempted(self, req, *args, **options)

    async def attempted(self: Any, req: Any, *args: Any, **options: Any) -> Any:
        asks(req.method, req.url)
        try:
            return await original(self, req, *args, **options)
        except BaseException:
            fails(req.method, req.url)
            raise

    async def traced(track: TaskTrace, self: Any, req: Any, *args: Any, **options: Any) -> Any:
        if self.limit_per_host and (not self.limit or self.limit_per_host < self.limit):
            PROCESS.saw(self, "aiohttp.host", use_of_host)
        else:
            PROCESS.saw(self, "aiohttp", use)
        call = ClientCall(track)
        _CALL.set(call)
        try:
            connection = await attempted(self, req, *args, **options)
        except BaseException:
            call.ends()
            raise
        if call.got is None:
            call.gets()
        call.sends()
        connection.add_callback(call.ends)
        return connection

    return passing(original, FAILED, watched, calls=True)


def waiting(original: Any) -> Any:
    async def wait(*args: Any, **options: Any) -> Any:
        call = _CALL.get()
        assert call is not None
        result = await original(*args, **options)
        call.gets()
        return result

    return passing(original, _CALL, wait)


def creating(original: Any) -> Any:
    async def create(*args: Any, **options: Any) -> Any:
        call = _CALL.get()
        if call is not None:
            call.gets(opens=True)
        made = await original(*args, **options)
        PROCESS.counts.connects += 1
        return made

    return create


def starting(original: Any) -> Any:
    async def start(self: Any, connection: Any) -> Any:
        call = _CALL.get()
        try:
            response = await original(self, connection)
        except BaseException:
            fails(self.method, self.url)
            raise
        if call is not None:
            call.answered(stay_in(self.headers.get("server-timing")))
        if failure(self.status):
            fails(self.method, self.url)
        return response

    return passing(original, FAILED, start)


def use(connector: Any) -> Use:
    idle = sum(map(len, list(connector._conns.values())))
    used = len(connector._acquired)
    return Use(
        limit=connector.limit or None,
        open=idle + used,
        used=used,
        waiting=sum(map(len, list(connector._waiters.values()))),
    )


def use_of_host(connector: Any) -> Use:
    """Return the use of the host that most calls wait for, where each has its own limit."""
    acquired = {key: len(these) for key, these in list(connector._acquired_per_host.items())}
    waiting = {key: len(these) for key, these in list(connector._waiters.items())}
    hosts = acquired.keys() | waiting.keys()
    host = max(hosts, key=lambda one: (waiting.get(one, 0), acquired.get(one, 0)), default=None)
    used = acquired.get(host, 0)
    idle = len(connector._conns.get(host, ()))
    return Use(connector.limit_per_host, idle + used, used, waiting.get(host, 0))
