"""Run the mock and its control API, from start to the signal that ends them."""

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, cast

import uvicorn

from mock_upstream.control.api import create_app
from mock_upstream.ledger.ledger import Ledger
from mock_upstream.mock import Mock
from mock_upstream.profiles.profile import Profile
from mock_upstream.protocol import MockProtocol
from mock_upstream.timing.deadlines import EXACT, Deadlines
from mock_upstream.timing.event_loop import allow_connections, new_event_loop

_KEEP_ALIVE = 75  # seconds; clients pool for less, so they never meet a connection just closed
_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """
    A listening socket; port 0 lets the system choose.

    Raises:
        OSError: the address is taken or is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def serve(
    profile: Profile,
    data: socket.socket,
    control: socket.socket,
    *,
    token: str | None = None,
    owner: str | None = None,
    certificate: Path | None = None,
    authority: Path | None = None,
) -> None:
    """
    Play the profile until SIGINT or SIGTERM; say so in one line of JSON once ready.

    Args:
        token: what requests to the control API must bear; None: nothing.
        owner: who knows it may have the control API read files; None: nobody may.
        certificate: that and its key, where the profile has TLS.
        authority: whose certificate that is; told in the line.

    Raises:
        ValueError: there is no token, although other machines can ask.
    """
    allow_connections()
    # The control API's thread gives way to a due answer after 0.2 ms instead of 5 ms.
    sys.setswitchinterval(0.0002)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(profile, data, control, token, owner, certificate, authority))


async def _serve(
    profile: Profile,
    data: socket.socket,
    control: socket.socket,
    token: str | None,
    owner: str | None,
    certificate: Path | None,
    authority: Path | None,
) -> None:
    ledger = Ledger()
    deadlines = Deadlines()
    mock = Mock(profile, ledger, deadlines)

    def ready() -> None:
        line = {
            "ready": True,
            "url": _url(data, "http" if certificate is None else "https"),
            "control": _url(control),
            "pid": os.getpid(),
            "epoch": ledger.epoch,
            **({"ca": str(authority)} if authority else {}),
        }
        print(json.dumps(line), flush=True)
        if profile.timeline is not None and profile.timeline.start == "control":
            print(
                f"mock_upstream: the timeline waits for POST {_url(control)}/timeline/start; "
                'start = "serve" in [timeline] lets it begin with the server',
                file=sys.stderr,
                flush=True,
            )

    if not EXACT:
        print("mock_upstream: no timerfd here; delays are some milliseconds off", file=sys.stderr)
    config = _config(
        mock,
        # A partial makes protocols just as the class does; uvicorn only calls it.
        http=cast("type[asyncio.Protocol]", partial(MockProtocol, ledger)),
        ws="none",
        server_header=False,
        date_header=False,
        ssl_certfile=certificate,
    )
    loop = asyncio.get_running_loop()

    async def on_loop(function: Callable[[], Any]) -> Any:
        async def call() -> Any:
            return function()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))

    host = control.getsockname()[0]
    app = create_app(mock, ledger, on_loop, host=host, token=token, owner=owner)
    async with _in_thread(app, control):
        # What is here now stays; the collector need not walk through it between two answers.
        gc.collect()
        gc.freeze()
        watch = loop.create_task(mock.watch.run())
        await _Server(config, ready).serve(sockets=[data])
        watch.cancel()
    deadlines.close()


class _Server(uvicorn.Server):
    """Says when it is ready, and stops at once: a mock owes no answer to those still waiting."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # close would wait for clients that do not read
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own would raise the signal again at the end: a traceback, or a killed process.
        handlers = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


@asynccontextmanager
async def _in_thread(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    """Serve `app` on a loop and thread of its own for the length of the block."""
    server = uvicorn.Server(_config(app, http="h11"))  # which bounds the headers
    failures: list[Exception] = []

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(server.serve(sockets=[listener]))
        except Exception as error:
            failures.append(error)

    thread = Thread(target=run, name="control")
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise failures.pop() if failures else RuntimeError("the control API did not start")
            await asyncio.sleep(0.001)
        yield
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join)


def _config(app: Any, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_level="error",
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        **more,
    )


def _url(listener: socket.socket, scheme: str = "http") -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
