"""Whether a point may be believed; every reason in words.

Invalid: the generator or the mock was the bottleneck, something was lost, or the numbers contradict
each other. A service that fails every request is measured validly.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadtests.analysis.checks.users import NOT_HELD, not_held
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.windows import Quarter, Window
from loadtests.analysis.numbers import duration, load, percent
from loadtests.analysis.stats import intervals
from loadtests.recording.messages import TICK, Stage
from loadtests.recording.slices import LENGTH
from loadtests.results import Estimate, Limit, Point, Resource

BUSY = 0.9
"""
Of a core. A generator is a single process; the last tenth of a core goes to its other work, and who
arrives while it is nine tenths busy waits for it ten times as long as it works on him (M/M/1).
"""
LATE = 0.010
"""
Seconds at the 99th percentile that a generator's timer may wake late, or a request be sent. An idle
process is late by 0.1 ms, and now and then by some ms when the kernel has other things to do.
Where answers are faster than this, it is the median answer: what is as late as that makes the tail.
"""
LEAST_LATE = 0.002  # seconds; of a still faster service the times below it are not judged
LATE_SHARE = 0.05  # of the median response time: below it, lateness is not seen
LITTLE = 0.02
"""
Relative error of Little's law. It holds to the last user where nothing is lost; a hundredth comes
from a stage's edges, clocks of several generators and settling, apart from its sampling error.
"""
POOLED = 0.1  # of the time of requests, that they wait for a connection of their own pool
LITTLE_REQUESTS = 500  # with fewer, its sampling error says nothing
TURN = 0.0003
"""Seconds at most that the client itself takes between an answer and the next request."""
CHANCE = 4.0
"""Standard deviations of a Poisson count: one stage in 16,000 is further off by chance."""
_NOTHING_BUT_FAILURES = "every request failed"
_NO_REQUEST = "no request started in the window"
_KINDS = 3  # of failures that are listed
DESCRIPTORS, NO_PORTS = OWN_FAILURES = "out of descriptors", "out of ports"
"""Kinds of failures, as the recorder calls them; both are the generator's own."""
FAR = 0.1
"""The share of failed requests above which the service fails, whatever disturbed it."""


@dataclass(frozen=True, slots=True)
class Validity:
    """`limit`: what was the bottleneck in place of the service, where that is why it is invalid."""

    valid: bool = True
    problems: tuple[str, ...] = ()
    limit: Limit | None = None

    def and_of(self, other: "Validity") -> "Validity":
        return Validity(
            self.valid and other.valid,
            (*self.problems, *other.problems),
            self.limit or other.limit,
        )


def answered_with_failures(point: Point) -> float:
    """The share of the requests that were answered with a status that is a failure."""
    if not point.requests or DESCRIPTORS in point.errors.kinds or NO_PORTS in point.errors.kinds:
        return 0.0
    statuses = ((kind.partition(" ")[0], number) for kind, number in point.errors.kinds.items())
    count = sum(number for status, number in statuses if status.isdigit())
    return min(count / point.requests, 1.0)


def failures_first(problems: Sequence[str]) -> list[str]:
    """
    The problems with that of a service that fails every request before all others, then what kept
    the locustfile from sending any.
    """
    foremost = (_NOTHING_BUT_FAILURES, NOT_HELD, _NO_REQUEST)

    def place(text: str) -> int:
        return next((n for n, start in enumerate(foremost) if text.startswith(start)), 3)

    return sorted(problems, key=place)


def spoilt(resource: Resource, reasons: Iterable[str | None]) -> Limit | None:
    """What was measured in place of the service, if there is a reason to say so."""
    why = next(filter(None, reasons), None)
    return Limit(resource=resource, why=why) if why else None


def of_level(
    repeats: Sequence[StageRecord],
    usable: Sequence[StageRecord],
    batches: Sequence[Quarter],
    kinds: Mapping[str, int],
) -> Validity:
    """
    What concerns all points of one (deployment, level), but for the mock and the host.

    Args:
        repeats: all its stages.
        usable: those whose numbers are in the point.
        batches: of all requests together, over the windows of the usable ones.
        kinds: of their failures, with their counts.
    """
    generator = [
        _exhausted(kinds),
        _own_pool(usable, batches),
        _busy_generator(usable) or _late_generator(usable, batches),
    ]
    wrong = [
        *dict.fromkeys(_death(record) for record in repeats),
        *(_loss(record) for record in usable),
        *(_unfinished(record) for record in usable),
        *dict.fromkeys(not_held(record) for record in usable),
        *(_carried(record) for record in usable),
        *generator,
        *_load(usable, batches),
    ]
    found = [text for text in wrong if text]
    left_out = len(repeats) - len(usable)
    notes = [f"{left_out} of {len(repeats)} repeats are not complete and left out"]
    return Validity(
        not found,
        (*found, *(notes if left_out else ())),
        spoilt("generator", generator),
    )


def unusable(
    record: StageRecord, batches: Sequence[Quarter], kinds: Mapping[str, int]
) -> list[str]:
    """
    What makes a single stage meaningless, however often others like it are played: something is
    lost, or the generator itself is at its limit. That it was disturbed now and then is not.
    """
    wrong = [
        _death(record),
        _loss(record),
        _unfinished(record),
        not_held(record),
        _carried(record),
        _exhausted(kinds),
        _own_pool([record], batches),
        _busy_generator([record]),
        *_load([record], batches),
    ]
    return [text for text in wrong if text]


def of_users(windows: Sequence[Window], stage: Stage) -> Validity:
    """A note where users hang, which is what the service does and leaves the level valid."""
    hung = max((one.hung for one in windows), default=0)
    unanswered = max((one.unanswered for one in windows if not one.hung), default=0)
    notes = []
    if hung:
        notes.append(
            f"{hung} of {stage.level} users waited for one answer through the whole window of "
            f"{duration(stage.measure)}; their requests count, with all that started before it"
        )
    if unanswered:
        notes.append(
            f"{unanswered} of {stage.level} users waited in vain for an answer from one moment on "
            "until the window ended"
        )
    return Validity(problems=tuple(notes))


def of_request(
    whole: Quarter, times: Mapping[str, Estimate | None], kinds: Mapping[str, int]
) -> Validity:
    """What concerns one kind of request; failures and a lack of requests leave it valid."""
    if not whole.seconds:
        return Validity(valid=False)  # of_level says why
    if not whole.started:
        return Validity(
            valid=False,
            problems=(
                f"{_NO_REQUEST}: no task sent one by a client of Locust, or an answer and a pause "
                "take longer than it; measure for longer then",
            ),
        )
    if not whole.ok.count:
        most = sorted(kinds, key=lambda kind: -kinds[kind])[:_KINDS]
        return Validity(
            problems=(": ".join(filter(None, (_NOTHING_BUT_FAILURES, ", ".join(most)))),)
        )
    absent = [name for name, time in times.items() if time is None]
    if absent:
        missing = " and ".join(", ".join(absent).rsplit(", ", 1))
        return Validity(
            problems=(f"{whole.ok.count} successful requests are too few for {missing}",)
        )
    return Validity()


def _death(record: StageRecord) -> str | None:
    return f"the {record.died} ended before the window was over" if record.died else None


def _loss(record: StageRecord) -> str | None:
    reasons = [f"generator {lost.generator or '?'} {lost.reason}" for lost in record.losts]
    reasons = reasons or record.missing()
    return f"not complete: {'; '.join(reasons)}" if reasons else None


def _unfinished(record: StageRecord) -> str | None:
    count = sum(done.unfinished for done in record.dones.values())
    if not count or not record.stage.own_tasks:
        return None  # of the plan's own requests they are failures
    return f"{count} requests were given up without an answer: the slowest are not in the numbers"


def _carried(record: StageRecord) -> str | None:
    carried = record.usage.carried if record.usage else None
    if not carried:
        return None
    calls = "1 call" if carried == 1 else f"{carried:,} calls"
    return f"the upstream still had to serve {calls} of the stage before when it began"


def _exhausted(kinds: Mapping[str, int]) -> str | None:
    """The generator could not open a connection: these failures are not the service's."""
    if count := kinds.get(DESCRIPTORS, 0):
        return (
            f"the load generator ran out of file descriptors, {count:,} times: raise the limit "
            "(`ulimit -Hn`) above the number of users, or let several generators share them "
            "(--processes)"
        )
    if count := kinds.get(NO_PORTS, 0):
        return (
            f"the load generator ran out of ports, {count:,} times: have the service keep its "
            "connections open, or widen net.ipv4.ip_local_port_range"
        )
    return None


def _own_pool(records: Sequence[StageRecord], batches: Sequence[Quarter]) -> str | None:
    """Requests of a locustfile that wait for each other before they are sent."""
    seconds = sum(batch.seconds for batch in batches)
    flight = sum(batch.in_flight for batch in batches)
    waits = sum(done.pool_waits for record in records for done in record.dones.values())
    length = sum(record.stage.measure for record in records)
    if not seconds or not length or waits / length <= POOLED * flight / seconds:
        return None
    share = min(waits / length * seconds / flight, 1.0) if flight else 1.0
    return (
        "the load generator was the bottleneck: requests waited "
        f"{percent(share)} of their time for a connection of the locustfile's own pool; give it "
        "as many as there are users (maxsize of pool_manager, concurrency of client_pool)"
    )


def _busy_generator(records: Sequence[StageRecord]) -> str | None:
    dones = [done for record in records for done in record.dones.values()]
    busiest = max((done.cpu for done in dones), default=0.0)
    if busiest <= BUSY:
        return None
    return f"the load generator was the bottleneck: it used {percent(busiest)} of a core"


def _late_generator(records: Sequence[StageRecord], batches: Sequence[Quarter]) -> str | None:
    dones = [done for record in records for done in record.dones.values()]
    if any(done.lateness for done in dones):
        return None  # what that can have done is known; see noise
    latest = max((done.lag for done in dones), default=0.0)
    sent = max((done.late for done in dones), default=0.0)
    if max(latest, sent) <= LEAST_LATE:
        return None
    times = intervals.quantile([batch.ok for batch in batches], 0.5)
    if times is None:
        return None
    for late, who in ((sent, "it sent requests"), (latest, "its timers woke")):
        if late > max(min(LATE, times.value), LEAST_LATE, LATE_SHARE * times.value):
            return (
                f"the load generator was the bottleneck: {who} {duration(late)} late, "
                f"against a p50 of {duration(times.value)}"
            )
    return None


def _load(records: Sequence[StageRecord], batches: Sequence[Quarter]) -> list[str | None]:
    """Whether the load was what was asked for."""
    stage = records[0].stage
    if stage.model == "open":
        return [_unsent(batches), _rate(records, batches)]
    if stage.own_tasks:
        return []  # nobody knows how long these think
    return [_little(stage.level, stage.think_time, _oversleeping(records), batches)]


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


def _rate(records: Sequence[StageRecord], batches: Sequence[Quarter]) -> str | None:
    """
    The requests that were meant are as many as the rate says, as nearly as chance allows.

    Even arrivals are known to one for each generator and edge of a window.
    """
    stage = records[0].stage
    meant = sum(batch.started + batch.unsent for batch in batches)
    seconds = sum(batch.seconds for batch in batches)
    slack = 2 * sum(len(record.dones) for record in records)
    chance = CHANCE * math.sqrt(stage.level * seconds) if stage.arrivals == "poisson" else 0.0
    if abs(meant - stage.level * seconds) <= chance + slack:
        return None
    return (
        f"the load was not what was asked for: {meant / seconds:.1f} requests a second were to "
        f"come instead of {stage.level:,}"
    )


def _oversleeping(records: Sequence[StageRecord]) -> float:
    """Seconds that a generator's timer wakes late in the mean: a pause is longer by that."""
    late = [one.late for record in records for done in record.dones.values()
            for one in done.lateness]  # fmt: skip
    timers = math.fsum(max(LENGTH - one, TICK) for one in late) / TICK
    return math.fsum(late) / timers if timers else 0.0


def _little(
    level: int, think_time: float, oversleeping: float, batches: Sequence[Quarter]
) -> str | None:
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
    turn = TURN + (oversleeping if think_time else 0.0)
    turns = turn * sum(batch.ended for batch in batches) / sum(seconds)
    slack = LITTLE * level + error
    if level - slack - turns <= seen <= level + slack:
        return None
    return (
        f"the numbers contradict each other: {load(level, 'closed')}, but {seen:.1f} in flight or "
        "thinking (Little's law)"
    )
