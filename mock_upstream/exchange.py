"""One request, and the means to answer it well or badly."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from mock_upstream.deadlines import Deadlines
from mock_upstream.protocol import EXTENSION, MockProtocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]


@dataclass(slots=True)
class Answer:
    """What a well-behaved upstream would send: whole, at once, once it is due."""

    status: int
    headers: list[Header]
    body: bytes


class Exchange:
    """A request in the mock. Faults act on `transport`, and then wait until the client is gone."""

    __slots__ = ("_deadlines", "_receive", "_send", "arrival", "connection", "scope")

    def __init__(
        self,
        scope: MutableMapping[str, Any],
        receive: Receive,
        send: Send,
        deadlines: Deadlines,
    ) -> None:
        self.scope = scope
        self.connection: MockProtocol
        self.arrival: float
        """Monotonic seconds, stamped when the request's first byte was parsed."""
        self.connection, self.arrival = scope["extensions"][EXTENSION]
        self._receive = receive
        self._send = send
        self._deadlines = deadlines

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
    def transport(self) -> asyncio.Transport:
        transport = self.connection.transport
        assert isinstance(transport, asyncio.Transport)
        return transport

    async def until(self, when: float) -> bool:
        """Wait for a moment (monotonic seconds). False when the client went away first."""
        if self.connection.lost:
            return False
        self.connection.waiting = self._deadlines.at(when)
        await self.connection.waiting
        return not self.connection.lost

    async def gone(self) -> None:
        """Wait until the client has gone away; then uvicorn takes a missing answer as it is."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: list[Header]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(self, data: bytes, more: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})
