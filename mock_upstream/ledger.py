"""What the mock truly did: the ground truth of every run. Written and read on one event loop."""

from collections import Counter
from dataclasses import dataclass
from time import monotonic
from uuid import uuid4

from hdrh.histogram import HdrHistogram

from mock_upstream.durations import LONGEST

_MICROSECONDS = 1_000_000
_LONGEST = int(LONGEST * _MICROSECONDS)


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
class Delays:
    """Seconds, to three digits or a microsecond; null where there is nothing to tell."""

    count: int
    total: float
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class Account:
    """
    The ledger at one moment, all counts since the start of the process.

    arrivals = the answers + disconnects + in_flight.now, always.
    """

    epoch: str
    """Names this process: another one means that the mock was restarted and counts from zero."""
    elapsed: float
    """Seconds since the start."""
    arrivals: int
    in_flight: InFlight
    connections: Connections
    answers: dict[int, int]
    """By status."""
    unmatched: int
    """Of the arrivals: those that no route fitted."""
    disconnects: int
    """Requests whose client went away before the answer."""
    asked: Delays
    """What the profile wanted, for every request."""
    delivered: Delays
    """From arrival to the start of the answer, for every answer."""
    late: Delays
    """delivered - asked, for every answer."""


class Ledger:
    """Counts as requests come and go; all times are monotonic seconds."""

    def __init__(self) -> None:
        self.epoch = uuid4().hex
        self._started = monotonic()
        self._arrivals = 0
        self._in_flight = 0
        self._peak = 0
        self._stays = 0.0  # of the requests that have left
        self._arrived = 0.0  # sum of the arrival times of those that have not
        self._accepted = 0
        self._closed = 0
        self._answers: Counter[int] = Counter()
        self._unmatched = 0
        self._disconnects = 0
        self._asked = _Record()
        self._delivered = _Record()
        self._late = _Record()

    def connection_opened(self) -> int:
        """The connection's number, from 1."""
        self._accepted += 1
        return self._accepted

    def connection_closed(self) -> None:
        self._closed += 1

    def arrived(self, arrival: float, delay: float, matched: bool) -> None:
        """A request that should be answered `delay` seconds after its arrival."""
        self._arrivals += 1
        self._arrived += arrival - self._started
        self._in_flight += 1
        if self._in_flight > self._peak:
            self._peak = self._in_flight
        if not matched:
            self._unmatched += 1
        self._asked.record(delay)

    def answered(self, arrival: float, delay: float, delivery: float, status: int) -> None:
        self._left(arrival)
        self._answers[status] += 1
        self._delivered.record(delivery - arrival)
        self._late.record(delivery - (arrival + delay))

    def disconnected(self, arrival: float) -> None:
        self._left(arrival)
        self._disconnects += 1

    def account(self, reset_peak: bool) -> Account:
        """All of it; `reset_peak` lets the peak start again from what is in flight now."""
        now = monotonic() - self._started
        account = Account(
            epoch=self.epoch,
            elapsed=now,
            arrivals=self._arrivals,
            in_flight=InFlight(
                now=self._in_flight,
                peak=self._peak,
                seconds=self._stays + self._in_flight * now - self._arrived,
            ),
            connections=Connections(accepted=self._accepted, open=self._accepted - self._closed),
            answers=dict(sorted(self._answers.items())),
            unmatched=self._unmatched,
            disconnects=self._disconnects,
            asked=self._asked.delays(),
            delivered=self._delivered.delays(),
            late=self._late.delays(),
        )
        if reset_peak:
            self._peak = self._in_flight
        return account

    def _left(self, arrival: float) -> None:
        self._in_flight -= 1
        self._arrived -= arrival - self._started
        self._stays += monotonic() - arrival


class _Record:
    """The delays of one kind, as a histogram of microseconds."""

    __slots__ = ("_histogram", "_total")

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, _LONGEST, 3)
        self._total = 0.0

    def record(self, seconds: float) -> None:
        self._total += seconds
        self._histogram.record_value(min(int(seconds * _MICROSECONDS), _LONGEST))

    def delays(self) -> Delays:
        histogram, count = self._histogram, self._histogram.get_total_count()
        if not count:
            return Delays(count=0, total=0.0, p50=None, p95=None, p99=None, max=None)
        values = histogram.get_percentile_to_value_dict([50, 95, 99])
        most = histogram.max_value
        p50, p95, p99 = (min(values[percent], most) / _MICROSECONDS for percent in (50, 95, 99))
        return Delays(
            count=count, total=self._total, p50=p50, p95=p95, p99=p99, max=most / _MICROSECONDS
        )
