"""Events of a stage that are no requests of its tasks: requests of on_start, own timings."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal

from loadtests.recording.histograms import Histogram
from loadtests.recording.messages import Apart
from loadtests.recording.slices import OTHER_NAMES

METHODS = frozenset(
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
)
"""Request types that are requests (RFC 9110 and 5789); a locustfile can report any other type."""
MOST = 200  # rows; names may have numbers in them

Kind = Literal["on_start", "timing", "background"]


@dataclass(slots=True)
class _Row:
    times: Histogram = field(default_factory=Histogram)
    failed: int = 0


class EventSorter:
    """
    Sorts events, and keeps the rows of those that are no requests of a task.

    Args:
        requests, metrics: request types and names that are requests, and that are none, whatever
            their type.
        starting: whether the user that sends is in on_start.
        background: whether no user sends, as where a handler of `test_start` does.
    """

    def __init__(
        self,
        requests: Collection[str] = (),
        metrics: Collection[str] = (),
        starting: Callable[[], bool] = lambda: False,
        background: Callable[[], bool] = lambda: False,
    ) -> None:
        self._requests, self._metrics = frozenset(requests), frozenset(metrics)
        self._starting, self._background = starting, background
        self._rows: dict[tuple[Kind, str, str], _Row] = {}

    def kind(self, request_type: str, name: str) -> Kind | None:
        """What an event is; None: a request of a task."""
        if not self._is_request(request_type, name):
            return "timing"
        if self._starting():
            return "on_start"
        return (
            "background" if self._background() and not self._is_named(request_type, name) else None
        )

    def record(
        self, kind: Kind, request_type: str, name: str, response_time: float, failed: bool
    ) -> None:
        """
        Count an event.

        Args:
            response_time: as it was reported, in milliseconds if it is a time.
        """
        key = kind, str(request_type), str(name)
        if key not in self._rows and len(self._rows) >= MOST:
            key = kind, str(request_type), OTHER_NAMES
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row()
        row.times.record(response_time / 1000)
        row.failed += failed

    def forget(self) -> None:
        """Drop what was counted: another stage begins."""
        self._rows.clear()

    def rows(self) -> tuple[Apart, ...]:
        """What was counted since `forget`."""
        return tuple(
            Apart.of(kind, request_type, name, row.times, row.failed)
            for (kind, request_type, name), row in sorted(self._rows.items())
        )

    def _is_request(self, request_type: str, name: str) -> bool:
        if name in self._metrics or request_type in self._metrics:
            return False
        if self._is_named(request_type, name):
            return True
        return str(request_type).upper() in METHODS

    def _is_named(self, request_type: str, name: str) -> bool:
        """Whether the plan says that this is a request."""
        return name in self._requests or request_type in self._requests
