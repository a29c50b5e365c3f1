"""How long a stage must measure, from what it has measured so far.

A stage is looked at a few times while it is played. Each look says, by the square root law, at
which length the intervals are as narrow as they are wanted; a stage whose length is so known ends
there and not at a look. It is a look at the widths alone, which what was measured hardly shows: but
a window that varies little by chance is ended early and has too narrow an interval, so looks are
few, the first one comes late, and no window is shorter than the cycles of its users tell.
"""

from collections.abc import Sequence
from dataclasses import replace

from loadtests.analysis import proposals
from loadtests.analysis.inputs.records import Record, StageRecord
from loadtests.analysis.inputs.user_time import UserTime
from loadtests.analysis.inputs.windows import Quarter, pieces, together, window
from loadtests.analysis.numbers import percent
from loadtests.analysis.stats import intervals, relaxation
from loadtests.analysis.stats.sample_size import least
from loadtests.plans.pace import LONGEST, Need, Pace
from loadtests.recording.messages import Report, Stage
from loadtests.recording.slices import LENGTH
from loadtests.results import QUANTILES, Estimate, Point

P95, THROUGHPUT = 0.10, 0.03
"""Half of the interval that is narrow enough, as a part of the value."""
LOOKS = (2.5, 4.0, 6.5, 10.0, 15.0)  # seconds that are measured before each look
CYCLES = 6  # of a user, from one request to the next, that a closed window lasts
SPARE = 1.1  # times the requests that a quantile takes: some seconds may be left out
USUAL = 1000  # requests that p95 takes for its goal, where too few tell how many it takes
MISSED = 1.25  # times the goal's width: less is not worth a word


class Length:
    """
    The length of one stage, decided while its reports come.

    Args:
        most: answers a second that the deployment gives at most; None: that is not known.
    """

    def __init__(self, stage: Stage, pace: Pace, most: float | None) -> None:
        self._stage, self._pace, self._most = stage, pace, most
        self._looks = [one for one in LOOKS if one < stage.measure]

    def after(self, record: StageRecord, report: Report) -> float | None:
        """
        Return the seconds that the stage has to measure, once that is known; else None.

        Args:
            record: of the stage, with this report in it.
        """
        if not self._looks or not report.slices:
            return None
        stage = self._stage
        seconds = (max(part.index for part in report.slices) + 1) * LENGTH - stage.settle
        due = [one for one in self._looks if one <= seconds]
        if not due:
            return None
        self._looks = self._looks[len(due) :]
        wanted = self._pace.measure(stage.level, need(record, due[-1], self._most))
        if self._looks and wanted > self._looks[0]:
            return None
        self._looks = []
        return wanted if wanted < stage.measure else None


def need(record: StageRecord, seconds: float, most: float | None = None) -> Need:
    """
    What a stage needs, from the first seconds of its window.

    Args:
        most: answers a second that the deployment gives at most; None: that is not known.
    """
    stage = record.stage.model_copy(update={"measure": seconds})
    seen = window(replace(record, stage=stage))
    [batches] = pieces([seen])
    whole = together(batches)
    counts = max(_counts(whole.response.count, seconds), _forgets(stage, whole, most))
    return Need(counts, max(counts, _goal(stage, batches, whole, seconds)))


def _counts(requests: int, seconds: float) -> float:
    """Seconds until those quantiles have their requests that can have them in one stage."""
    if not requests:
        return LONGEST
    each = [seconds * SPARE * least(q) / requests for q in QUANTILES.values()]
    return max((one for one in each if one <= LONGEST), default=LONGEST)


def _forgets(stage: Stage, whole: Quarter, most: float | None) -> float:
    """Seconds that a window must last for its queues to be forgotten often enough."""
    if stage.model == "open":
        if most is None or stage.level >= most:
            return 0.0
        return relaxation.needed(stage.level, most)
    if not whole.response.count:
        return 0.0
    if stage.own_tasks and whole.started:  # how long these users wait is seen, not planned
        return CYCLES * stage.level * whole.seconds / whole.started
    return CYCLES * (whole.response.mean() + stage.think_time)


def _goal(stage: Stage, batches: Sequence[Quarter], whole: Quarter, seconds: float) -> float:
    """Seconds until p95 and, in the closed model, throughput are as narrow as they are wanted."""
    if not whole.response.count:
        return LONGEST
    times = intervals.Times([batch.response for batch in batches])
    wanted = [_until(times.quantile(QUANTILES["p95"]), P95, seconds)]
    if stage.model == "closed":  # in the open one it is the rate, which is known
        rate = UserTime(stage, batches).throughput(batches)
        wanted.append(_until(intervals.ratio(rate.successes, rate.seconds), THROUGHPUT, seconds))
    usual = seconds * USUAL / whole.response.count
    return max(usual if one is None else one for one in wanted)


def _until(estimate: Estimate | None, goal: float, seconds: float) -> float | None:
    half = _half(estimate)
    return None if half is None else seconds * (half / goal) ** 2


def _half(estimate: Estimate | None) -> float | None:
    """Half of the interval, the wider of its two sides, as a part of the value."""
    if estimate is None or estimate.low is None or estimate.high is None or not estimate.value:
        return None
    return max(estimate.high / estimate.value - 1, 1 - estimate.low / estimate.value)


def marked(points: Sequence[Point], record: Record) -> list[Point]:
    """
    The points; those of a run without a fixed length whose p95 is wider than its goal say so, and
    how long a window would do, if one can wait for it.
    """
    load = record.header.plan.get("load")
    fixed = not isinstance(load, dict) or load.get("measure") is not None
    if fixed or record.header.comparison is not None or record.header.capacity_search is not None:
        return list(points)
    return [_marked(point) for point in points]


def _marked(point: Point) -> Point:
    half = _half(point.response_time.get("p95"))
    moving = point.steady not in ("steady", None)
    if point.request != "all" or not point.valid or moving or half is None:
        return point
    if half <= MISSED * P95:
        return point
    wanted = proposals.measure(point.seconds * (half / P95) ** 2)
    would = f"{wanted} would give {percent(P95)}"
    if wanted is None:
        would = f"even {proposals.MINUTES} would not give {percent(P95)}: look at p50 instead"
    text = f"p95 is known to {percent(half)} in {point.seconds:g} s; {would}"
    return point.model_copy(update={"problems": [*point.problems, text]})
