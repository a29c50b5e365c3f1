"""Records -> points: what each level on each deployment showed."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from loadtests.analysis import outside, phases
from loadtests.analysis.checks import (
    canaries,
    disturbances,
    generator,
    host,
    reconnections,
    users,
)
from loadtests.analysis.checks import mock as fidelity
from loadtests.analysis.checks.noise import NEGLIGIBLE, Noise, disturbance, higher, lower
from loadtests.analysis.checks.noise_sources import noise
from loadtests.analysis.inputs import cpu, resources
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.user_time import UserTime
from loadtests.analysis.inputs.windows import Quarter, Window, pieces, together, window
from loadtests.analysis.numbers import duration, load, percent, rate
from loadtests.analysis.stats import intervals
from loadtests.analysis.steady import Steadiness, fall, steadiness, worst
from loadtests.recording.histograms import Histogram
from loadtests.recording.messages import Stage
from loadtests.recording.slices import LENGTH
from loadtests.results import QUANTILES, Errors, Estimate, Point

ALL = "all"  # the requests of a level taken together
_TURNS = 5  # of each user in the first third of a window: fewer can be whole waves of answers
_CYCLES = 10  # of each user in a window that is long enough for what began before it
Samples = Sequence[Mapping[str, Any]]


def points(records: Sequence[StageRecord], samples: Samples = ()) -> list[Point]:
    """
    One point for each (deployment, level) and kind of request, and one for all of them together.

    Stages of the same deployment and level are repeats and taken together. A stage of which nothing
    came back gives no point; one that was lost gives an invalid one that says so.
    """
    lowest = _lowest(records)
    return [
        point
        for repeats in _repeats(records)
        for point in _level(repeats, samples, lowest[repeats[0].stage.deployment])
    ]


class Growing:
    """
    `points` of a run that goes on. What was found of a level is kept until it is measured again;
    that of the latest stage is not, since samples of its time come after it.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, ...], list[Point]] = {}

    def __call__(self, records: Sequence[StageRecord], samples: Samples) -> list[Point]:
        found, lowest = [], _lowest(records)
        for repeats in _repeats(records):
            below = lowest[repeats[0].stage.deployment]
            key = tuple(record.stage.number for record in (*repeats, *below))
            if key not in self._kept:
                points = _level(repeats, samples, below)
                if records[-1] is repeats[-1]:
                    found += points
                    continue
                self._kept[key] = points
            found += self._kept[key]
        return found


def _repeats(records: Iterable[StageRecord]) -> Iterable[list[StageRecord]]:
    """The stages of each (deployment, level) of which something came back."""
    levels: dict[tuple[str, int], list[StageRecord]] = defaultdict(list)
    for record in records:
        if record.begun is not None or record.losts:
            levels[record.stage.deployment, record.stage.level].append(record)
    return levels.values()


def _lowest(records: Iterable[StageRecord]) -> dict[str, list[StageRecord]]:
    """The stages of the lowest level of each deployment."""
    found: dict[str, list[StageRecord]] = {}
    for repeats in sorted(_repeats(records), key=lambda one: -one[0].stage.level):
        found[repeats[0].stage.deployment] = repeats
    return found


def slow_quantiles(
    records: Iterable[StageRecord], noise: Mapping[str, float] = {}
) -> dict[str, Estimate | None]:
    """
    p50, p95 and p99 over all requests of one level, a failure being infinitely slow (math.inf).

    None where there are not enough requests.

    Args:
        noise: of the level's point, by which the intervals are wider.
    """
    return _lower(_slow(_seen(records)), noise)


def level_pieces(records: Iterable[StageRecord]) -> tuple[Sequence[Quarter], Sequence[int]]:
    """The pieces of one level's windows in order, and how many of them each window has."""
    seen = _seen(records)
    return seen.batches, seen.parts


def _seen(records: Iterable[StageRecord]) -> "_LevelData":
    """All requests of one level."""
    usable = _usable(list(records))
    windows = [window(record) for record in usable]
    return _LevelData.of(windows, [one.settled for one in _states(usable, windows)])


def _slow(seen: "_LevelData") -> dict[str, Estimate | None]:
    failures = [batch.failed.count for batch in seen.batches]
    times = intervals.Times([batch.response for batch in seen.batches], failures, seen.parts)
    return {name: times.quantile(q) for name, q in QUANTILES.items()}


@dataclass(frozen=True, slots=True)
class _Level:
    """What all points of one (deployment, level) share."""

    records: Sequence[StageRecord]
    resources: dict[str, float]
    verdict: generator.Validity
    steady: Steadiness
    noise: Noise
    noisy: bool
    unaccounted: float
    """The share of the users' time that no request of the windows accounts for."""


def _level(repeats: list[StageRecord], samples: Samples, lowest: list[StageRecord]) -> list[Point]:
    usable = _usable(repeats)
    disturbed = [disturbances.of_record(record, samples) for record in usable]
    for record, one in zip(usable, disturbed, strict=True):
        record.cut = one.cut
    windows = [window(record) for record in usable]
    states = _states(usable, windows)
    settled = [one.settled for one in states]
    seen = _LevelData.of(windows, settled)
    used = resources.resources(usable, samples)
    stage = usable[0].stage
    kinds = sum((one.kinds for one in seen.windows), Counter[str]())
    cycle = _cycle(stage, seen.whole)
    amount = noise(
        disturbed,
        samples,
        calls=cpu.calls_per_request(usable) or 1.0,
        cycle=cycle,
        stretch=1.0 if lowest is repeats else _stretch(_stay(stage, seen.whole), lowest),
        growing=worst(states).state == "over-saturated",
    )
    problems = (
        generator.of_level(repeats, usable, seen.batches, kinds)
        .and_of(generator.of_users(windows, stage))
        .and_of(host.of_host(usable, samples))
        .and_of(host.of_mock(used))
    )
    mock = fidelity.of_mock(usable, samples)
    disturbed_by = disturbance(amount, seen.whole.response)
    noisy = problems.valid and mock.valid and not (disturbed_by.valid or amount.failures)
    problems = problems.and_of(disturbed_by).and_of(mock)
    time = UserTime(stage, seen.batches, seen.windows)
    level = _Level(usable, used, problems, worst(states), amount, noisy, time.unaccounted)
    names = sorted({part.request for record in usable for part in record.slices} - {ALL})
    several = len(names) > 1  # a single one is all of them
    parts = (
        (
            name,
            _LevelData.of([window(record, name) for record in usable], settled)
            if several
            else seen,
        )
        for name in names
    )
    of_all = _throughput(time, seen)
    whole = _point(level, ALL, seen, of_all)
    watched = outside.of_level(usable, samples), canaries.of_level(usable, samples)
    found = [whole.model_copy(update=dict(zip(("outside", "canary"), watched, strict=True)))]
    for name, part in parts:
        if part.whole.ended:
            answered = _throughput(time, part) if several else of_all
            found.append(_point(level, name, part, answered))
    return found


def _cycle(stage: Stage, whole: Quarter) -> float | None:
    """Seconds from one request of a user to the next; None in the open model."""
    if stage.model == "open":
        return None
    return stage.level * whole.seconds / whole.started if whole.started else math.inf


def _stay(stage: Stage, whole: Quarter) -> float:
    """Seconds of a cycle, in the open model of a response; math.inf where that is not known."""
    cycle = _cycle(stage, whole)
    if cycle is None:
        return whole.response.mean() if whole.response.count else math.inf
    return cycle


def _stretch(stay: float, lowest: list[StageRecord]) -> float:
    """How many times as long it is as at the lowest level; 1 where that is not known."""
    usable = _usable(lowest)
    whole = together([quarter for record in usable for quarter in window(record).quarters])
    alone = _stay(usable[0].stage, whole)
    if not alone or math.isinf(stay) or math.isinf(alone):
        return 1.0
    return max(stay / alone, 1.0)


def _usable(repeats: list[StageRecord]) -> list[StageRecord]:
    """The complete stages, or all of them when there is none."""
    return [record for record in repeats if record.complete] or repeats


@dataclass(frozen=True)
class _LevelData:
    """One kind of request in all windows of a level."""

    windows: Sequence[Window]
    whole: Quarter
    batches: Sequence[Quarter]  # the windows' pieces in order
    parts: Sequence[int]  # how many of them each window has

    @classmethod
    def of(cls, uncut: Sequence[Window], settled: Sequence[int]) -> "_LevelData":
        windows = [one.after(cut) for one, cut in zip(uncut, settled, strict=True)]
        whole = together([quarter for one in windows for quarter in one.quarters])
        cut = pieces(windows)
        return cls(windows, whole, [piece for one in cut for piece in one], [*map(len, cut)])

    @cached_property
    def response_times(self) -> dict[str, Estimate | None]:
        return _times([batch.response for batch in self.batches], self.parts)

    @cached_property
    def service_times(self) -> dict[str, Estimate | None]:
        """Another thing than the response times in the open model alone."""
        return _times([batch.ok for batch in self.batches], self.parts)

    # A single kind of request is all of them, and has two points.

    @cached_property
    def effective(self) -> float:
        """How many independent requests tell as much of the share of failures."""
        return intervals.effective_size(
            [batch.failed.count for batch in self.batches],
            [batch.started for batch in self.batches],
            self.parts,
        )

    @cached_property
    def size(self) -> Estimate:
        """Bytes of a success' body."""
        return intervals.ratio(
            [batch.bytes for batch in self.batches],
            [batch.ok.count for batch in self.batches],
            self.parts,
        )


def _states(records: Sequence[StageRecord], windows: Sequence[Window]) -> list[Steadiness]:
    """The state of each window, judged by all its requests."""
    return [
        # The others answer steadily where users hang, and so does the whole if all of them do.
        Steadiness("unsteady" if one.ended else None)
        if one.hung or one.unanswered
        else steadiness(one.quarters, record.stage.model)
        for record, one in zip(records, windows, strict=True)
    ]


def _point(level: _Level, request: str, seen: _LevelData, answered: Estimate) -> Point:
    stage = level.records[0].stage
    whole = seen.whole
    less = _noise_of_times(level.noise, whole.response)
    more = _noise_of_throughput(level.noise, answered.value)
    times = _lower(seen.response_times, less)
    service = times if stage.model == "closed" else _lower(seen.service_times, less)
    slow = _slow(seen) if request == ALL and whole.failed.count else {}
    slow = _lower(slow, less)
    kinds = sum((one.kinds for one in seen.windows), Counter[str]())
    verdict = level.verdict.and_of(generator.of_request(whole, times, kinds))
    problems = generator.failures_first(verdict.problems)
    # They would only tell how long the test was, or how quick those are that overtake the others.
    if level.steady.state == "over-saturated" or level.unaccounted:
        times = service = dict.fromkeys(times)
        slow = {}
    if level.unaccounted and request == ALL:
        problems.append(_too_short(stage, whole, level.unaccounted))
    if level.steady.state == "over-saturated" and request == ALL:
        problems.append(_unstable(stage, whole, level.steady.growth))
    state = level.steady.state
    if stage.model == "closed" and not stage.own_tasks and answered.value:
        # All that was taken may have been taken from the last third.
        taken = 1 + 3 * more / answered.value
        falling = [text for one in seen.windows if (text := _falling(one, stage.level, taken))]
        problems += falling[:1] if request == ALL else []
        state = "drifting" if falling and state in (None, "steady") else state
    if (out := sum(len(record.cut) for record in level.records)) and request == ALL:
        length = sum(record.stage.measure for record in level.records)
        problems.append(
            f"{duration(out * LENGTH)} of {duration(length)} are left out, as others took too much "
            "of the machine"
        )
    statuses = sum((one.statuses for one in seen.windows), Counter[str]())
    if request == ALL:
        problems += reconnections.told(level.records)
    spent = phases.spent(
        [quarter.ok for one in seen.windows for quarter in one.quarters],
        [sums for one in seen.windows for sums in one.traced],
    )
    if spent.problem:
        problems.append(spent.problem)
    in_flight = whole.in_flight / whole.seconds if whole.seconds else None
    if request == ALL and in_flight and (several := users.parallel(level.records, in_flight)):
        problems.append(several)
    if spent.traced and request == ALL and (changed := phases.difference(spent.traced)):
        problems.append(changed)
    known = [name for name in spent.phases if times[name] is not None]
    return Point(
        deployment=stage.deployment,
        request=request,
        model=stage.model,
        level=stage.level,
        requests=whole.started,
        seconds=whole.seconds,
        throughput=higher(answered, more),
        response_time=times,
        service_time=service,
        response_time_with_failures={name: _finite(estimate) for name, estimate in slow.items()},
        errors=Errors(
            rate=whole.failed.count / whole.started if whole.started else 0.0,
            effective=seen.effective,
            unanswered=max(one.unanswered for one in seen.windows) if request == ALL else 0,
            kinds=dict(kinds.most_common()),
        ),
        statuses=dict(statuses.most_common()),
        size=seen.size if statuses and whole.ok.count else None,
        calls=cpu.calls_per_request(level.records) if request == ALL else None,
        phases={name: spent.phases[name] for name in known},
        phases_interval={name: spent.intervals[name] for name in known if name in spent.intervals},
        traced=spent.traced,
        resources=level.resources if request == ALL else {},
        in_flight=in_flight,
        users=users.of_level(level.records) if request == ALL else None,
        steady=state,
        warmup_dropped=level.steady.settled * LENGTH,
        noise={name: value for name, value in (("throughput", more), *less.items()) if value},
        left_out=out * LENGTH,
        noisy=level.noisy,
        valid=verdict.valid,
        limit=verdict.limit if request == ALL else None,
        problems=problems,
    )


def _noise_of_times(found: Noise, times: Histogram) -> dict[str, float]:
    """Seconds by which each time can be lower without the disturbances."""
    if not found.sources or not times.count:
        return {}
    less = {name: (times.quantile(q), found.of_quantile(times, q)) for name, q in QUANTILES.items()}
    less["mean"] = times.mean(), min(found.delay, times.mean())
    return {name: part for name, (value, part) in less.items() if part > NEGLIGIBLE * value}


def _noise_of_throughput(found: Noise, value: float) -> float:
    """Successes a second by which it can be higher, at most twice as many as there are."""
    part = found.of_throughput
    return value * min(part, 2.0) if part > NEGLIGIBLE else 0.0


def _lower(
    times: Mapping[str, Estimate | None], less: Mapping[str, float]
) -> dict[str, Estimate | None]:
    return {name: lower(estimate, less.get(name, 0.0)) for name, estimate in times.items()}


def _finite(estimate: Estimate | None) -> Estimate | None:
    """The estimate without infinite ends, which JSON does not have."""
    if estimate is None or math.isinf(estimate.value):
        return None
    unbounded = estimate.high is not None and math.isinf(estimate.high)
    return estimate.model_copy(update={"high": None}) if unbounded else estimate


def _throughput(time: UserTime, seen: _LevelData) -> Estimate:
    if not seen.batches:
        return Estimate(value=0.0)  # of a lost stage, whose point is not valid
    rate = time.throughput(seen.batches)
    found = intervals.ratio(rate.successes, rate.seconds, seen.parts)
    if found.low is None or found.high is None:
        return found
    # Nothing is known better than to one request: windows in which nothing varies are no proof.
    least = 1 / math.fsum(rate.seconds)
    return Estimate(
        value=found.value,
        low=max(min(found.low, found.value - least), 0.0),
        high=max(found.high, found.value + least),
    )


def _times(stretches: Sequence[Histogram], parts: Sequence[int]) -> dict[str, Estimate | None]:
    """The quantiles of the successes."""
    known = intervals.Times(stretches, None, parts)
    times = {name: known.quantile(q) for name, q in QUANTILES.items()}
    totals = [histogram.total() for histogram in stretches]
    counts = [histogram.count for histogram in stretches]
    times["mean"] = intervals.mean(totals, counts, parts) if any(counts) else None
    return times


def _too_short(stage: Stage, whole: Quarter, unaccounted: float) -> str:
    needed = _CYCLES * stage.level * whole.seconds / max(whole.ended, 1)
    who = load(stage.level, stage.model)
    return (
        f"no response times: for {percent(unaccounted)} of the time {who} waited "
        f"for answers to requests from before the window; measure for {duration(needed)} or more"
    )


def _falling(seen: Window, users: int, taken: float) -> str | None:
    fallen = fall(seen.quarters, _TURNS * users, taken)
    if fallen is None:
        return None
    first, last = map(rate, fallen)
    return (
        f"not steady, still drifting: {first} were answered in the first third of the window and "
        f"{last} in its last, as by a service that loses connections, threads or places which are "
        "not given back"
    )


def _unstable(stage: Stage, whole: Quarter, growth: float) -> str:
    answered = rate(whole.ended / whole.seconds)
    return (
        f"unstable: {answered} answered of {rate(stage.level)} asked; "
        f"the queue grew by {growth:,.0f} requests a second"
    )
