"""uvicorn's HTTP protocol, which also knows when a request arrived and on which connection."""

import asyncio
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from mock_upstream.ledger.ledger import Ledger
from mock_upstream.responses.exchange import EXTENSION, Arrival, Header, error_answer

MOST_HEAD_BYTES = 65_536
"""Of a request's line and headers, and of the trailers after a chunked body."""
MOST_HEADERS = 200
HEAD_TIMEOUT = 20.0
"""Seconds from the first byte of a request until its headers have to be there."""

_SMALL = MOST_HEADERS * len("x:\r\n")

# A client that is still sending would be reset by a close and not see why: let it finish.
_LINGER = 2.0  # seconds
_LINGER_BYTES = 1_000_000


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
        self._piece = 0  # bytes of what is being parsed
        self._begun = False  # whether the request began in that piece
        # Bytes in the pieces after that in which the request began, or had a body; -_piece in that.
        self._before = 0
        self._until = 0.0  # when the rest of an unfinished request has to be there

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.number = self._ledger.connection_opened()
        self.mark = b"x-mock-connection", b"%d" % self.number
        # Before the first request it is as idle as after one.
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost = True
        self._ledger.connection_closed()
        # uvicorn leaves it running where the client resets: 8 KB for 75 s, for each of them.
        self._unset_keepalive_if_required()
        # uvicorn tells the request that came last, which may be queued behind the one in hand.
        if self._in_hand and not self._in_hand.response_complete:
            self._in_hand.disconnected = True
            self._in_hand.message_event.set()
        if self.waiting and not self.waiting.done():
            self.waiting.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._piece = len(data)
        self._begun = False
        super().data_received(data)
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.scope is not self.scope:
            self._unfinished()

    def _unfinished(self) -> None:
        """Bound what a request that has come in part may take: memory, and time for its head."""
        if self.transport.is_closing():
            return
        self._before += self._piece
        if isinstance(self.parser, _Deaf):
            if self._before > _LINGER_BYTES:
                self.transport.abort()
        elif self._before > MOST_HEAD_BYTES or len(self.headers or ()) > MOST_HEADERS:
            self._refuse(431)
        if not self._answering():
            self._wait()

    def _wait(self) -> None:
        self._unset_keepalive_if_required()
        wait = max(self._until - monotonic(), 0.001)
        self.timeout_keep_alive_task = self.loop.call_later(wait, self._head_timed_out)

    def _head_timed_out(self) -> None:
        if isinstance(self.parser, _Deaf):
            self.transport.abort()
        else:
            self._refuse(408)

    def _answering(self) -> bool:
        """Whether a request is in hand, so that whatever is written would be its answer."""
        return self.cycle is not None and (
            self.cycle.scope is self.scope or not self.cycle.response_complete
        )

    def _refuse(self, status: int) -> None:
        """Answer what is not a whole request yet, and read no more of it."""
        if self._answering() or self.transport.is_closing():
            self.transport.abort()
            return
        self.parser = _Deaf()  # type: ignore[assignment]
        self._before, self._until = 0, monotonic() + _LINGER
        headers, body = error_answer(status, _REASONS[status])
        lines = [name + b": " + value for name, value in (*headers, (b"connection", b"close"))]
        self.transport.write(STATUS_LINE[status] + b"\r\n".join([*lines, b"", body]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS, which says goodbye and reads on until the client does, too
            self.transport.close()
        self._wait()

    def send_400_response(self, msg: str) -> None:
        # Here ends what the parser's callbacks raise.
        if self._head_is_too_large():
            self._refuse(431)
        else:
            super().send_400_response(msg)

    def _head_is_too_large(self) -> bool:
        headers = self.headers or ()
        if len(headers) > MOST_HEADERS:
            return True
        lengths = [len(name) + len(value) + len(": \r\n") for name, value in headers]
        return len(self.url) + sum(lengths) > MOST_HEAD_BYTES

    def on_headers_complete(self) -> None:
        # Most heads come in one piece, in which too many headers have no room.
        small = self._piece <= _SMALL and self._before == -self._piece
        if not small and self._head_is_too_large():
            raise ValueError("the head of a request is too large")
        self._came()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._before = -self._piece  # what follows are trailers, or another request
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._came()
        super().on_message_complete()

    def _came(self) -> None:
        """Stamp the head, or all of a request, that the client has sent in several pieces."""
        if not self._begun:
            _arrival(self.scope).answerable = monotonic()

    def on_response_complete(self) -> None:
        if self.pipeline:
            following, _ = self.pipeline[-1]
            _arrival(following.scope).answerable = monotonic()
        super().on_response_complete()

    def on_message_begin(self) -> None:
        arrival = monotonic()
        super().on_message_begin()
        self.requests += 1
        self._before = -self._piece
        self._begun = True
        self._until = arrival + HEAD_TIMEOUT
        self.scope["extensions"] = {EXTENSION: Arrival(self, arrival, arrival)}  # type: ignore[dict-item]

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


def _arrival(scope: Any) -> Arrival:
    arrival: Arrival = scope["extensions"][EXTENSION]
    return arrival


class _Deaf:
    """Replaces the parser once no more is read."""

    def feed_data(self, data: bytes) -> None:
        pass


_REASONS = {
    408: f"the headers of a request have to come within {HEAD_TIMEOUT:g} s",
    431: f"the headers of a request are at most {MOST_HEADERS}, "
    f"and {MOST_HEAD_BYTES:,} bytes with its line",
}
