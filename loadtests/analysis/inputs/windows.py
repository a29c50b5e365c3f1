"""The measured window of a stage, quarter second by quarter second."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from scipy import special

from loadtests.analysis.inputs.records import StageRecord
from loadtests.recording.histograms import Histogram
from loadtests.recording.histograms import merged as merged_times
from loadtests.recording.messages import Stage
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


@dataclass(frozen=True, slots=True)
class Rate:
    """
    Throughput as a ratio of sums over pieces, for `intervals.ratio`: successes a second are
    sum(successes) / sum(seconds).
    """

    successes: Sequence[float]
    seconds: Sequence[float]

    @property
    def value(self) -> float:
        """Successes a second; 0 where nothing was measured."""
        total = math.fsum(self.seconds)
        return math.fsum(self.successes) / total if total else 0.0


def throughput(
    stage: Stage,
    quarters: Sequence[Quarter],
    every: Sequence[Quarter] = (),
    windows: Sequence[Window] = (),
) -> Rate:
    """
    Successes a second of a stage, or of several of one level.

    In the closed model each of N users takes a cycle for each request: the answer, then a pause.
    So N / (R + Z), with the mean answer R and the mean pause Z, is the throughput (Little's law;
    Glynn and Whitt, Indirect estimation via L = lambda W, Operations Research 1989). It differs
    from counting by what the window's two ends cut off, which is much where all answer at the same
    time: windows of 1.25 s hold two or three whole waves of answers of 0.5 s. Where the two differ
    by more than the ends can cut off, some users had no part in what started in the window (they
    hang), or few very long answers reach far out of it, and the successes are counted. So they are
    where quick answers overtake the others, in the open model, and where users of an own locustfile
    pause as they like.

    Args:
        stage: one of those that were measured; `level`, `think_time` and the model are read.
        quarters: of one kind of request or of all, in order.
        every: the same quarters of all requests, where the others are of one kind.
        windows: those that the quarters are of.
    """
    every = every or quarters
    counted = Rate([one.succeeded for one in quarters], [one.seconds for one in quarters])
    if not _cycles_are_known(stage, every):
        return counted
    cycles = _cycles(stage, every)
    missing = abs(_missing(stage, every, cycles))
    if missing > _cut_off(stage, every, cycles, windows) or unaccounted(stage, every, windows):
        return counted
    return Rate([one.ok.count for one in quarters], [cycle / stage.level for cycle in cycles])


def unaccounted(stage: Stage, quarters: Sequence[Quarter], windows: Sequence[Window]) -> float:
    """
    Return the share of its users' time that what started in a window leaves out, where that is more
    than the ends of the window cut off; 0 otherwise.

    A request that began before the window and took most of it is in no number, and those that began
    in the window are the quick ones. One that failed would be in no response time anyway. A window
    of fewer than two cycles can be cut off by as much as it has; there, requests that began before
    it and took much longer show that they were overtaken.
    """
    if not _cycles_are_known(stage, quarters) or any(one.hung or one.unanswered for one in windows):
        return 0.0
    cycles = _cycles(stage, quarters)
    missing = _missing(stage, quarters, cycles) - math.fsum(one.failing for one in windows)
    share = missing / (stage.level * math.fsum(one.seconds for one in quarters))
    if share <= _MUCH:
        return 0.0
    if missing > _cut_off(stage, quarters, cycles, windows) or _overtakes(stage, quarters, windows):
        return share
    return 0.0


def _overtakes(stage: Stage, quarters: Sequence[Quarter], windows: Sequence[Window]) -> bool:
    count = sum(one.ok.count for one in quarters)
    earlier = sum(one.before[0] for one in windows)
    if not count or not earlier or count >= 2 * stage.level * len(windows):
        return False
    before = math.fsum(one.before[1] for one in windows) / earlier
    return before > _LONGER * math.fsum(one.ok.total() for one in quarters) / count


def _cycles_are_known(stage: Stage, quarters: Sequence[Quarter]) -> bool:
    closed = stage.model == "closed" and not stage.own_tasks
    return closed and any(one.started for one in quarters)


def _cycles(stage: Stage, quarters: Sequence[Quarter]) -> list[float]:
    """Seconds that the cycles take which started in each quarter, all users together."""
    followed = sum(one.followed for one in quarters)
    pause = sum(one.idle for one in quarters) / followed if followed else stage.think_time
    return [one.ok.total() + one.failed.total() + pause * one.started for one in quarters]


def _missing(stage: Stage, quarters: Sequence[Quarter], cycles: Sequence[float]) -> float:
    """Seconds of users that are in no cycle; negative where cycles reach out of the windows."""
    return stage.level * math.fsum(one.seconds for one in quarters) - math.fsum(cycles)


def _cut_off(
    stage: Stage, quarters: Sequence[Quarter], cycles: Sequence[float], windows: Sequence[Window]
) -> float:
    """
    Seconds of users by which the ends of windows can make cycles and time differ.

    Where all users answer at the same time that is one cycle of each. Where they do not, the rests
    at the two ends differ by chance: 2 N of them, each of a cycle in the mean and as variable.
    """
    cycle = math.fsum(cycles) / sum(one.started for one in quarters)
    stretches = sum(one.stretches for one in windows) or 1
    return stretches * cycle * max(stage.level, _SCATTER * math.sqrt(2 * stage.level))


_SCATTER = 3.0  # standard errors
_MUCH = 0.25  # of the users' time
_LONGER = 1.25  # times; a queue that builds up has its short answers first


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
