"""httpx and httpx2, with httpcore and httpcore2 under them: the names are the same."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from importlib import import_module
from sys import maxsize
from typing import Any

from .clients import constructed, in_branches, replace
from .passing import passing
from .process import PROCESS, Use
from .repeats import FAILED, asks, fails, failure
from .tracing import TRACK, BlockingClientCall, ClientCall, TaskTrace
from .upstream_timing import stay_among

_CALL: ContextVar[ClientCall | None] = ContextVar("call", default=None)


def observe(library: Any, core: str) -> None:
    name = library.__name__
    replace(getattr(library, "AsyncClient", None), "__init__", constructed)
    replace(getattr(library, "Client", None), "__init__", constructed)
    replace(getattr(library, "AsyncClient", None), "send", in_branches)
    with suppress(AttributeError):
        transport = Transports(name, *streams(library))
        replace(library.AsyncHTTPTransport, "handle_async_request", transport.asynchronous)
        replace(library.HTTPTransport, "handle_request", transport.blocking)
    with suppress(ImportError):
        pools = import_module(core)
        for kind in ("HTTPConnection", "AsyncHTTPConnection"):
            replace_handler(pools, kind, assigned)
        for kind in ("HTTP11Connection", "HTTP2Connection"):
            for each in (kind, f"Async{kind}"):
                replace(getattr(pools, each, None), "__init__", connected)
                replace_handler(pools, each, sending)


def replace_handler(pools: Any, kind: str, make: Callable[[Any], Any]) -> None:
    method = "handle_async_request" if kind.startswith("Async") else "handle_request"
    replace(getattr(pools, kind, None), method, make)


def assigned(original: Any) -> Any:
    """The pool has given a connection to the call, which may have to be opened yet."""

    def handle(self: Any, request: Any) -> Any:
        call = _CALL.get()
        assert call is not None
        call.gets(opens=getattr(self, "_connection", self) is None)
        return original(self, request)

    return passing(original, _CALL, handle)


def connected(original: Any) -> Any:
    """The constructor of a connection, wrapped so that it counts the connection."""

    def __init__(*args: Any, **options: Any) -> None:
        PROCESS.counts.connects += 1
        original(*args, **options)

    return __init__


def sending(original: Any) -> Any:
    """There is a connection."""

    def handle(self: Any, request: Any) -> Any:
        call = _CALL.get()
        assert call is not None
        call.sends()
        return original(self, request)

    return passing(original, _CALL, handle)


def streams(library: Any) -> tuple[Any, Any]:
    """Bodies that say when they are complete: for coroutines, and for threads."""

    class AsyncStream(library.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any, call: ClientCall) -> None:
            self.stream, self.call = stream, call

        def __aiter__(self) -> AsyncIterator[bytes]:
            iterator: AsyncIterator[bytes] = self.stream.__aiter__()
            return iterator

        async def aclose(self) -> None:
            self.call.ends()
            await self.stream.aclose()

    class TracedStream(library.SyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any, call: ClientCall) -> None:
            self.stream, self.call = stream, call

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.stream)

        def close(self) -> None:
            self.call.ends()
            self.stream.close()

    return AsyncStream, TracedStream


class Transports:
    def __init__(self, name: str, async_stream: Any, stream: Any) -> None:
        self.name = name
        self.async_stream = async_stream
        self.stream = stream

    def asynchronous(self, original: Any) -> Any:
        async def watched(transport: Any, request: Any) -> Any:
            track = TRACK.get()
            if track is not None:
                return await traced(track, transport, request)
            return await attempted(transport, request)

        async def attempted(transport: Any, request: Any) -> Any:
            asks(request.method, request.url)
            try:
                response = await original(transport, request)
            except BaseException:
                fails(request.method, request.url)
                raise
            if failure(response.status_code):
                fails(request.method, request.url)
            return response

        async def traced(track: TaskTrace, transport: Any, request: Any) -> Any:
            call = self.called(transport, ClientCall(track))
            token = _CALL.set(call)
            try:
                response = await attempted(transport, request)
            except BaseException:
                call.ends()
                raise
            finally:
                _CALL.reset(token)
            call.answered(stay_among(response.headers.raw))
            response.stream = self.async_stream(response.stream, call)
            return response

        return passing(original, FAILED, watched, calls=True)

    def blocking(self, original: Any) -> Any:
        def watched(transport: Any, request: Any) -> Any:
            track = TRACK.get()
            if track is not None:
                return traced(track, transport, request)
            return attempted(transport, request)

        def attempted(transport: Any, request: Any) -> Any:
            asks(request.method, request.url)
            try:
                response = original(transport, request)
            except BaseException:
                fails(request.method, request.url)
                raise
            if failure(response.status_code):
                fails(request.method, request.url)
            return response

        def traced(track: TaskTrace, transport: Any, request: Any) -> Any:
            call = self.called(transport, BlockingClientCall(track))
            token = _CALL.set(call)
            try:
                response = attempted(transport, request)
            except BaseException:
                call.ends()
                raise
            finally:
                _CALL.reset(token)
            call.answered(stay_among(response.headers.raw))
            response.stream = self.stream(response.stream, call)
            return response

        return passing(original, FAILED, watched, calls=True)

    def called(self, transport: Any, call: ClientCall) -> ClientCall:
        PROCESS.saw(getattr(transport, "_pool", None), self.name, use)
        return call


def use(pool: Any) -> Use:
    connections = pool.connections
    limit = getattr(pool, "_max_connections", maxsize)
    return Use(
        limit=None if limit == maxsize else limit,
        open=len(connections),
        used=sum(not connection.is_idle() for connection in connections),
        waiting=sum(request.connection is None for request in list(pool._requests)),
    )
