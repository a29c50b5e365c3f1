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
from loadtests.stages import Stage

BUSY = 0.9  # of one core: a generator is a single process
LATE = 0.010  # seconds; how late a generator's timer may wake ...
LATE_SHARE = 0.05  # ... as a part of the median response time
LITTLE = 0.02  # relative error of Little's law
LITTLE_REQUESTS = 500  # with fewer, its sampling error says nothing
CHANCE = 4  # standard deviations of a Poisson count: one in 16,000 is further off
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
        *_load(usable[0].stage, batches),
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
    sent = max((done.late for done in dones), default=0.0)
    times = intervals.quantile([batch.ok for batch in batches], 0.5)
    if times is None:
        return None
    for late, who in ((sent, "it sent requests"), (latest, "its timers woke")):
        if late > LATE and late > LATE_SHARE * times.value:
            return (
                f"the load generator was the bottleneck: {who} {duration(late)} late, "
                f"against a p50 of {duration(times.value)}"
            )
    return None


def _load(stage: Stage, batches: Sequence[Quarter]) -> list[str | None]:
    """Whether the load was what was asked for."""
    if stage.model == "closed":
        return [_little(stage.level, stage.think_time, batches)]
    return [_unsent(batches), _rate(stage, batches)]


def _unsent(batches: Sequence[Quarter]) -> str | None:
    unsent = sum(batch.unsent for batch in batches)
    if not unsent:
        return None
    meant = unsent + sum(batch.started for batch in batches)
    return (
        f"{unsent:,} of {meant:,} requests could not be sent: as many as possible were in flight "
        "or the generator was too late; lower the rate, raise the limit of open files "
        "(ulimit -n) or take more --processes"
    )


def _rate(stage: Stage, batches: Sequence[Quarter]) -> str | None:
    """The requests that were meant are as many as the rate says, as nearly as chance allows."""
    meant = sum(batch.started + batch.unsent for batch in batches)
    seconds = sum(batch.seconds for batch in batches)
    # Even arrivals of a window: one more or less at its ends, and as many at those of its repeats.
    chance = CHANCE * (stage.level * seconds) ** 0.5 if stage.arrivals == "poisson" else 0.0
    if abs(meant - stage.level * seconds) <= chance + len(batches) + 1:
        return None
    return (
        f"the load was not what was asked for: {meant / seconds:.1f} requests a second were to "
        f"come instead of {stage.level:,}"
    )


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
