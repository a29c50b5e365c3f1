"""Exchanges as the mock has them, behind uvicorn and a real socket, played by a test's function."""

import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import Receive, Scope, Send

from mock_upstream.ledger.ledger import Ledger
from mock_upstream.protocol import MockProtocol
from mock_upstream.responses.exchange import Exchange, Reply
from mock_upstream.timing.deadlines import Deadlines
from tests.support.servers import PromptServer, eventually

Play = Callable[[Exchange, Reply], Awaitable[None]]

BODY = b'{"ok": true, "numbers": "0123456789"}'


@dataclass
class Played:
    """A server whose every path but `/ok` is answered by the function under test."""

    play: Play
    body: bytes
    port: int = 0
    in_hand: list[Exchange] = field(default_factory=list)
    ended: list[Exchange] = field(default_factory=list)
    _deadlines: Deadlines | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._deadlines = self._deadlines or Deadlines()
        exchange = Exchange(scope, receive, send, self._deadlines)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body)),
        ]
        self.in_hand.append(exchange)
        try:
            if exchange.path == "/ok":
                await exchange.start(200, headers)
                await exchange.body(self.body)
            else:
                await self.play(exchange, Reply(200, headers, self.body))
        finally:
            self.in_hand.remove(exchange)
            self.ended.append(exchange)


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def played(play: Play, body: bytes = BODY, loop: str = "uvloop") -> Iterator[Played]:
    """Must be done with every exchange and without a complaint of uvicorn's or asyncio's."""
    server_side = Played(play, body)
    config = uvicorn.Config(
        server_side,
        port=0,
        lifespan="off",
        access_log=False,
        log_config=None,
        loop=loop,
        http=cast(Any, partial(MockProtocol, Ledger())),
    )
    server = PromptServer(config)
    with ExitStack() as stack:
        complaints = _Complaints()
        for name in ("uvicorn.error", "asyncio"):
            logging.getLogger(name).addHandler(complaints)
            stack.callback(logging.getLogger(name).removeHandler, complaints)
        listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        server_side.port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            eventually(lambda: server.started)
            yield server_side
            assert ask(server_side.port, "/ok")[1] == "kept"
            eventually(lambda: not server_side.in_hand)
        finally:
            server.force_exit = server.should_exit = True
            thread.join()
        assert complaints.lines == []


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        yield client


def request(client: socket.socket, path: str, method: str = "GET") -> None:
    client.sendall(f"{method} {path} HTTP/1.1\r\nhost: mock\r\n\r\n".encode())


def whole(client: socket.socket) -> bytes:
    """One answer with a content-length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


def rest(client: socket.socket) -> tuple[bytes, str]:
    """What comes until the server ends it, and how: "closed" or "reset"."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionResetError:
        return data, "reset"
    return data, "closed"


def ask(port: int, path: str, method: str = "GET", kept: bool = False) -> tuple[bytes, str]:
    """
    What a client gets to the byte, and how it ends: "closed", "reset" or "kept".

    Asked to keep the connection before, it gets one good answer on it first.
    """
    with connected(port) as client:
        if kept:
            request(client, "/ok")
            whole(client)
        request(client, path, method)
        if path == "/ok":
            return whole(client), "kept"
        return rest(client)
