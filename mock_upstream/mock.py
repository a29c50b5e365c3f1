"""The ASGI app: one request, from its arrival to the ledger."""

from collections.abc import MutableMapping
from time import monotonic
from typing import Any

from mock_upstream.deadlines import Deadlines
from mock_upstream.exchange import Exchange, Receive, Send
from mock_upstream.ledger import Ledger
from mock_upstream.profiles import Profile
from mock_upstream.routes import Responders


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
        exchange = Exchange(scope, receive, send, self._deadlines)
        arrival = exchange.arrival
        responder, values = self._responders.find(scope["method"], scope["path"])
        delay, status = responder.draw()
        ledger = self._ledger
        ledger.arrived(arrival, delay, responder.matched)
        try:
            # Whoever has not sent all of a request is not waiting for the answer yet.
            if scope["method"] not in _WITHOUT_BODY and not await exchange.received():
                return
            due = arrival + delay
            delivery = monotonic()
            if delivery < due:
                if not await exchange.until(due):
                    return
                delivery = monotonic()
            headers, body = responder.answer(status, values)
            timing = b"asked;dur=%.3f, late;dur=%.3f" % (delay * 1e3, (delivery - due) * 1e3)
            headers.append((b"server-timing", timing))
            await exchange.start(status, headers)
            await exchange.body(body)
        finally:
            if exchange.finished:
                ledger.answered(arrival, delay, delivery, status)
            else:
                ledger.disconnected(arrival)


_WITHOUT_BODY = {"GET", "HEAD"}
