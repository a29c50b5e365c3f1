"""The measured window of a stage, quarter second by quarter second."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.analysis.records import StageRecord
from loadtests.histograms import Histogram
from loadtests.phases import PhaseSums, merged
from loadtests.slices import LENGTH, Slice, seconds_in_flight


@dataclass(slots=True)
class Quarter:
    """
    One quarter second, or several in a row: what started in it, what ended in it, what was in
    flight. `ok` and `failed` are service times by start, `response` the response times of `ok`;
    `in_flight` is in seconds. `unsent` of the open model could not be started.
    """

    ok: Histogram
    failed: Histogram
    response: Histogram
    unsent: int = 0
    ended: int = 0
    succeeded: int = 0
    in_flight: float = 0.0
    seconds: float = LENGTH

    @property
    def started(self) -> int:
        return self.ok.count + self.failed.count


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured in one stage: its quarters in order, the slices that they are made of."""

    quarters: Sequence[Quarter]
    slices: Sequence[Slice]
    first: int  # index of the first quarter

    @property
    def kinds(self) -> Counter[str]:
        """Of failures, by start."""
        kinds: Counter[str] = Counter()
        for part in self.slices:
            kinds.update(part.kinds)
        return kinds

    @property
    def phases(self) -> PhaseSums:
        """Where the time of the successes went, by start."""
        return merged(part.phases for part in self.slices)

    def after(self, settled: int) -> "Window":
        """Without so many quarters at its beginning."""
        if not settled:
            return self
        first = self.first + settled
        slices = [part for part in self.slices if part.index >= first]
        return Window(self.quarters[settled:], slices, first)


def window(record: StageRecord, request: str | None = None) -> Window:
    """
    The quarters with settle <= time < settle + measure, of one kind of request or of all.

    A stage that is not complete ends with the last quarter that was reported.
    """
    stage = record.stage
    first = round(stage.settle / LENGTH)
    last = first + round(stage.measure / LENGTH)
    if not record.complete:
        last = min(last, max((part.index + 1 for part in record.slices), default=first))
    slices = [part for part in record.slices if request in (None, part.request)]
    flight = seconds_in_flight(slices, last)
    quarters = [
        Quarter(Histogram(), Histogram(), Histogram(), in_flight=flight[i])
        for i in range(first, last)
    ]
    slices = [part for part in slices if first <= part.index < last]
    for part in slices:
        quarter = quarters[part.index - first]
        quarter.ok.add(part.ok)
        quarter.failed.add(part.failed)
        # The closed model has no other intended start than the start.
        quarter.response.add(part.response if stage.model == "open" else part.ok)
        quarter.unsent += part.unsent
        quarter.ended += part.ended
        quarter.succeeded += part.succeeded
    return Window(quarters, slices, first)


def together(quarters: Sequence[Quarter]) -> Quarter:
    """Quarters of one or of several windows as a single one."""
    whole = Quarter(Histogram(), Histogram(), Histogram(), seconds=0.0)
    for quarter in quarters:
        whole.ok.add(quarter.ok)
        whole.failed.add(quarter.failed)
        whole.response.add(quarter.response)
        whole.unsent += quarter.unsent
        whole.ended += quarter.ended
        whole.succeeded += quarter.succeeded
        whole.in_flight += quarter.in_flight
        whole.seconds += quarter.seconds
    return whole


MOST_PIECES = 120  # of all windows together; more tell nothing new and take time


def pieces(windows: Sequence[Window]) -> list[list[Quarter]]:
    """Each window's quarters in order; several in a row as one where there are very many."""
    count = sum(len(one.quarters) for one in windows)
    long = -(-count // MOST_PIECES)
    if long <= 1:
        return [list(one.quarters) for one in windows]
    return [
        [together(one.quarters[i : i + long]) for i in range(0, len(one.quarters), long)]
        for one in windows
    ]
