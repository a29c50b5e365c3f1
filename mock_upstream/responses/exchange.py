"""One request, and the means to answer it well or badly."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from json import dumps
from typing import Protocol

from starlette.types import Receive, Scope, Send

from mock_upstream.timing.deadlines import Deadlines

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")

EXTENSION = "mock_upstream"
"""Where the app finds the Arrival in `scope["extensions"]`."""


class Connection(Protocol):
    """What a request may know of the connection that it came on."""

    transport: asyncio.Transport
    number: int
    """Counts the connections of this process, from 1."""
    mark: Header
    """Tells the number to the client."""
    requests: int
    """That began on this connection so far: 1 during the first."""
    lost: bool
    """Whether the client has gone away."""
    waiting: asyncio.Future[None] | None
    """What the request in hand waits for; done early when the client goes away."""

    def write(self, status: int, headers: list[Header], body: bytes) -> bool:
        """
        The whole answer to the request in hand, in one piece and past uvicorn.

        uvicorn looks through every header again, which takes a quarter of the time of a
        request. False: nothing was written; the connection is not to be kept, or is clogged.
        """


@dataclass(slots=True)
class Arrival:
    """When a request came, on which connection; monotonic seconds."""

    connection: Connection
    first_byte: float
    """As it was parsed."""
    answerable: float
    """
    From when on only the mock can delay the answer: the last byte that has come of the request, or
    the end of the answer before it on the connection.
    """


class ReplyContent(Protocol):
    """What a body is made of: bytes, or what makes them only where they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


@dataclass(slots=True)
class Reply:
    """What a well-behaved upstream would send: whole, at once, once it is due."""

    status: int
    headers: list[Header]
    body: ReplyContent


class Exchange:
    """A request in the mock. Faults act on `transport`, and then wait until the client is gone."""

    __slots__ = (
        "_arrival",
        "_deadlines",
        "_receive",
        "_send",
        "arrival",
        "connection",
        "dropped",
        "ended",
        "finished",
        "scope",
        "status",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        deadlines: Deadlines,
    ) -> None:
        self.scope = scope
        self._arrival: Arrival = scope["extensions"][EXTENSION]
        self.connection: Connection = self._arrival.connection
        self.arrival = self._arrival.first_byte
        self.status = 0
        """Of the answer that was begun; 0 before."""
        self.finished = False
        """Whether the answer was sent to its end."""
        self.ended = False
        """Whether the mock has closed the connection in place of an answer."""
        self.dropped = False
        """Whether a reset has ended it."""
        self._receive = receive
        self._send = send
        self._deadlines = deadlines

    @property
    def answerable(self) -> float:
        """The moment from which only the mock can delay the answer."""
        return self._arrival.answerable

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Lower-case names; of a name that came twice, the last."""
        return dict(self.scope["headers"])

    @property
    def query(self) -> bytes:
        """The query as it came: without the '?', still percent-encoded."""
        return bytes(self.scope["query_string"])

    @property
    def address(self) -> str:
        """The client's host."""
        client = self.scope["client"]
        return str(client[0]) if client else ""

    @property
    def transport(self) -> asyncio.Transport:
        return self.connection.transport

    async def received(self) -> bool:
        """Read the request to its end. False if the client went away before."""
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return False
            if not message.get("more_body", False):
                return True

    async def until(self, when: float) -> bool:
        """Wait for a moment (monotonic seconds). False when the client went away first."""
        if await self.wait(self._deadlines.at(when)):
            return True
        self._deadlines.called_off()
        return False

    async def wait(self, future: asyncio.Future[None]) -> bool:
        """Wait for `future`, which is done early, and False given, if the client goes away."""
        connection = self.connection
        if connection.lost:
            future.cancel()
            return False
        connection.waiting = future
        await future
        return not connection.lost

    async def gone(self) -> None:
        """Wait until the client has gone away; then uvicorn takes a missing answer as it is."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(self, answer: Reply) -> None:
        """All of it, at once."""
        body = answer.body[:]
        if self.scope["method"] != "HEAD" and self.connection.write(
            answer.status, answer.headers, body
        ):
            self.status, self.finished = answer.status, True
        else:
            await self.start(answer.status, answer.headers)
            await self.body(body)

    async def start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(self, data: bytes, more: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})
        # Without a client uvicorn takes and drops it.
        self.finished = not (more or self.connection.lost)

    def drop(self) -> None:
        """End it without an answer: the client sees its connection closed."""
        self.dropped = True
        self.transport.abort()


def error_answer(status: int, reason: str | None = None) -> tuple[list[Header], bytes]:
    """Headers and body of an answer that says that something failed."""
    body = dumps({"error": reason or _phrase(status), "status": status}).encode()
    return [JSON, (b"content-length", b"%d" % len(body))], body


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
