"""The ASGI app: one request, from its arrival to the ledger."""

from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any

from mock_upstream.deadlines import Deadlines
from mock_upstream.ledger import Ledger
from mock_upstream.profiles import Profile
from mock_upstream.protocol import EXTENSION
from mock_upstream.routes import Responders

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Mock:
    """
    Plays a profile, behind MockProtocol.

    An answer is due its delay after the request's arrival, so the mock's own work is part of
    the delay and not added to it. A request whose client has gone is dropped at once.
    """

    def __init__(self, profile: Profile, ledger: Ledger, deadlines: Deadlines) -> None:
        self.profile = profile
        self._responders = Responders(profile)
        self._ledger = ledger
        self._deadlines = deadlines

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        connection, arrival = scope["extensions"][EXTENSION]
        method = scope["method"]
        responder, values = self._responders.find(method, scope["path"])
        delay, status = responder.draw()
        ledger = self._ledger
        ledger.arrived(arrival, delay, responder.matched)
        answered = False
        try:
            # Whoever has not sent all of a request is not waiting for the answer yet.
            if method not in _WITHOUT_BODY and not await _received(receive):
                return
            due = arrival + delay
            delivery = monotonic()
            if delivery < due:
                connection.waiting = self._deadlines.at(due)
                await connection.waiting
                if connection.lost:  # which ends the wait early
                    return
                delivery = monotonic()
            headers, body = responder.answer(status, values)
            timing = b"asked;dur=%.3f, late;dur=%.3f" % (delay * 1e3, (delivery - due) * 1e3)
            headers.append((b"server-timing", timing))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            answered = True
        finally:
            if answered:
                ledger.answered(arrival, delay, delivery, status)
            else:
                ledger.disconnected(arrival)


_WITHOUT_BODY = {"GET", "HEAD"}


async def _received(receive: Receive) -> bool:
    """Read the request to its end; False if the client went away before."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return False
        if not message.get("more_body", False):
            return True
