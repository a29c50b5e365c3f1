"""Real servers on free loopback ports, each for the length of a `with`, and ways to ask them."""

import asyncio
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.request import urlopen

import httpx
import uvicorn

from app_under_test import variants
from app_under_test.settings import Settings

# Seconds that a test waits for what must come. On a machine that gives the suite a tenth of its
# cores a run takes two minutes; where all goes well nothing waits as long.
LONGEST_WAIT = 300.0


def eventually(condition: Callable[[], Any], seconds: float = LONGEST_WAIT) -> None:
    """
    Waits until `condition` holds; fails if it does not within `seconds`.

    Asking takes a fifth of a core at most: the rest is for what is waited for.
    """
    began = time.monotonic()
    deadline = began + seconds
    while not condition():
        now = time.monotonic()
        assert now < deadline, "what was waited for did not happen"
        time.sleep(min(max(4 * (now - began), 0.002), 0.05))
        began = time.monotonic()


def ignore_interrupts() -> None:
    """Has a new process ignore SIGINT, as in the background of a script. Ctrl-C must end it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class PromptServer(uvicorn.Server):
    """
    Ends as soon as it may. uvicorn looks ten times a second whether it shall, and sleeps for a
    tenth of a second on its way.
    """

    async def main_loop(self) -> None:
        await self.on_tick(0)  # what each answer has in its head
        while not self.should_exit:
            await asyncio.sleep(0.005)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for one in (*self.servers, *(sockets or ())):
            one.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        timeout = time.monotonic() + (self.config.timeout_graceful_shutdown or 0)
        while (state.connections or state.tasks) and not self.force_exit:
            if time.monotonic() > timeout:
                break
            await asyncio.sleep(0.002)
        for task in state.tasks:
            task.cancel()
        if not self.force_exit:
            await self.lifespan.shutdown()


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serves the ASGI `app` from a thread; yields its URL."""
    config = uvicorn.Config(
        app, port=0, log_level="error", loop="uvloop", timeout_graceful_shutdown=1
    )
    server = PromptServer(config)
    listener = config.bind_socket()
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive())
        assert server.started, "the server stopped before it was ready"
        host, port = listener.getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Reply:
    """What a `ScriptedUpstream` sends for each request, to the byte, and what it does then."""

    data: bytes
    then: Literal["keep", "close", "reset", "stall", "drip"] = "keep"


def reply(status: int = 200, body: str = '{"ok": true}', **headers: str) -> Reply:
    """A whole HTTP answer; header names are written with underscores."""
    lines = [f"HTTP/1.1 {status} -", "content-type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"content-length: {len(body)}", "", body]
    return Reply("\r\n".join(lines).encode())


class ScriptedUpstream:
    """
    An upstream that answers with the bytes it is told, holds answers back, and counts.

    While `held`, requests wait: so a test can count how many a service has under way at a time
    without depending on how long anything takes.
    """

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0  # accepted ever
        self.in_flight = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self.reset()

    def reset(self) -> None:
        """Reset everything but the connections, which a service may have kept."""
        self.reply = reply()
        self.first: list[Reply] = []  # sent before `reply`, one for each request
        self.held = False
        self.heads: list[str] = []  # request line and headers
        self.paths: list[str] = []
        self.peak = 0

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self.converse, "127.0.0.1", 0, backlog=1000)
        host, port = server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        ready.set()
        await stop.wait()
        server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head.decode())
                self.paths.append(head.split(b" ", 2)[1].decode())
                if not await self.answer(writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client closed the connection
        finally:
            self._writers.discard(writer)
            writer.close()

    async def answer(self, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; says whether the connection is kept."""
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            while self.held:
                await asyncio.sleep(0.001)
            sent = self.first.pop(0) if self.first else self.reply
            writer.write(sent.data)
            while self.reply.then == "drip":
                await asyncio.sleep(0.05)
                writer.write(b" ")
                await writer.drain()
            while self.reply.then == "stall":
                await asyncio.sleep(0.01)
        finally:
            self.in_flight -= 1
        if sent.then == "reset":
            linger = struct.pack("ii", 1, 0)  # closing then sends RST instead of FIN
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        return sent.then == "keep"


@contextmanager
def scripted_upstream() -> Iterator[ScriptedUpstream]:
    """A `ScriptedUpstream` in a thread with a loop of its own."""
    upstream = ScriptedUpstream()
    ready = threading.Event()
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        stop = asyncio.Event()
        running.set_result((asyncio.get_running_loop(), stop))
        await upstream.serve(ready, stop)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    loop, stop = running.result()
    assert ready.wait(10)
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


class Callers:
    """Users of a service: up to 100 requests at a time, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pool = ThreadPoolExecutor(100)
        self.client = httpx.Client(
            timeout=120,
            verify=False,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )

    def get(self, path: str, timeout: float = 120) -> httpx.Response:
        return self.client.get(self.url + path, timeout=timeout)

    def start(self, path: str, times: int = 1) -> list[Future[httpx.Response]]:
        """Requests at the same time, not waited for."""
        return [self.pool.submit(self.get, path) for _ in range(times)]


@contextmanager
def callers(url: str) -> Iterator[Callers]:
    several = Callers(url)
    try:
        yield several
    finally:
        several.pool.shutdown()
        several.client.close()


def answers(started: list[Future[httpx.Response]]) -> list[tuple[int, Any]]:
    """Waits for the requests; gives the status and JSON of each."""
    responses = [future.result() for future in started]
    return [(response.status_code, json.loads(response.text)) for response in responses]


@dataclass(frozen=True)
class MockUpstream:
    """A running `python -m mock_upstream serve`."""

    url: str
    control: str
    process: subprocess.Popen[str]

    def ledger(self, query: str = "") -> Any:
        """What it did so far."""
        with urlopen(f"{self.control}/ledger?{query}", timeout=20) as response:
            return json.load(response)


@contextmanager
def mock_upstream(*arguments: str, stop: int = signal.SIGINT) -> Iterator[MockUpstream]:
    """The mock as a process of its own; it must end quickly, with code 0 and no complaint."""
    command = [sys.executable, "-m", "mock_upstream", "serve", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, encoding="utf-8", preexec_fn=ignore_interrupts
    ) as process:
        try:
            assert process.stdout
            assert process.stderr
            line = process.stdout.readline()
            assert line, process.stderr.read()
            ready = json.loads(line)
            yield MockUpstream(ready["url"], ready["control"], process)
            process.send_signal(stop)
            _, complaint = process.communicate(timeout=20)
            assert (process.returncode, complaint) == (0, "")
        finally:
            process.kill()


_making = threading.Lock()


def variant_app(variant: str, upstream: str, settings: Settings) -> Any:
    """
    The ASGI app of a variant. Threads wait for each other here: FastAPI silences warnings of the
    whole process while it makes an app.
    """
    with _making:
        return variants.create_app(variant, upstream, settings)


def together(check: Callable[[str], None], names: list[str]) -> None:
    """Runs `check` for each name, all at the same time: most of them wait. A failure says whose."""
    with ThreadPoolExecutor(len(names)) as pool:
        started = {name: pool.submit(check, name) for name in names}
    for name, future in started.items():
        if error := future.exception():
            error.add_note(name)
            raise error
