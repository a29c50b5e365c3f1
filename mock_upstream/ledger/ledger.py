"""What the mock truly did: the ground truth of every run. Written and read on one event loop."""

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from math import inf
from time import monotonic
from uuid import uuid4

from mock_upstream.admission.queues import QueueLoad
from mock_upstream.admission.rate_limiter import Limited
from mock_upstream.ledger.fidelity import Fidelity
from mock_upstream.ledger.histogram import DelayHistogram, Delays

LATENESS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds; answers that are later than these are counted."""

_RECENT = 20  # requests that no route matched, of which more than their number is kept
_LONGEST_PATH = 200  # characters that are kept of such a request's path


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A request that no route matched. Its headers, query and body may hold secrets."""

    at: float
    """Seconds since the start or the last reset, as `elapsed`."""
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class InFlight:
    """Requests that have arrived and are not answered yet."""

    now: int
    peak: int
    """Since the start, or since the peak was last reset."""
    seconds: float
    """Spent in the mock by all requests so far; its growth per second is the mean in flight."""


@dataclass(frozen=True, slots=True)
class Connections:
    accepted: int
    open: int


@dataclass(frozen=True, slots=True)
class PhaseAccount:
    """The requests that arrived in one phase of the timeline, whenever they were answered."""

    arrivals: int
    answers: dict[int, int]
    delivered: Delays


@dataclass(frozen=True, slots=True)
class Account:
    """
    The ledger at one moment, all counts since the start of the process or the last reset.

    arrivals = the answers + disconnects + unanswered + in_flight.now, always.
    """

    epoch: str
    """Names this process: another one means that the mock was restarted and counts from zero."""
    generation: int
    """Counts the resets: another one means that all counts began again."""
    dropped: int
    """Replies that were pending at the last reset; none of the counts below has them."""
    elapsed: float
    """Seconds since the start or the last reset."""
    version: int
    """Of the profile that is played; grows when another takes its place."""
    phase: str | None
    """Of the timeline, now; null where there is none."""
    arrivals: int
    in_flight: InFlight
    connections: Connections
    """Of the process; a reset leaves them."""
    answers: dict[int, int]
    """By status; only those that were sent to their end."""
    unmatched: int
    """Of the arrivals: those that no route matched."""
    recent_unmatched: list[Unmatched]
    """The last 20 of them, the latest last."""
    disconnects: int
    """Requests whose client went away before the answer."""
    unanswered: int
    """
    Requests whose connection the mock closed in place of a whole answer, as a fault or a full queue
    wants it; whose client went first, such as one that timed out on `hang`, is a disconnect.
    """
    refused: dict[str, int]
    """Arrivals that were turned away at once, by what did it; with or without an answer."""
    faults: dict[str, int]
    """How often each happened, by name."""
    queue: QueueLoad | None
    """The servers and who waits for one; null where the profile has no capacity."""
    limits: list[Limited]
    """Each of the profile's; with the requests that came again before they should."""
    asked: Delays
    """
    What the profile wanted without a queue, for every request that was not refused. Requests that
    no route matched are in none of the delays.
    """
    queued: Delays
    """Waited for a server, for every request that got one."""
    service: Delays
    """With a server, for every request that got one."""
    delivered: Delays
    """From arrival to the start of the answer, for every answer that was not a refusal."""
    late: Delays
    """
    What the mock itself added, for the same: from when the answer was asked for (with a capacity:
    after network + queued + service), or from when the client had sent all of the request where
    that was later, to its start.
    """
    overdue: dict[float, int]
    """The number of answers that were later than each of these many seconds; zeros are left out."""
    phases: dict[str, PhaseAccount]
    mock_ok: bool
    """Whether the mock kept up in its last full second; if not, do not blame the service."""
    fidelity: Fidelity
    """Why it did not, and for how many seconds."""


class Ledger:
    """Counts as requests come and go; all times are monotonic seconds."""

    def __init__(self) -> None:
        self.epoch = uuid4().hex
        self.generation = 1
        self._accepted = 0
        self._closed = 0
        self.budget = inf
        """Seconds of lateness from where on an answer counts as overdue."""
        self._cleared = 0  # answers that are not counted any more
        self._overdue = 0  # of all that there ever were
        self._begin(dropped=0)

    def clear(self, dropped: int) -> None:
        """Count from zero; the given number of requests in flight has been dropped."""
        self.generation += 1
        self._cleared += self._delivered.count
        self._begin(dropped)

    def _begin(self, dropped: int) -> None:
        self._started = monotonic()
        self._dropped = dropped
        self._arrivals = 0
        self._in_flight = 0
        self._peak = 0  # since `read` gave the recent one
        self._earlier_peak = 0
        self._stays = 0.0  # of the requests that have left
        self._arrived = 0.0  # sum of the arrival times of those that have not
        self._answers: Counter[int] = Counter()
        self._unmatched = 0
        self._recent_unmatched: deque[Unmatched] = deque(maxlen=_RECENT)
        self._disconnects = 0
        self._unanswered = 0
        self._refused: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._asked = DelayHistogram()
        self._queued = DelayHistogram()
        self._service = DelayHistogram()
        self._delivered = DelayHistogram()
        self._late = DelayHistogram()
        self._beyond = [0] * (len(LATENESS) + 1)  # answers by the place of their lateness
        self._phases: defaultdict[str, _Phase] = defaultdict(_Phase)

    def connection_opened(self) -> int:
        """The connection's number, from 1."""
        self._accepted += 1
        return self._accepted

    def connection_closed(self) -> None:
        self._closed += 1

    def arrived(self, arrival: float, phase: str | None) -> int:
        """The request's number, from 1."""
        self._arrivals += 1
        self._arrived += arrival - self._started
        self._in_flight += 1
        if self._in_flight > self._peak:
            self._peak = self._in_flight
        if phase is not None:
            self._phases[phase].arrivals += 1
        return self._arrivals

    def unmatched(self, arrival: float, method: str, path: str) -> None:
        """A request that arrived has no route."""
        self._unmatched += 1
        at = arrival - self._started
        self._recent_unmatched.append(Unmatched(at, method, path[:_LONGEST_PATH]))

    def refused(self, by: str) -> None:
        self._refused[by] += 1

    def accepted(self, asked: float) -> None:
        self._asked.record(asked)

    def served(self, queued: float, service: float) -> None:
        self._queued.record(queued)
        self._service.record(service)

    def fault(self, name: str) -> None:
        self._faults[name] += 1

    def answered(self, arrival: float, status: int, phase: str | None) -> None:
        self._left(arrival)
        self._answers[status] += 1
        if phase is not None:
            self._phases[phase].answers[status] += 1

    def delivered(self, delay: float, late: float, phase: str | None) -> None:
        self._delivered.record(delay)
        self._late.record(late)
        if late > self.budget:
            self._overdue += 1
        if late > LATENESS[0]:
            self._beyond[bisect_left(LATENESS, late)] += 1
        if phase is not None:
            self._phases[phase].delivered.record(delay)

    def punctuality(self) -> tuple[int, int]:
        """How many answers, and how many later than the budget, since the start of the process."""
        return self._cleared + self._delivered.count, self._overdue

    def disconnected(self, arrival: float) -> None:
        self._left(arrival)
        self._disconnects += 1

    def unanswered(self, arrival: float) -> None:
        self._left(arrival)
        self._unanswered += 1

    def read(
        self,
        *,
        reset_peak: bool,
        recent_peak: bool = False,
        version: int,
        phase: str | None,
        queue: QueueLoad | None,
        limits: list[Limited],
        fidelity: Fidelity,
    ) -> Callable[[], Account]:
        """
        All of it; `reset_peak` lets the peak start again from what is in flight now. `recent_peak`
        gives that since the last reading with it, and leaves the peak of all others as it is.

        What is given back makes the account, from copies: some milliseconds of work, which
        belong in another thread, as no answer may wait for it.
        """
        now = monotonic() - self._started
        asked, queued, service = self._asked.copy(), self._queued.copy(), self._service.copy()
        delivered, late = self._delivered.copy(), self._late.copy()
        phases = {name: counts.copy() for name, counts in self._phases.items()}
        counted = partial(
            Account,
            epoch=self.epoch,
            generation=self.generation,
            dropped=self._dropped,
            elapsed=now,
            version=version,
            phase=phase,
            arrivals=self._arrivals,
            in_flight=InFlight(
                now=self._in_flight,
                peak=self._peak if recent_peak else max(self._peak, self._earlier_peak),
                seconds=self._stays + self._in_flight * now - self._arrived,
            ),
            connections=Connections(accepted=self._accepted, open=self._accepted - self._closed),
            answers=dict(sorted(self._answers.items())),
            unmatched=self._unmatched,
            recent_unmatched=list(self._recent_unmatched),
            disconnects=self._disconnects,
            unanswered=self._unanswered,
            refused=dict(self._refused),
            faults=dict(self._faults),
            overdue=self._later(),
            queue=queue,
            limits=limits,
            mock_ok=not fidelity.reasons,
            fidelity=fidelity,
        )
        if reset_peak or recent_peak:
            self._earlier_peak = 0 if reset_peak else max(self._peak, self._earlier_peak)
            self._peak = self._in_flight
        return lambda: counted(
            asked=asked.delays(),
            queued=queued.delays(),
            service=service.delays(),
            delivered=delivered.delays(),
            late=late.delays(),
            phases={name: counts.account() for name, counts in phases.items()},
        )

    def _later(self) -> dict[float, int]:
        counts = accumulate(reversed(self._beyond[1:]))
        later = zip(LATENESS, reversed(list(counts)), strict=True)
        return {seconds: count for seconds, count in later if count}

    def _left(self, arrival: float) -> None:
        self._in_flight -= 1
        self._arrived -= arrival - self._started
        self._stays += monotonic() - arrival


class _Phase:
    def __init__(self) -> None:
        self.arrivals = 0
        self.answers: Counter[int] = Counter()
        self.delivered = DelayHistogram()

    def copy(self) -> "_Phase":
        copy = _Phase()
        copy.arrivals, copy.answers = self.arrivals, self.answers.copy()
        copy.delivered = self.delivered.copy()
        return copy

    def account(self) -> PhaseAccount:
        return PhaseAccount(
            arrivals=self.arrivals,
            answers=dict(sorted(self.answers.items())),
            delivered=self.delivered.delays(),
        )
