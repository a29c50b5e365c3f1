"""What Locust's own tables show of a plan's requests: fed from slices, a few times a second."""

from collections.abc import Callable, Iterable
from time import time
from typing import Any

from locust.stats import StatsCSV, StatsCSVFileWriter, StatsEntry, bucket_response_time

from loadtests.characters import for_csv
from loadtests.recording.histograms import Histogram, merged
from loadtests.recording.messages import RequestSpec, Stage
from loadtests.recording.slices import Slice


class Statistics:
    """
    Feeds `environment.stats`, whose own way costs more for each request than the request.

    Counts and sizes are exact, response times are in Locust's own rounding, and their sum is exact
    to 0.05 %.

    Args:
        environment: Locust's.
        listener: of its request event; the recorder's.
    """

    def __init__(self, environment: Any, listener: Any) -> None:
        self._environment = environment
        self._listener = listener
        self._methods: dict[str, str] = {}
        self._silent = True
        self._failed: list[tuple[RequestSpec, int, BaseException | None]] = []

    def others_listen(self, request_event: Any) -> bool:
        """Whether somebody besides the recorder and Locust's own statistics hears of requests."""
        return any(
            one != self._listener and one.__module__ != "locust.runners"
            for one in request_event._handlers
        )

    def begin(self, stage: Stage, fired: bool) -> None:
        """
        Take up a stage.

        Args:
            fired: Locust's request event is fired for each of its requests.
        """
        self._silent = fired or stage.own_tasks
        self._methods |= {request.name: request.method for request in stage.requests}

    def log(
        self,
        request: RequestSpec,
        seconds: float,
        size: int,
        error: BaseException | None,
        recorded: bool,
    ) -> None:
        """Show one request that failed, or that no slice holds because its stage was over."""
        if recorded:
            self._failed.append((request, size, error))  # shown when its slice is
            return
        stats = self._environment.stats
        stats.log_request(request.method, request.name, seconds * 1000, size)
        if error is not None:
            stats.log_error(request.method, request.name, error)

    def feed(self, slices: Iterable[Slice]) -> None:
        """Add what was recorded since the last call."""
        failed, self._failed = self._failed, []
        if self._silent:
            return
        stats = self._environment.stats
        for request, size, error in failed:
            stats.log_error(request.method, request.name, error)
            for entry in (stats.get(request.name, request.method), stats.total):
                entry.total_content_length += size  # slices have the sizes of successes
        for part in slices:
            entry = _entry(part, stats)
            if entry is not None:
                stats.get(part.request, self._methods[part.request]).extend(entry)
                stats.total.extend(entry)


def _entry(part: Slice, stats: Any) -> StatsEntry | None:
    """The entry of Locust's statistics for a slice; failures were counted one by one."""
    times = merged((part.response if part.response.count else part.ok, part.failed))
    if not times.count:
        return None
    now = time()
    entry = StatsEntry(stats, part.request, "")
    entry.num_requests = times.count
    _spread(entry, times)
    entry.total_content_length = part.bytes
    entry.num_reqs_per_sec = {int(now): times.count}
    entry.last_request_timestamp = now
    return entry


def _spread(entry: StatsEntry, times: Histogram) -> None:
    recorded = times.recorded()
    # Whole milliseconds by their annotations; Locust itself adds up what it is given.
    total: Any = times.total() * 1000
    least: Any = recorded[0][0] * 1000
    most: Any = recorded[-1][0] * 1000
    entry.total_response_time = total
    entry.min_response_time, entry.max_response_time = least, most
    for seconds, count in recorded:
        entry.response_times[bucket_response_time(seconds * 1000)] += count


def install() -> None:
    """Keep formulas out of Locust's CSV files: names come from users and from services."""
    for kind, name in (
        *((StatsCSV, f"_{rows}_data_rows") for rows in ("requests", "failures", "exceptions")),
        (StatsCSVFileWriter, "_stats_history_data_rows"),
    ):
        setattr(kind, name, _without_formulas(getattr(kind, name)))


def _without_formulas(rows: Callable[..., None]) -> Callable[..., None]:
    return lambda self, writer, *args: rows(self, _Cells(writer), *args)


class _Cells:
    """A writer of CSV, whose texts are no formulas."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def writerow(self, cells: Iterable[str | float]) -> None:
        self._writer.writerow([for_csv(one) if isinstance(one, str) else one for one in cells])
