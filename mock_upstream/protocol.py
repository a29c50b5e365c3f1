"""uvicorn's HTTP protocol, which also knows when a request arrived and on which connection."""

import asyncio
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from mock_upstream.exchange import EXTENSION
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
