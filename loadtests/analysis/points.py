"""Records -> points: what each level on each deployment showed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.analysis import fidelity, intervals, resources, validity
from loadtests.analysis.records import StageRecord
from loadtests.analysis.windows import Quarter, Window, batches, together, window
from loadtests.histograms import Histogram
from loadtests.results import QUANTILES, Errors, Estimate, Point

ALL = "all"  # the requests of a level taken together
Samples = Sequence[Mapping[str, Any]]


def points(records: Sequence[StageRecord], samples: Samples = ()) -> list[Point]:
    """
    One point for each (deployment, level) and kind of request, and one for all of them together.

    Stages of the same deployment and level are repeats and taken together. A stage of which nothing
    came back gives no point; one that was lost gives an invalid one that says so.
    """
    levels: dict[tuple[str, int], list[StageRecord]] = defaultdict(list)
    for record in records:
        if record.begun is not None or record.losts:
            levels[record.stage.deployment, record.stage.level].append(record)
    return [point for repeats in levels.values() for point in _level(repeats, samples)]


def slow_quantile(records: Iterable[StageRecord], q: float) -> Estimate | None:
    """
    The q-quantile over all requests of one level, a failure being infinitely slow (math.inf).

    None when there are not enough requests.
    """
    seen = _Seen.of(_usable(list(records)), None)
    failures = [batch.failed.count for batch in seen.batches]
    return intervals.quantile([batch.response for batch in seen.batches], q, failures)


@dataclass(frozen=True, slots=True)
class _Level:
    """What all points of one (deployment, level) share."""

    records: Sequence[StageRecord]
    resources: dict[str, float]
    verdict: validity.Validity


def _level(repeats: list[StageRecord], samples: Samples) -> list[Point]:
    usable = _usable(repeats)
    seen = _Seen.of(usable, None)
    used = resources.resources(usable, samples)
    problems = validity.of_level(repeats, usable, seen.batches).and_of(
        fidelity.of_mock(usable, samples)
    )
    level = _Level(usable, used, problems)
    names = sorted({part.request for record in usable for part in record.slices} - {ALL})
    parts = ((name, _Seen.of(usable, name)) for name in names)
    return [
        _point(level, ALL, seen),
        *(_point(level, name, part) for name, part in parts if part.whole.ended),
    ]


def _usable(repeats: list[StageRecord]) -> list[StageRecord]:
    """The complete stages, or all of them when there is none."""
    return [record for record in repeats if record.complete] or repeats


@dataclass(frozen=True, slots=True)
class _Seen:
    """One kind of request in all windows of a level."""

    windows: Sequence[Window]
    whole: Quarter
    batches: Sequence[Quarter]

    @classmethod
    def of(cls, records: Sequence[StageRecord], request: str | None) -> "_Seen":
        windows = [window(record, request) for record in records]
        whole = together([quarter for one in windows for quarter in one.quarters])
        response = whole.in_flight / whole.ended if whole.ended else whole.seconds
        cycle = response + (records[0].stage.think_time if records else 0.0)
        return cls(windows, whole, batches(windows, cycle))


def _point(level: _Level, request: str, seen: _Seen) -> Point:
    stage = level.records[0].stage
    whole = seen.whole
    times = _times([batch.response for batch in seen.batches])
    kinds = sum((one.kinds for one in seen.windows), Counter[str]())
    verdict = level.verdict.and_of(validity.of_request(whole, times))
    return Point(
        deployment=stage.deployment,
        request=request,
        model=stage.model,
        level=stage.level,
        requests=whole.started,
        seconds=whole.seconds,
        throughput=_throughput(seen.batches),
        response_time=times,
        service_time=(
            times if stage.model == "closed" else _times([batch.ok for batch in seen.batches])
        ),
        errors=Errors(
            rate=whole.failed.count / whole.started if whole.started else 0.0,
            kinds=dict(kinds.most_common()),
        ),
        resources=level.resources if request == ALL else {},
        in_flight=whole.in_flight / whole.seconds if whole.seconds else None,
        valid=verdict.valid,
        problems=list(verdict.problems),
    )


def _throughput(stretches: Sequence[Quarter]) -> Estimate:
    if not stretches:
        return Estimate(value=0.0)  # of a lost stage, whose point is not valid
    return intervals.ratio(
        [batch.succeeded for batch in stretches], [batch.seconds for batch in stretches]
    )


def _times(stretches: Sequence[Histogram]) -> dict[str, Estimate | None]:
    """Of the successes."""
    times = {name: intervals.quantile(stretches, q) for name, q in QUANTILES.items()}
    counts = [histogram.count for histogram in stretches]
    totals = [histogram.total() for histogram in stretches]
    times["mean"] = intervals.ratio(totals, counts) if any(counts) else None
    return times
