"""The ASGI app: one request, from its arrival to the ledger."""

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic

from starlette.types import Receive, Scope, Send

from mock_upstream.admission.queues import Reservation
from mock_upstream.faults import Fault
from mock_upstream.ledger.fidelity import Watch
from mock_upstream.ledger.ledger import Account, Ledger
from mock_upstream.player import ActiveProfile, Refusal, RequestPlan
from mock_upstream.profiles.profile import Profile
from mock_upstream.responses import bodies
from mock_upstream.responses.exchange import Exchange, Header, Reply
from mock_upstream.timing.deadlines import Deadlines


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
        """Counts the profiles that were played, from 1."""
        self._playing: ActiveProfile
        self._start(ActiveProfile(profile, monotonic(), deadlines.call_at))

    @property
    def profile(self) -> Profile:
        return self._playing.profile

    def play(self, profile: Profile) -> int:
        """
        Play another profile for all requests from now on; those before it keep theirs.

        Requests that wait for a server go on waiting; draws and the timeline begin again.

        Returns:
            Its version.
        """
        self._start(ActiveProfile(profile, monotonic(), self._deadlines.call_at, self._playing))
        return self.version

    def change(self, profile: Profile) -> int:
        """Play a changed profile without a restart of draws, faults and the timeline."""
        now, before = monotonic(), self._playing
        self._start(ActiveProfile(profile, now, self._deadlines.call_at, before, changes=True))
        return self.version

    def start_timeline(self) -> None:
        """Start the timeline from its beginning."""
        self._playing.started = monotonic()

    def stop_timeline(self) -> None:
        """Back to before its start."""
        self._playing.started = None

    def reset(self) -> int:
        """
        Begin again: draws, timeline, queue, limits and the ledger's counts.

        Returns:
            How many pending replies were dropped; their clients see a closed connection.
        """
        dropped = len(self._pending)
        for exchange in self._pending:
            exchange.drop()
        self._pending.clear()
        self._playing = ActiveProfile(self._playing.profile, monotonic(), self._deadlines.call_at)
        self._ledger.clear(dropped)
        self.watch.clear()
        return dropped

    @property
    def phase(self) -> str | None:
        """The present phase of the timeline; None: there is no timeline."""
        return self._playing.phase(monotonic())

    def read(self, reset_peak: bool = False, recent_peak: bool = False) -> Callable[[], Account]:
        """
        What it did since the start or the last reset; for the peaks see Ledger.read.

        What is given back makes the account; that takes some milliseconds, anywhere else.
        """
        station, limiter = self._playing.station, self._playing.limiter
        return self._ledger.read(
            reset_peak=reset_peak,
            recent_peak=recent_peak,
            version=self.version,
            phase=self.phase,
            queue=station.load(monotonic(), reset_peak) if station else None,
            limits=limiter.account() if limiter else [],
            fidelity=self.watch.fidelity,
        )

    def _start(self, playing: ActiveProfile) -> None:
        self._playing = playing
        self._ledger.budget = playing.profile.budget.late
        self.watch.budget = playing.profile.budget
        self.version += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, self._deadlines)
        playing = self._playing
        job = playing.job(exchange)
        job.number = self._ledger.arrived(job.arrival, job.phase)
        if not job.responder.matched:
            self._ledger.unmatched(job.arrival, exchange.method, exchange.path)
        self._pending.add(exchange)
        try:
            # Others get to the servers while it is on the way; their clock does not go back.
            on_the_way = job.network and playing.station is not None
            if on_the_way and not await exchange.until(job.arrival + job.network / 2):
                return
            refusal = playing.admit(exchange, job) if playing.guarded else None
            if refusal is not None:
                await self._refuse(exchange, job, refusal)
            elif job.fault is not None and job.fault.at == "arrival":
                await self._fail(exchange, job, job.fault, job.answer(exchange.query))
            else:
                await self._serve(exchange, job)
        finally:
            self._pending.discard(exchange)
            if playing.guarded:
                job.leave(monotonic())
            if not exchange.dropped:  # by the end of the ledger's generation
                self._book(exchange, job)

    async def _refuse(self, exchange: Exchange, job: RequestPlan, refusal: Refusal) -> None:
        """Turn it away at once, but not faster than the network."""
        self._ledger.refused(refusal.by)
        if exchange.scope["method"] not in _WITHOUT_BODY and not await exchange.received():
            return
        if job.network and not await exchange.until(job.arrival + job.network):
            return
        answer = refusal.answer()
        if refusal.fault is not None:
            await refusal.fault.play(exchange, answer)
        else:
            answer.headers += _marks(exchange, job)
            await exchange.answer(answer)

    async def _serve(self, exchange: Exchange, job: RequestPlan) -> None:
        matched, ledger = job.responder.matched, self._ledger
        if matched:
            ledger.accepted(job.asked)
        if exchange.scope["method"] not in _WITHOUT_BODY and not await exchange.received():
            return
        if job.slot is not None and not await self._turn(exchange, job, job.slot):
            return
        begin, begun = job.begin, monotonic()
        if begun < begin:
            if not await exchange.until(begin):
                return
            begun = monotonic()
        answer = job.answer(exchange.query)
        answer.headers += _marks(exchange, job)
        late = begun - max(begin, exchange.answerable)
        answer.headers.append((b"server-timing", job.timing(late)))
        if job.fault is not None:
            await self._fail(exchange, job, job.fault, answer)
        elif job.body is not None:
            await bodies.send(exchange, answer, job.body, job.due)
        else:
            await exchange.answer(answer)
        if exchange.finished and matched:
            ledger.delivered(begun - job.arrival, late, job.phase)

    async def _turn(self, exchange: Exchange, job: RequestPlan, slot: Reservation) -> bool:
        """Wait until the server is done, or the answer begins. False: the client went away."""
        while (when := job.turn) is None or when > monotonic():
            turn = self._deadlines.at(when) if when else asyncio.Future[None]()
            slot.moved = partial(_ring, turn)
            if not await exchange.wait(turn):
                return False
        if when == slot.due:
            job.leave_server(when)
        self._ledger.served(job.queued, job.served)
        return True

    async def _fail(
        self, exchange: Exchange, job: RequestPlan, fault: Fault, answer: Reply
    ) -> None:
        self._ledger.fault(fault.name)
        await fault.play(exchange, answer)

    def _book(self, exchange: Exchange, job: RequestPlan) -> None:
        """The end of it, whichever it was."""
        if exchange.finished:
            self._ledger.answered(job.arrival, exchange.status, job.phase)
        elif exchange.ended:
            self._ledger.unanswered(job.arrival)
        else:
            self._ledger.disconnected(job.arrival)


_WITHOUT_BODY = {"GET", "HEAD"}


def _ring(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def _marks(exchange: Exchange, job: RequestPlan) -> tuple[Header, Header]:
    return (b"x-mock-request", b"%d" % job.number), exchange.connection.mark
