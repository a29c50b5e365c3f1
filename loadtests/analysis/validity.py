"""Whether a point may be believed; every reason in words.

Invalid: the generator or the mock was the bottleneck, something was lost, or the numbers contradict
each other. A service that fails every request is measured validly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.analysis import intervals
from loadtests.analysis.records import StageRecord
from loadtests.analysis.windows import Quarter
from loadtests.analysis.words import duration, percent
from loadtests.results import Estimate

BUSY = 0.9  # of one core: a generator is a single process
LATE = 0.010  # seconds; how late a generator's timer may wake ...
LATE_SHARE = 0.05  # ... as a part of the median response time
LITTLE = 0.02  # relative error of Little's law
LITTLE_REQUESTS = 500  # with fewer, its sampling error says nothing
TURN = 0.0003  # seconds at most that the client itself takes between an answer and the next request


@dataclass(frozen=True, slots=True)
class Validity:
    valid: bool = True
    problems: tuple[str, ...] = ()

    def and_of(self, other: "Validity") -> "Validity":
        return Validity(self.valid and other.valid, (*self.problems, *other.problems))


def of_level(
    repeats: Sequence[StageRecord],
    usable: Sequence[StageRecord],
    batches: Sequence[Quarter],
) -> Validity:
    """
    What concerns all points of one (deployment, level), but for the mock.

    Args:
        repeats: all its stages.
        usable: those whose numbers are in the point.
        batches: of all requests together, over the windows of the usable ones.
    """
    wrong = [
        *(_loss(record) for record in usable),
        *(_unfinished(record) for record in usable),
        _slow_generator(usable, batches),
        _little(usable[0].stage.level, usable[0].stage.think_time, batches),
    ]
    found = [text for text in wrong if text]
    left_out = len(repeats) - len(usable)
    notes = [f"{left_out} of {len(repeats)} repeats are not complete and left out"]
    return Validity(not found, (*found, *(notes if left_out else ())))


def of_request(whole: Quarter, times: Mapping[str, Estimate | None]) -> Validity:
    """What concerns one kind of request; failures and a lack of requests leave it valid."""
    if not whole.seconds:
        return Validity(valid=False)  # of_level says why
    if not whole.started:
        return Validity(
            valid=False,
            problems=("no request started in the window: measure for longer than an answer takes",),
        )
    if not whole.ok.count:
        return Validity(problems=("every request failed",))
    absent = [name for name, time in times.items() if time is None]
    if absent:
        missing = " and ".join(", ".join(absent).rsplit(", ", 1))
        return Validity(
            problems=(f"{whole.ok.count} successful requests are too few for {missing}",)
        )
    return Validity()


def _loss(record: StageRecord) -> str | None:
    reasons = [f"generator {lost.generator or '?'} {lost.reason}" for lost in record.losts]
    reasons = reasons or record.missing()
    return f"not complete: {'; '.join(reasons)}" if reasons else None


def _unfinished(record: StageRecord) -> str | None:
    count = sum(done.unfinished for done in record.dones.values())
    if not count:
        return None
    return f"{count} requests were given up without an answer: the slowest are not in the numbers"


def _slow_generator(records: Sequence[StageRecord], batches: Sequence[Quarter]) -> str | None:
    dones = [done for record in records for done in record.dones.values()]
    busiest = max((done.cpu for done in dones), default=0.0)
    if busiest > BUSY:
        return f"the load generator was the bottleneck: it used {percent(busiest)} of a core"
    latest = max((done.lag for done in dones), default=0.0)
    times = intervals.quantile([batch.ok for batch in batches], 0.5)
    if times is not None and latest > LATE and latest > LATE_SHARE * times.value:
        return (
            f"the load generator was the bottleneck: its timers woke {duration(latest)} late, "
            f"against a p50 of {duration(times.value)}"
        )
    return None


def _little(level: int, think_time: float, batches: Sequence[Quarter]) -> str | None:
    """
    Little's law, which holds whatever the distributions: N = in flight + thinking.

    The client's own work between two requests is neither; where answers take a millisecond it is a
    tenth of a user's time, and no contradiction.
    """
    seconds = [batch.seconds for batch in batches]
    users = [batch.in_flight + batch.ended * think_time for batch in batches]
    error = intervals.ratio_error(users, seconds)
    if error is None or sum(batch.started for batch in batches) < LITTLE_REQUESTS:
        return None
    seen = sum(users) / sum(seconds)
    turns = TURN * sum(batch.ended for batch in batches) / sum(seconds)
    slack = LITTLE * level + error
    if level - slack - turns <= seen <= level + slack:
        return None
    return (
        f"the numbers contradict each other: {level} users, but {seen:.1f} in flight or thinking "
        "(Little's law)"
    )
