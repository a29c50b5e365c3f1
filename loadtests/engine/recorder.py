"""Requests -> slices. Listens to Locust's `request` event, so every User class is recorded."""

import errno
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any

import gevent

from loadtests.engine.egress import HostNotAllowed
from loadtests.slices import LENGTH, Slice

SERVICE_TIME = "brownout_service_time"
"""In a request's context, in milliseconds: it is one of the open model, and its `response_time` is
that from the intended start."""
PHASES = "brownout_phases"
"""In a request's context: where its time went, as loadtests.phases.NAMES; seconds."""


class Recorder:
    """
    Sums what Locust reports into slices, each request by its start; about 3 microseconds each.

    Only requests that start inside [origin, origin + length) are recorded, whenever they end:
    a slow answer at the end of a stage is the one that matters most.
    """

    def __init__(self) -> None:
        self._stage = -1
        self._origin = 0.0
        self._count = 0
        self._slices: dict[tuple[int, str], Slice] = {}
        self._answers, self._seconds = 0, 0.0
        self.beyond = 0
        """Requests of the stage that started after its end, and are not recorded."""

    def begin(self, stage: int, origin: float, length: float) -> None:
        """Start a stage at `origin` (seconds, `perf_counter`) for `length` seconds."""
        self._stage, self._origin = stage, origin
        self._count = round(length / LENGTH)
        self._slices.clear()
        self._answers, self._seconds = 0, 0.0
        self.beyond = 0

    @property
    def mean(self) -> float | None:
        """The mean time of all requests of the stage that have ended; seconds. None: none has."""
        return self._seconds / self._answers if self._answers else None

    def on_request(
        self,
        name: str,
        response_time: float | None,
        response_length: int | None = None,
        exception: BaseException | None = None,
        response: Any = None,
        context: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Locust's `request` event; its `response_time` is in milliseconds."""
        if response_time is None:
            return
        seconds = response_time / 1000
        service_time = context.get(SERVICE_TIME) if context else None
        service = seconds if service_time is None else service_time / 1000
        # The event fires right after the last byte. Its own `start_time` is wall-clock time,
        # which may jump.
        end = perf_counter() - self._origin
        start = end - seconds
        user: Any = gevent.getcurrent()  # each sends one request at a time
        answered = getattr(user, "brownout_answered", 0.0) - self._origin
        user.brownout_answered = end + self._origin
        index = int(start / LENGTH)
        if start < 0 or index >= self._count:
            self.beyond += start >= 0
            return
        self._answers += 1
        self._seconds += service
        part = self._slice(index, name)
        part.started += 1
        part.start_lead += (index + 1) * LENGTH - start
        if 0 <= answered <= start:
            part.followed += 1
            part.idle += start - answered
        if exception is None:
            part.ok.record(service)
            status = str(getattr(response, "status_code", ""))
            part.statuses[status] = part.statuses.get(status, 0) + 1
            part.bytes += response_length or 0
            if service_time is not None:
                part.response.record(seconds)
            phases = context.get(PHASES) if context else None
            if phases is not None:
                part.phases.record(service, phases)
        else:
            part.failed.record(service)
            kind = kind_of(exception, response)
            part.kinds[kind] = part.kinds.get(kind, 0) + 1
        index = int(end / LENGTH)
        part = self._slice(index, name)
        part.ended += 1
        part.end_lead += (index + 1) * LENGTH - end
        part.succeeded += exception is None

    def gave_up(self, name: str, start: float) -> None:
        """Count one as failed that started at `start` (`perf_counter`) and is given up now."""
        seconds = perf_counter() - start
        error = UnexpectedAnswer("no answer", f"no answer in {seconds:.1f} s")
        self.on_request(name, seconds * 1000, exception=error)

    def unsent(self, name: str, intended: float) -> None:
        """Count one that was meant to start at `intended` (`perf_counter`) and never did."""
        index = int((intended - self._origin) / LENGTH)
        if index < self._count:
            self._slice(index, name).unsent += 1

    def drain(self) -> list[Slice]:
        """What was recorded since the last call; the parts of one quarter second add up."""
        slices = list(self._slices.values())
        self._slices = {}
        return slices

    def _slice(self, index: int, name: str) -> Slice:
        key = (index, name)
        part = self._slices.get(key)
        if part is None:
            part = self._slices[key] = Slice(stage=self._stage, index=index, request=name)
        return part


def kind_of(exception: BaseException, response: Any) -> str:
    """A failure in a word or two: what was wrong with the answer, its status, or the error."""
    if isinstance(exception, UnexpectedAnswer):
        return exception.kind
    status = getattr(response, "status_code", 0)
    if status:
        return str(status)
    return next((word for word in _words(exception) if word), type(exception).__name__)


class UnexpectedAnswer(Exception):
    """An answer came, but not the one that the plan expects."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


_NUMBERED = {
    errno.EMFILE: "out of descriptors",
    errno.ENFILE: "out of descriptors",
    errno.EADDRNOTAVAIL: "out of ports",
}
"""What the generator itself lacks, by the system's number; see analysis.validity."""
_KNOWN = {
    "ConnectionRefusedError": "connection refused",
    "ConnectionResetError": "connection reset",
    "BrokenPipeError": "connection reset",
    "HTTPConnectionClosed": "closed without an answer",
    "timeout": "timeout",
    "TimeoutError": "timeout",
}


def _words(exception: BaseException | None) -> Iterator[str | None]:
    """What is known of the exception, then of those that it came from."""
    while exception is not None:
        if isinstance(exception, HostNotAllowed):
            yield exception.kind
        if isinstance(exception, OSError):
            yield _NUMBERED.get(exception.errno or 0)
        for kind in type(exception).__mro__:
            yield _KNOWN.get(kind.__name__)
        # Where the library raises an error of its own, `original` is what it met: a timeout, say.
        before = exception.__cause__ or exception.__context__
        exception = before or getattr(exception, "original", None)
