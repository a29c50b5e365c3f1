"""The ASGI app: one request, from its arrival to the ledger."""

from collections.abc import MutableMapping
from time import monotonic
from typing import Any

from mock_upstream.deadlines import Deadlines
from mock_upstream.exchange import Answer, Exchange, Receive, Send
from mock_upstream.fidelity import Watch
from mock_upstream.ledger import Account, Ledger
from mock_upstream.playing import Job, Playing
from mock_upstream.profiles import Profile


class Mock:
    """
    Plays a profile, behind MockProtocol.

    An answer is due its delay after the request's arrival, so the mock's own work is part of
    the delay and not added to it. A request whose client has gone is dropped at once.
    All methods belong on the event loop that it serves on.
    """

    def __init__(self, profile: Profile, ledger: Ledger, deadlines: Deadlines) -> None:
        self._ledger = ledger
        self._deadlines = deadlines
        self._pending: set[Exchange] = set()
        self.watch = Watch(deadlines, ledger.punctuality)
        self.version = 0
        """Counts the profiles that were played."""
        self.play(profile)

    @property
    def profile(self) -> Profile:
        return self._playing.profile

    def play(self, profile: Profile) -> int:
        """
        Another profile for all requests from now on; those before it keep theirs.

        Returns:
            Its version.
        """
        self._playing = Playing(profile)
        self._ledger.budget = profile.budget.late
        self.watch.budget = profile.budget
        self.version += 1
        return self.version

    def reset(self) -> int:
        """
        Begin again: the profile's draws, the ledger's counts.

        Returns:
            How many pending replies were dropped; their clients see a closed connection.
        """
        dropped = len(self._pending)
        for exchange in self._pending:
            exchange.drop()
        self._pending.clear()
        self._playing = Playing(self._playing.profile)
        self._ledger.clear(dropped)
        self.watch.clear()
        return dropped

    def account(self, reset_peak: bool = False) -> Account:
        """What it did since the start or the last reset."""
        return self._ledger.account(
            reset_peak=reset_peak, version=self.version, fidelity=self.watch.fidelity
        )

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, self._deadlines)
        ledger = self._ledger
        job = self._playing.job(exchange)
        number = ledger.arrived(exchange.arrival)
        if not job.responder.matched:
            ledger.strayed()
        self._pending.add(exchange)
        try:
            await self._answer(exchange, job, number)
        finally:
            self._pending.discard(exchange)
            if exchange.dropped:
                pass  # its generation of the ledger is over
            elif exchange.finished:
                ledger.answered(exchange.arrival, exchange.status)
            else:
                ledger.disconnected(exchange.arrival)

    async def _answer(self, exchange: Exchange, job: Job, number: int) -> None:
        arrival, ledger = exchange.arrival, self._ledger
        asked = job.network + job.service
        ledger.accepted(asked)
        due = answerable = arrival + asked
        # Whoever has not sent all of a request is not waiting for the answer yet.
        if exchange.scope["method"] not in _WITHOUT_BODY:
            if not await exchange.received():
                return
            answerable = max(due, monotonic())
        delivery = monotonic()
        if delivery < due:
            if not await exchange.until(due):
                return
            delivery = monotonic()
        headers, body = job.responder.answer(job.status, job.values)
        headers += (
            (b"x-mock-request", b"%d" % number),
            (b"x-mock-connection", b"%d" % exchange.connection.number),
            (
                b"server-timing",
                b"asked;dur=%.3f, queue;dur=0.000, service;dur=%.3f, late;dur=%.3f"
                % (asked * 1e3, job.service * 1e3, (delivery - due) * 1e3),
            ),
        )
        answer = Answer(job.status, headers, body)
        await exchange.start(answer.status, answer.headers)
        await exchange.body(body)
        ledger.delivered(delivery - arrival, delivery - due, delivery - answerable)


_WITHOUT_BODY = {"GET", "HEAD"}
