"""urllib3, bare or under requests. A call is one attempt: urllib3 may retry by itself."""

from typing import Any

from ..passing import passing
from ..process import PROCESS, Use
from ..repeats import FAILED, asks, fails, failure
from ..tracing import TRACK, BlockingClientCall
from ..upstream_timing import stay_in
from . import replace

_CALL = "_brownout_call"
"""The attribute of a connection that is in use."""


def observe(library: Any) -> None:
    pool = getattr(library, "HTTPConnectionPool", None)
    replace(pool, "_get_conn", getting)
    replace(pool, "_make_request", requesting)
    replace(pool, "_put_conn", putting)
    for kind in (pool, getattr(library, "HTTPSConnectionPool", None)):
        replace(getattr(kind, "ConnectionCls", None), "connect", connecting)


def getting(original: Any) -> Any:
    def get(self: Any, *args: Any, **options: Any) -> Any:
        track = TRACK.get()
        assert track is not None
        PROCESS.saw(self, "urllib3", use)
        call = BlockingClientCall(track)
        try:
            connection = original(self, *args, **options)
        except BaseException:
            call.ends()
            raise
        call.gets()
        setattr(connection, _CALL, call)
        return connection

    return passing(original, TRACK, get, calls=True)


def connecting(original: Any) -> Any:
    def connect(self: Any) -> Any:
        call = getattr(self, _CALL, None)
        if call is not None:
            call.opened = True
        result = original(self)
        PROCESS.counts.connects += 1
        if call is not None:
            call.sends()
        return result

    return connect


def requesting(original: Any) -> Any:
    def request(self: Any, conn: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
        call = getattr(conn, _CALL, None)
        if FAILED.get():  # not empty: only then is the URL needed
            asks(method, where(self, url))
        if call is not None and conn.sock is not None:
            call.sends()
        try:
            response = original(self, conn, method, url, *args, **options)
        except BaseException:
            fails(method, where(self, url))
            if call is not None:
                call.ends()
            raise
        if call is not None:
            call.answered(stay_in(response.headers.get("server-timing")))
        if failure(response.status):
            fails(method, where(self, url))
        return response

    return passing(original, FAILED, request)


def where(pool: Any, url: str) -> str:
    return f"{pool.scheme}://{pool.host}:{pool.port}{url}"


def putting(original: Any) -> Any:
    def put(self: Any, conn: Any) -> Any:
        call = getattr(conn, _CALL, None)
        if call is not None:
            setattr(conn, _CALL, None)
            call.ends()
        return original(self, conn)

    return passing(original, TRACK, put)


def use(pool: Any) -> Use:
    places = pool.pool
    idle = sum(connection is not None for connection in list(places.queue))
    used = places.maxsize - places.qsize()
    return Use(
        limit=places.maxsize if pool.block else None,
        open=idle + used,
        used=used,
        waiting=len(places.not_empty._waiters),
    )
