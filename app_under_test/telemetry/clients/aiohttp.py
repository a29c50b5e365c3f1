"""aiohttp. A call is one attempt: aiohttp sends an idempotent request again by itself."""

from contextvars import ContextVar
from typing import Any

from app_under_test.telemetry.clients import constructed, in_branches, replace
from app_under_test.telemetry.process import PROCESS, Use
from app_under_test.telemetry.stays import stay_in
from app_under_test.telemetry.visits import Call

_CALL: ContextVar[Call | None] = ContextVar("call", default=None)
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
    async def connect(self: Any, req: Any, *args: Any, **options: Any) -> Any:
        PROCESS.saw(self, "aiohttp", use)
        call = Call()
        _CALL.set(call)
        call.asks(req.method, req.url)
        try:
            connection = await original(self, req, *args, **options)
        except BaseException:
            call.fails(req.method, req.url)
            call.ends()
            raise
        if call.got is None:
            call.gets()
        call.sends()
        connection.add_callback(call.ends)
        return connection

    return connect


def waiting(original: Any) -> Any:
    async def wait(*args: Any, **options: Any) -> Any:
        result = await original(*args, **options)
        call = _CALL.get()
        if call is not None:
            call.gets()
        return result

    return wait


def creating(original: Any) -> Any:
    def create(*args: Any, **options: Any) -> Any:
        call = _CALL.get()
        if call is not None:
            call.gets(opens=True)
        return original(*args, **options)

    return create


def starting(original: Any) -> Any:
    async def start(self: Any, connection: Any) -> Any:
        call = _CALL.get()
        try:
            response = await original(self, connection)
        except BaseException:
            if call is not None:
                call.fails(self.method, self.url)
            raise
        if call is not None:
            call.answered(stay_in(self.headers.get("server-timing")))
            if self.status >= 500 or self.status == 429:
                call.fails(self.method, self.url)
        return response

    return start


def use(connector: Any) -> Use:
    idle = sum(map(len, list(connector._conns.values())))
    used = len(connector._acquired)
    return Use(
        limit=connector.limit or None,
        open=idle + used,
        used=used,
        waiting=sum(map(len, list(connector._waiters.values()))),
    )
