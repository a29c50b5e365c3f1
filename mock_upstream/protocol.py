"""uvicorn's HTTP protocol, which also knows when a request arrived and on which connection."""

import asyncio
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from mock_upstream.exchange import EXTENSION, Header
from mock_upstream.ledger import Ledger


class MockProtocol(HttpToolsProtocol):
    """One connection: uvicorn's, and a `Connection` of the mock's."""

    def __init__(self, ledger: Ledger, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._ledger = ledger
        self.number = 0
        self.mark = b"", b""
        self.requests = 0
        self.lost = False
        self.waiting: asyncio.Future[None] | None = None
        self._in_hand: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.number = self._ledger.connection_opened()
        self.mark = b"x-mock-connection", b"%d" % self.number

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost = True
        self._ledger.connection_closed()
        # uvicorn tells the request that came last, which may be queued behind the one in hand.
        # uvicorn leaves it running where the client resets: 8 KB for 75 s, for each of them.
        self._unset_keepalive_if_required()
        if self._in_hand and not self._in_hand.response_complete:
            self._in_hand.disconnected = True
            self._in_hand.message_event.set()
        if self.waiting and not self.waiting.done():
            self.waiting.set_result(None)

    def on_message_begin(self) -> None:
        arrival = monotonic()
        super().on_message_begin()
        self.requests += 1
        self.scope["extensions"] = {EXTENSION: (self, arrival)}  # type: ignore[dict-item]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._in_hand = cycle
        super()._start_asgi_task(cycle, app)

    def write(self, status: int, headers: list[Header], body: bytes) -> bool:
        cycle = self._in_hand
        if cycle is None or self.lost or not cycle.keep_alive or self.flow.write_paused:
            return False
        lines = [STATUS_LINE[status]]
        for name, value in headers:
            if name == b"connection":
                return False
            lines += (name, b": ", value, b"\r\n")
        lines += (b"\r\n", body)
        self.transport.write(b"".join(lines))
        # What uvicorn does when it has sent the last of an answer.
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True
