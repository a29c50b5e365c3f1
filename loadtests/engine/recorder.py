"""
Requests -> slices.

A plan's requests are recorded directly; Locust's `request` event brings those of any User class.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, TypeGuard

import gevent

from loadtests.engine.apart import MOST as MOST_NAMES
from loadtests.engine.apart import EventSorter
from loadtests.engine.failures import kind_of
from loadtests.recording.histograms import Histogram, merged
from loadtests.recording.slices import LENGTH, OTHER_NAMES, Slice

SERVICE_TIME = "brownout_service_time"
"""In a request's context, in milliseconds: it is one of the open model, and its `response_time` is
that from the intended start."""
PHASES = "brownout_phases"
"""In a request's context: where its time went, as loadtests.recording.phases.NAMES; seconds."""
MOST = 20  # kinds of failures, or of events that are left out, that are told apart
_PER_SECOND = 1 / LENGTH
_USUAL = 200  # the status that is counted last: what all others leave of the successes


class Recorder:
    """
    Sums requests into slices, each by its start.

    Only requests that start inside [origin, origin + length) are recorded, whenever they end:
    a slow answer at the end of a stage is the one that matters most.
    """

    phases: Callable[[Any, float], Sequence[float] | None] = staticmethod(lambda *_: None)
    """What reads the phases of an answer to a user's own request, given that and its seconds."""

    def __init__(self) -> None:
        self._stage = -1
        self._origin = 0.0
        self._count = 0
        self._slices: dict[tuple[int, str], Slice] = {}
        self._times = Histogram()  # of the stage's slices that were drained
        self._measured = 0.0  # when the window began (seconds, `perf_counter`)
        self.apart = EventSorter()
        self._unusable: Counter[str] = Counter()
        self._kinds: set[str] = set()
        self._names: set[str] = set()
        self.beyond = 0
        """Requests of the stage that started after its end, and are not recorded."""

    def begin(self, stage: int, origin: float, length: float, settle: float = 0.0) -> None:
        """
        Start a stage at `origin` (seconds, `perf_counter`) for `length` seconds, the first
        `settle` of which are not measured.
        """
        self._stage, self._origin = stage, origin
        self._measured = origin + settle
        self._count = round(length / LENGTH)
        self._slices.clear()
        self._times = Histogram()
        self.beyond = 0

    def shorten(self, length: float) -> None:
        """Let the stage be no longer than this; seconds."""
        self._count = min(self._count, round(length / LENGTH))

    @property
    def _end(self) -> float:
        """When the stage ends (seconds, `perf_counter`)."""
        return self._origin + self._count * LENGTH

    @property
    def mean(self) -> float | None:
        """The mean time of all requests of the stage that have ended; seconds. None: none has."""
        times = merged([self._times, *(h for s in self._slices.values() for h in (s.ok, s.failed))])
        return times.mean() if times.count else None

    def on_request(
        self,
        name: str,
        response_time: Any,
        response_length: Any = None,
        exception: BaseException | str | None = None,
        response: Any = None,
        context: Mapping[str, Any] | None = None,
        request_type: str = "GET",
        **_: Any,
    ) -> None:
        """
        Locust's `request` event; its `response_time` is in milliseconds.

        A locustfile's own client may fire it with anything: what is no time is left out and
        counted, and what is no length is 0.
        """
        name, request_type = str(name), str(request_type)
        kind = self.apart.kind(request_type, name)
        if not _is_amount(response_time):
            self._leave_out(f"{request_type} {name} ({response_time!r:.40})")
            return
        # The event fires right after the last byte. Its own `start_time` is wall-clock time,
        # which may jump.
        ended = perf_counter()
        if kind is not None:
            if kind == "on_start" or self._measured <= ended < self._end:
                failed = bool(exception)
                self.apart.record(kind, request_type, name, response_time, failed)
            return
        if name not in self._names:
            if len(self._names) < MOST_NAMES:
                self._names.add(name)
            else:  # each is a row of each level
                name = OTHER_NAMES
        begun, intended = ended - response_time / 1000, None
        if context and SERVICE_TIME in context:
            begun, intended = ended - context[SERVICE_TIME] / 1000, begun
        user: Any = gevent.getcurrent()  # each sends one request at a time
        answered = getattr(user, "brownout_answered", 0.0)
        user.brownout_answered = ended
        status = getattr(response, "status_code", "")
        error = self._kind(exception, response) if exception else None  # as Locust takes it
        phases = context.get(PHASES) if context else None
        if phases is None and error is None:
            phases = self.phases(response, ended - begun)
        size = int(response_length) if _is_amount(response_length) else 0
        self.record(name, begun, ended, answered, status, size, error, intended, phases)

    def _kind(self, exception: BaseException | str, response: Any) -> str:
        """A failure in a word or two; some words may have numbers in them."""
        kind = kind_of(exception, response)
        if kind not in self._kinds and len(self._kinds) >= MOST:
            return kind.partition(" ")[0]
        self._kinds.add(kind)
        return kind

    def drain_unusable(self) -> dict[str, int]:
        """How many events were left out since the last call, by what was wrong with them."""
        counted, self._unusable = self._unusable, Counter()
        return dict(counted)

    def _leave_out(self, event: str) -> None:
        if event in self._unusable or len(self._unusable) < MOST:
            self._unusable[event] += 1

    def record(
        self,
        name: str,
        begun: float,
        ended: float,
        answered: float,
        status: int | str,
        size: int,
        error: str | None = None,
        intended: float | None = None,
        phases: Sequence[float] | None = None,
    ) -> bool:
        """
        Count one request; returns whether it started within the stage. Moments are seconds
        (`perf_counter`).

        Args:
            begun, ended: when it was sent, and when its answer was complete or it failed.
            answered: when its user had the answer before; 0: it had none.
            status, size: of the answer; bytes.
            error: what it failed by, in a word or two; None: it did not.
            intended: when it was meant to start, in the open model.
            phases: where its time went, as loadtests.recording.phases.NAMES; seconds.
        """
        origin = self._origin
        start = (begun if intended is None else intended) - origin
        index = int(start * _PER_SECOND)
        if start < 0 or index >= self._count:
            self.beyond += start >= 0
            return False
        # This is a part of the cost of every request: sums are put in order by `drain`.
        service, slices = ended - begun, self._slices
        part = slices.get((index, name)) or self._slice(index, name)
        part.started += 1
        part.start_lead += start
        if origin <= answered <= begun and intended is None:
            part.followed += 1
            part.idle += begun - answered
        if error is None:
            part.ok.record(service)
            if status != _USUAL:
                word = str(status)
                part.statuses[word] = part.statuses.get(word, 0) + 1
            part.bytes += size
            if intended is not None:
                part.response.record(ended - intended)
            if phases is not None:
                part.phases.record(service, phases)
        else:
            part.failed.record(service)
            part.kinds[error] = part.kinds.get(error, 0) + 1
        end = ended - origin
        last = int(end * _PER_SECOND)
        if last != index:
            part = slices.get((last, name)) or self._slice(last, name)
        part.ended += 1
        part.end_lead += end
        if error is None:
            part.succeeded += 1
        return True

    def gave_up(self, name: str, start: float) -> None:
        """Count one as failed that started at `start` (`perf_counter`) and is given up now."""
        self.record(name, start, perf_counter(), 0.0, 0, 0, "no answer")

    def unsent(self, name: str, intended: float) -> None:
        """Count one that was meant to start at `intended` (`perf_counter`) and never did."""
        index = int((intended - self._origin) / LENGTH)
        if index < self._count:
            part = self._slices.get((index, name)) or self._slice(index, name)
            part.unsent += 1

    def drain(self) -> list[Slice]:
        """What was recorded since the last call; the parts of one quarter second add up."""
        slices = list(self._slices.values())
        self._slices = {}
        for part in slices:
            self._times.add(part.ok)
            self._times.add(part.failed)
            end = (part.index + 1) * LENGTH
            part.start_lead = end * part.started - part.start_lead
            part.end_lead = end * part.ended - part.end_lead
            usual = part.ok.count - sum(part.statuses.values())
            if usual:
                part.statuses[str(_USUAL)] = usual
        return slices

    def _slice(self, index: int, name: str) -> Slice:
        part = self._slices[index, name] = Slice(stage=self._stage, index=index, request=name)
        return part


def _is_amount(reported: Any) -> TypeGuard[float]:
    """Whether this can be a number of milliseconds, or of bytes."""
    return isinstance(reported, (int, float)) and 0 <= reported < math.inf
