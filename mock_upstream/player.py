"""A profile made ready to be played, and what each request is to get by it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from mock_upstream import faults
from mock_upstream.admission.queues import CallAt, Reservation, Station, open_station
from mock_upstream.admission.rate_limiter import Limiter, Permit
from mock_upstream.admission.rate_limiter import RefusalAnswer as Limitation
from mock_upstream.faults import Fault
from mock_upstream.latency.draws import Stream
from mock_upstream.overrides import OverrideError, Overrides
from mock_upstream.overrides import parse as parse_overrides
from mock_upstream.profiles.compiled_timeline import CompiledTimeline, State
from mock_upstream.profiles.profile import Profile
from mock_upstream.responses.bodies import Body
from mock_upstream.responses.exchange import Exchange, Header, Reply, error_answer
from mock_upstream.routes import Responder, Responders, Tallies, Tally, forget


class RequestPlan:
    """What one request is to get; but for its turn at a server, known at its arrival."""

    __slots__ = (
        "arrival",
        "body",
        "fault",
        "key",
        "network",
        "number",
        "ordinal",
        "permit",
        "phase",
        "refusal",
        "responder",
        "service",
        "slot",
        "station",
        "status",
        "values",
    )

    def __init__(
        self,
        arrival: float,
        responder: Responder,
        values: Mapping[str, str],
        draw: tuple[float, int, int],
    ) -> None:
        self.arrival = arrival
        """As all times: in monotonic seconds."""
        self.number = 0
        self.responder = responder
        self.values = values
        """Of the names in the route's path."""
        self.service, self.status, self.ordinal = draw
        self.key: bytes | None = None
        self.network = responder.network
        """Seconds on the way, half of them before the server and half after."""
        self.fault: Fault | None = None
        self.body: Body | None = None
        """How the body comes; None: as it is, at once."""
        self.refusal: Refusal | None = None
        """Decided on its arrival, whatever else is in service."""
        self.permit: Permit | None = None
        """To be here, from the limits."""
        self.station: Station | None = None
        self.slot: Reservation | None = None
        """Its turn at a server of the station."""
        self.phase: str | None = None
        """Of the timeline, when it arrived."""

    def override(self, asked: Overrides) -> None:
        """What the request itself asks for."""
        if asked.status is not None:
            self.status = asked.status
        if asked.fault is not None:
            self.fault = asked.fault
        if asked.size is not None:
            self.body = (self.body or Body()).model_copy(update={"size": asked.size})

    def draw(self, stream: Stream) -> float:
        """A draw for another purpose."""
        return stream.uniform(self.ordinal) if self.key is None else stream.keyed(self.key)

    @property
    def asked(self) -> float:
        """Seconds until the answer begins, were it alone."""
        alone = self.network + self.service
        return alone if self.body is None else self.body.begins(0.0, alone)

    @property
    def queued(self) -> float:
        """Seconds that it waited for a server."""
        if self.slot is None or self.slot.start is None:
            return 0.0
        return self.slot.start - (self.arrival + self.network / 2)

    @property
    def served(self) -> float:
        """Seconds that it had a server."""
        if self.slot is None or self.slot.start is None or self.slot.due is None:
            return self.service
        return self.slot.due - self.slot.start

    @property
    def due(self) -> float:
        """When the last of the answer is."""
        if self.slot is None:
            return self.arrival + self.network + self.service
        assert self.slot.due is not None
        return self.slot.due + self.network / 2

    @property
    def begin(self) -> float:
        """When the first of the answer is due."""
        return self.due if self.body is None else self.body.begins(self.arrival, self.due)

    @property
    def turn(self) -> float | None:
        """When the server has done what the answer waits for; None: not known yet."""
        if self.slot is None or self.slot.due is None:
            return None
        return min(self.slot.due, self.begin)

    def leave_server(self, now: float) -> None:
        """Make room for the next; may be called again."""
        if self.station is not None and self.slot is not None:
            if self.slot.due is not None and self.slot.due <= now:
                self.station.leave(self.slot)
            else:
                self.station.abandon(self.slot, now)

    def leave(self, now: float) -> None:
        """Free what it holds, however it ended."""
        self.leave_server(now)
        if self.permit is not None:
            self.permit.release()

    def timing(self, late: float) -> bytes:
        """Server-Timing, in milliseconds."""
        times = self.asked * 1e3, self.queued * 1e3, self.served * 1e3, late * 1e3
        return b"asked;dur=%.3f, queue;dur=%.3f, service;dur=%.3f, late;dur=%.3f" % times

    def answer(self, query: bytes) -> Reply:
        headers, content = self.responder.answer(self.status, self.values, query)
        answer = Reply(self.status, headers, content)
        if self.body is not None:
            self.body.fill(answer, self.draw(self.responder.sizes))
        return answer


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request is turned away."""

    by: str
    """What did it, for the ledger."""
    end: int | str
    """An error status, or the name of a fault."""
    headers: list[Header] = field(default_factory=list)
    reason: str | None = None
    """None: the status says it."""

    @property
    def fault(self) -> Fault | None:
        return faults.load(self.end)() if isinstance(self.end, str) else None

    def answer(self) -> Reply:
        status = self.end if isinstance(self.end, int) else 503
        headers, content = error_answer(status, self.reason)
        return Reply(status, [*headers, *self.headers], content)


class ActiveProfile:
    """One profile, and what has become of it so far."""

    def __init__(
        self,
        profile: Profile,
        now: float,
        call_at: CallAt,
        before: "ActiveProfile | None" = None,
        *,
        changes: bool = False,
    ) -> None:
        """
        Take over the queue of `before`, and what its limits know.

        Args:
            changes: the profile is that of `before` with other values, so draws, faults and the
                timeline go on, too.
        """
        self.profile = profile
        self.station: Station | None = before.station if before else None
        self.limiter: Limiter | None = before.limiter if before else None
        self.started: float | None = None
        """When the timeline did."""
        self._began = now
        self._tallies: Tallies = defaultdict(Tally)
        if before and changes:
            self.started, self._began = before.started, before._began
            if (profile.seed, profile.sampling) == (before.profile.seed, before.profile.sampling):
                self._tallies = before._tallies
                forget(self._tallies, before.profile, profile)
        timeline = profile.timeline
        if timeline is not None and timeline.start == "serve" and self.started is None:
            self.started = now
        self._call_at = call_at
        self._longest = profile.caps.delay
        self._schedule = profile.schedule
        self._ready: dict[int, Responders] = {}  # by the profile's identity
        self._present = profile
        self._change(profile, now)

    def phase(self, now: float) -> str | None:
        """The name of the timeline's; None: there is no timeline."""
        return None if self._schedule is None else self._state(self._schedule, now).phase

    def job(self, exchange: Exchange) -> RequestPlan:
        arrival, scope = exchange.arrival, exchange.scope
        state = None
        if self._schedule is not None:
            state = self._state(self._schedule, arrival)
            if state.played is not self._present:
                self._change(state.played, arrival)
        responder, values = self._responders.find(scope["method"], scope["path"])
        asked = key = latency = refusal = None
        if self.profile.overrides:
            try:
                asked = parse_overrides(
                    scope["headers"],
                    scope["query_string"],
                    longest=self._longest,
                    largest=self.profile.caps.body,
                )
            except OverrideError as error:
                refusal = Refusal("override", 400, reason=str(error))
            else:
                if asked is not None:
                    key, latency = asked.key, asked.latency
        job = RequestPlan(
            arrival, responder, values, responder.draw(key, latency, arrival - self._began)
        )
        job.key, job.refusal = key, refusal
        if responder.body is not None and not responder.fails(job.status):
            job.body = responder.body
        if responder.faults:
            job.fault = responder.fault(job.ordinal, key, exchange.connection.requests)
        if asked is not None:
            job.override(asked)
        if (scale := self.profile.scale) != 1.0:
            job.network *= scale
            if latency is None:
                job.service *= scale
        if state is not None:
            job.phase = state.phase
            if latency is None:
                job.service *= state.factor
            if state.outage is not None and job.draw(responder.refusals) < state.refused:
                job.refusal = job.refusal or Refusal("outage", state.outage)
        if job.service > self._longest:
            job.service = self._longest
        return job

    def admit(self, exchange: Exchange, job: RequestPlan) -> Refusal | None:
        """Pass the outage, the limits and the queue; None: the request is admitted."""
        if job.refusal is not None:
            return job.refusal
        if not job.responder.matched:  # no call of the service: it takes no server and no permit
            return None
        if self.limiter is not None:
            permit = self.limiter.admit(
                job.arrival, job.responder.name, exchange.address, exchange.headers
            )
            if isinstance(permit, Limitation):
                return Refusal("limit", permit.status, permit.headers)
            job.permit = permit
        # What happens on arrival happens before any server turns to it.
        if self.station is not None and (job.fault is None or job.fault.at != "arrival"):
            job.slot = self.station.enter(job.arrival + job.network / 2, job.service)
            if job.slot is None:
                capacity = self.station.capacity
                return Refusal("queue", capacity.overflow, _retry_after(capacity.retry_after))
            job.station = self.station
        return None

    def _state(self, schedule: CompiledTimeline[Profile], now: float) -> State[Profile]:
        return schedule.at(None if self.started is None else now - self.started)

    def _change(self, profile: Profile, now: float) -> None:
        """Go on by another profile: the next profile, or the next phase."""
        self._present = profile
        if id(profile) not in self._ready:
            self._ready[id(profile)] = Responders(profile, self._tallies)
        self._responders = self._ready[id(profile)]
        capacity, station = profile.capacity, self.station
        if capacity is None:
            self.station = None
        elif station is None or capacity.on_disconnect != station.capacity.on_disconnect:
            self.station = open_station(capacity, self._call_at)
        elif capacity != station.capacity:
            station.adopt(capacity, now)
        if not profile.limits:
            self.limiter = None
        elif self.limiter is None:
            self.limiter = Limiter(profile.limits, now)
        else:
            self.limiter.adopt(profile.limits)
        self.guarded = bool(profile.overrides or self._schedule or self.station or self.limiter)
        """Whether anybody is turned away at all."""


def _retry_after(seconds: float | None) -> list[Header]:
    return [] if seconds is None else [(b"retry-after", b"%d" % ceil(seconds))]
