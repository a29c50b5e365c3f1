"""One block of a comparison: a stage in which one of two deployments was loaded, in few numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from loadtests.analysis.checks import disturbances, generator, host, mock
from loadtests.analysis.checks.noise import disturbance
from loadtests.analysis.checks.noise_sources import noise
from loadtests.analysis.inputs import cpu
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.resources import resources
from loadtests.analysis.inputs.sample_parts import Sample
from loadtests.analysis.inputs.user_time import UserTime
from loadtests.analysis.inputs.windows import Quarter, Window, pieces, together, window
from loadtests.analysis.stats.sample_size import enough
from loadtests.analysis.verdicts import covariates
from loadtests.recording.histograms import Histogram, merged
from loadtests.recording.messages import Stage
from loadtests.results import QUANTILES

FARTHEST = 100.0  # times as slow; what is infinitely slow counts as this


@dataclass(frozen=True, slots=True)
class Block:
    """
    What one stage showed.

    `values` by metric: p50, p95, p99 (seconds, a failure being infinitely slow: math.inf),
    throughput (successes a second), errors (failures over requests), cpu (seconds a request),
    memory (bytes), size (bytes of a success' body) and calls (of the upstream, for each request).
    What could not be measured is absent. `wrong`: why the block cannot be used. `disturbed`: why it
    would not be believed by itself, for something else went on on the machine; here it is noise,
    which the order of the blocks spreads over both.

    `length`: seconds to settle, and seconds that were measured. `cycle`: seconds from one request
    of a user to the next, of the successes; None when nothing succeeded. `rate`: requests a second
    that come. `growth`: in the open model, the part of the requests that came in the window by
    which the number in flight grew meanwhile. `disturbances`: what was taken from generator, mock
    and deployment, measured apart from the answers; `spoilt`: nothing of the window is left without
    what stood still, or others took much more than in the other blocks, so that this one says
    nothing. See `covariates`.
    """

    deployment: str
    level: int
    at: float  # monotonic seconds, of the window's beginning
    requests: int
    values: Mapping[str, float]
    wrong: Sequence[str] = ()
    disturbed: Sequence[str] = ()
    kinds: Mapping[str, int] = field(default_factory=dict)  # of failures
    statuses: Mapping[str, int] = field(default_factory=dict)  # of successes
    length: tuple[float, float] | None = None
    cycle: float | None = None
    rate: float = 0.0
    growth: float | None = None
    disturbances: Mapping[str, float] = field(default_factory=dict)
    spoilt: bool = False


def block(record: StageRecord, samples: Sequence[Sample]) -> Block:
    """The block that a stage was; one of which nothing came back cannot be used."""
    stage = record.stage
    disturbed = disturbances.of_record(record, samples)
    seen = window(replace(record, cut=()))  # `_clear` leaves out what stood still, of times alone
    whole = together(seen.quarters)
    kinds = dict(seen.kinds)
    [batches] = pieces([seen])
    used = resources([record], samples)
    wrong = [
        *generator.unusable(record, batches, kinds),
        *mock.two_upstreams(record, samples),
        *host.of_mock(used).problems,
    ]
    amount = noise(
        [disturbed],
        samples,
        calls=cpu.calls_per_request([record]) or 1.0,
        cycle=stage.level * whole.seconds / whole.started
        if stage.model == "closed" and whole.started
        else None,
    )
    moved = disturbance(amount, whole.response)
    if amount.failures:
        wrong += moved.problems
    verdict = (
        generator.of_level([record], [record], batches, kinds)
        .and_of(mock.of_mock([record], samples))
        .and_of(host.of_host([record], samples))
        .and_of(moved)
    )
    requests = whole.started
    cycle, rate = _pace(record)
    statuses = seen.statuses
    clear = _clear(seen, covariates.stalls(record, samples))
    values = {
        name: value
        for name, q in QUANTILES.items()
        for part in [clear if clear and enough(clear.started, q) else whole]
        if (value := slow_quantile(part.response, part.failed.count, q)) is not None
    }
    if whole.seconds and requests:
        time = UserTime(stage, seen.quarters, [seen])
        values["throughput"] = time.throughput(seen.quarters).value
        values["errors"] = whole.failed.count / requests
    values |= _processes(record, used, whole)
    if statuses and whole.ok.count:
        values["size"] = whole.bytes / whole.ok.count
    return Block(
        deployment=stage.deployment,
        level=stage.level,
        at=record.window[0] if record.window else 0.0,
        requests=requests,
        values=values,
        wrong=wrong,
        disturbed=() if verdict.valid else verdict.problems,
        kinds=kinds,
        statuses=statuses,
        length=(stage.settle, stage.measure),
        cycle=cycle,
        rate=rate,
        growth=_growth(stage, whole),
        disturbances=covariates.of_block(record),
        spoilt=clear is not None and not enough(clear.started, QUANTILES["p95"]),
    )


def _clear(seen: Window, stalls: Sequence[int]) -> Quarter | None:
    """What is left of a window without some quarters, counted from its first; None: all of it."""
    if not stalls:
        return None
    return together([one for index, one in enumerate(seen.quarters) if index not in stalls])


def _processes(record: StageRecord, used: Mapping[str, float], whole: Quarter) -> dict[str, float]:
    """
    CPU and memory, as read at the end of the stage.

    A sample of a block's last second comes after the block, when it may have been judged already;
    runs of earlier versions have no others.
    """
    name, values = record.stage.deployment, {}
    if record.usage:
        each = cpu.per_request(name, [record], cpu.resting(name, [record]) or 0.0)
        if each is not None:
            values["cpu"] = each
        if rss := record.usage.rss.get(name):
            values["memory"] = float(rss)
        if (calls := cpu.calls_per_request([record])) is not None:
            values["calls"] = calls
        return values
    if "app_cpu" in used and whole.ended and whole.seconds:
        values["cpu"] = used["app_cpu"] / (whole.ended / whole.seconds)
    if "app_rss" in used:
        values["memory"] = used["app_rss"]
    return values


def _pace(record: StageRecord) -> tuple[float | None, float]:
    """
    Seconds from one request of a user to the next, of the successes; and requests a second of all
    users together, failures included. Of the whole stage, since what starts before the window may
    be all that starts.
    """
    stage = record.stage
    ok, failed = (
        merged(one.ok for one in record.slices),
        merged(one.failed for one in record.slices),
    )
    thinks = stage.think_time if stage.model == "closed" else 0.0
    cycle = ok.mean() + thinks if ok.count else None
    if stage.model == "open":
        return cycle, stage.level
    count = ok.count + failed.count
    if stage.own_tasks:  # how long these users wait is seen, not planned
        seconds = stage.settle + stage.measure
        return stage.level * seconds / ok.count if ok.count else None, count / seconds
    busy = ok.total() + failed.total() + count * thinks
    return cycle, stage.level * count / busy if busy else 0.0


def _growth(stage: Stage, whole: Quarter) -> float | None:
    """The part of what came in the window by which the number in flight grew meanwhile."""
    came = whole.started + whole.unsent
    if stage.model == "closed" or not came:
        return None
    return (came - whole.ended) / came


def slow_quantile(times: Histogram, failures: int, q: float) -> float | None:
    """The q-quantile of successes and failures, math.inf where that is a failure; None: too few."""
    count = times.count + failures
    if not enough(count, q):
        return None
    rank = math.ceil(round(q * count, 9))
    return times.at_rank(rank) if rank <= times.count else math.inf


def times(records: Iterable[StageRecord]) -> tuple[Histogram, int]:
    """Response times of the successes in several stages' windows together, and the failures."""
    wholes = [together(window(record).quarters) for record in records]
    return merged(one.response for one in wholes), sum(one.failed.count for one in wholes)
