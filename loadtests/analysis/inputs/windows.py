"""The measured window of a stage, quarter second by quarter second."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.light_scipy import special
from loadtests.recording.histograms import Histogram
from loadtests.recording.histograms import merged as merged_times
from loadtests.recording.phases import PhaseSums, merged
from loadtests.recording.slices import LENGTH, Slice, seconds_in_flight


@dataclass(slots=True)
class Quarter:
    """
    One quarter second, or several in a row: what started in it, what ended in it, what was in
    flight. `ok` and `failed` are service times by start, `response` the response times of `ok`;
    `in_flight` is in seconds. `unsent` of the open model could not be started. `bytes`: of the
    bodies of `ok`.

    The closed model has no other intended start than the start, so there `response` is `ok` itself.
    """

    ok: Histogram
    failed: Histogram
    response: Histogram
    unsent: int = 0
    ended: int = 0
    succeeded: int = 0
    in_flight: float = 0.0
    seconds: float = LENGTH
    followed: int = 0
    idle: float = 0.0
    bytes: int = 0

    @property
    def started(self) -> int:
        return self.ok.count + self.failed.count

    @property
    def closed(self) -> bool:
        """Whether response times are service times."""
        return self.response is self.ok


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured in one stage: its quarters in order, the slices that they are made of."""

    quarters: Sequence[Quarter]
    slices: Sequence[Slice]
    places: Sequence[int]  # the index of each quarter; with gaps where some are left out
    model: str
    hung: int = 0
    """
    Requests of users that waited for one answer from before the window to its end, where they are
    enough of them that the window alone would be wrong; all that started before it counts, too.
    """
    unanswered: int = 0
    """
    Requests of a closed window that were in flight at its end, failed later, and come from one
    moment on: from before the window (those of `hung`), or from a moment in it.
    """
    failing: float = 0.0
    """Seconds of the window in which requests were in flight that began before it and failed."""
    before: tuple[int, float] = (0, 0.0)
    """Successes of a stage that began before its window, and the seconds that they took."""

    @property
    def ended(self) -> int:
        """Requests that ended in the window, whenever they started."""
        return sum(quarter.ended for quarter in self.quarters)

    @property
    def kinds(self) -> Counter[str]:
        """The kinds of failures, by start."""
        kinds: Counter[str] = Counter()
        for part in self.slices:
            kinds.update(part.kinds)
        return kinds

    @property
    def statuses(self) -> Counter[str]:
        """The statuses of successes, by start."""
        statuses: Counter[str] = Counter()
        for part in self.slices:
            statuses.update(part.statuses)
        return statuses

    @property
    def traced(self) -> list[PhaseSums]:
        """Where the time of the traced successes of each quarter went, by start."""
        quarters: dict[int, list[PhaseSums]] = {place: [] for place in self.places}
        for part in self.slices:
            if part.phases and quarters:  # what started before the window is in its first quarter
                quarters[max(part.index, self.places[0])].append(part.phases)
        return [merged(parts) for parts in quarters.values()]

    @property
    def stretches(self) -> int:
        """How many there are without a gap."""
        return 1 + sum(after != before + 1 for before, after in pairwise(self.places))

    def after(self, settled: int) -> "Window":
        """The window without its first `settled` quarters."""
        if not settled:
            return self
        places = self.places[settled:]
        early = [part for part in self.slices if part.index < self.places[0]]
        slices = [part for part in self.slices if part.index >= places[0]]
        quarters = list(self.quarters[settled:])
        if early:
            quarters[0] = together([_started(early, self.model), quarters[0]])
        return replace(self, quarters=quarters, slices=[*early, *slices], places=places)


def window(record: StageRecord, request: str | None = None) -> Window:
    """
    The quarters with settle <= time < settle + measure, of one kind of request or of all.

    A stage that is not complete ends with the last quarter that was reported. Where users hang
    (`_hung`), or all pause, the first quarter also holds all that started before the window: those
    that hang start nothing in it, and the others alone would look well. The quarters that the
    record leaves out are not there.
    """
    stage = record.stage
    first = round(stage.settle / LENGTH)
    last = first + round(stage.measure / LENGTH)
    if not record.complete:
        last = min(last, max((part.index + 1 for part in record.slices), default=first))
    hung = _hung(record, first, last)
    slices = [part for part in record.slices if request in (None, part.request)]
    flight = seconds_in_flight(slices, last)
    quarters = [
        replace(_empty(stage.model == "closed"), in_flight=flight[i], seconds=LENGTH)
        for i in range(first, last)
    ]
    idle = stage.model == "closed" and not any(
        part.started for part in record.slices if first <= part.index < last
    )
    early = [part for part in slices if part.index < first] if hung or idle else []
    slices = [part for part in slices if first <= part.index < last]
    for part in slices:
        quarter = quarters[part.index - first]
        _add_started(quarter, part)
        quarter.ended += part.ended
        quarter.succeeded += part.succeeded
    out = {first + index for index in record.cut}
    places = [index for index in range(first, last) if index not in out]
    quarters = [quarters[index - first] for index in places]
    slices = [part for part in slices if part.index not in out]
    if early and quarters:
        quarters[0] = together([_started(early, stage.model), quarters[0]])
    unanswered = _unanswered(record, first, last, hung)
    failing = _failing(record, first, last)
    before = [part.ok for part in record.slices if part.index < first]
    return Window(
        quarters,
        [*early, *slices],
        places,
        stage.model,
        hung,
        unanswered,
        failing,
        (sum(times.count for times in before), math.fsum(times.total() for times in before)),
    )


def _started(slices: Sequence[Slice], model: str) -> Quarter:
    """What started in these slices, and nothing else of them."""
    quarter = _empty(model == "closed")
    for part in slices:
        _add_started(quarter, part)
    return quarter


def _empty(closed: bool) -> Quarter:
    times = Histogram()
    return Quarter(times, Histogram(), times if closed else Histogram(), seconds=0.0)


def _add_started(quarter: Quarter, part: Slice | Quarter) -> None:
    quarter.ok.add(part.ok)
    quarter.failed.add(part.failed)
    if not quarter.closed:
        quarter.response.add(part.response)
    quarter.unsent += part.unsent
    quarter.followed += part.followed
    quarter.idle += part.idle
    quarter.bytes += part.bytes


def _hung(record: StageRecord, first: int, last: int) -> int:
    """
    How many requests were in flight from before a closed window to its end; 0 where they are no
    more than the requests that started in the window let expect.

    A window shows requests by their start, which gives each as much weight as it has: long ones
    would be counted too often by being in flight. But a user that hangs starts none.
    """
    if record.stage.model == "open":
        return 0  # requests come whatever becomes of those before
    early = [part for part in record.slices if part.index < first]
    hung = sum(_lasted(part, (last - part.index - 0.5) * LENGTH) for part in early)
    if not hung:
        return 0
    later = [part for part in record.slices if first <= part.index < last]
    before, within = (
        sum(part.ok.count + part.failed.count for part in parts) for parts in (early, later)
    )
    long = sum(_lasted(part, (last - first) * LENGTH) for part in later)
    chance = special.bdtrc(hung - 1, hung + long, before / (before + within)) if within else 0.0
    return hung if chance < _CHANCE else 0


def _unanswered(record: StageRecord, first: int, last: int, hung: int) -> int:
    """
    Requests of users that wait in vain from one moment on until the window ends, and longer; 0
    where failures come as evenly as requests do.

    Such a user has one failure at most, of the hundreds of requests that it would have sent. But
    where a few requests fail slowly at any time, some of these are in flight at any time, too.
    """
    if record.stage.model == "open":
        return 0
    parts = [part for part in record.slices if part.index < last]
    if not any(part.failed.count for part in parts):
        return 0
    usual = merged_times(part.ok for part in parts)
    least = _IN_VAIN * usual.quantile(0.99) if usual.count else 0.0
    early, late, started = 0, Counter[int](), Counter[int]()
    slow = 0  # failures of the window that take as long, whether they end in it or not
    for part in parts:
        in_vain = _beyond(part.failed, max((last - part.index - 0.5) * LENGTH, least))
        if part.index < first:
            early += in_vain
            continue
        late[part.index] += in_vain
        started[part.index] += part.ok.count + part.failed.count
        slow += _beyond(part.failed, least)
    if hung:
        return early + late.total()
    for begin in range(first, last):
        together = late[begin] + late[begin + 1]  # the moment may be where two quarters meet
        if together > 1:
            share = (started[begin] + started[begin + 1]) / started.total()
            if special.bdtrc(together - 1, slow, share) * (last - first) < _CHANCE:
                return late.total()
    return 0


def _failing(record: StageRecord, first: int, last: int) -> float:
    return math.fsum(
        count
        * min(max(seconds - (first - part.index - 0.5) * LENGTH, 0.0), (last - first) * LENGTH)
        for part in record.slices
        if part.index < first and part.failed.count
        for seconds, count in part.failed.recorded()
    )


def _lasted(part: Slice, seconds: float) -> int:
    """How many requests took at least so long."""
    return sum(_beyond(one, seconds) for one in (part.ok, part.failed))


def _beyond(times: Histogram, seconds: float) -> int:
    return times.count - times.up_to(seconds) if times.count else 0


def together(quarters: Sequence[Quarter]) -> Quarter:
    """Quarters of one or of several windows as a single one."""
    whole = _empty(all(quarter.closed for quarter in quarters))
    for quarter in quarters:
        _add_started(whole, quarter)
        whole.ended += quarter.ended
        whole.succeeded += quarter.succeeded
        whole.in_flight += quarter.in_flight
        whole.seconds += quarter.seconds
    return whole


_CHANCE = 1e-4  # that as many hang although all that start are alike
_IN_VAIN = 5.0  # times the p99 of the successes: who waits for longer is not answered any more

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
