"""Whether the steady state was reached in a window, and where in it.

A window is moving when its response times, or the requests in flight, have a slope that chance does
not explain, dependence in time allowed for (`dependence.slope`), or when a stretch of it differs
from the rest by more than the noise of the longer part explains; both only when large enough to
matter. The two series are those of GuideLLM's over-saturation rule. A window that moves is cut
where MSER puts the end of the warm-up: where the standard error of the mean of the rest is smallest
(White, An effective truncation heuristic for bias reduction in simulation output, Simulation 1997;
its batches are the quarter seconds here). As usual, a cut that wants half of the window or more is
none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from loadtests.analysis.dependence import Series, half_width, slope
from loadtests.analysis.sample_size import LEAST_QUARTERS
from loadtests.analysis.windows import Quarter

State = Literal["steady", "drifting", "over-saturated", "none"]
WORST: tuple[State, ...] = ("steady", "drifting", "none", "over-saturated")

_RESPONSES = 5  # in each term at least, on average
_CHANCE = 0.002  # for each of two series, each asked up to twice
_MATTERS = 0.1  # of the mean response time, from the window's beginning to its end
_QUEUES = 0.02  # of the arrivals; what is left over of them and grows the queue
_SURE = 5.0  # standard errors; the place of a step was chosen to make it large
_JUMPS = 0.5  # of what a line leaves unexplained is left by a single step


@dataclass(frozen=True, slots=True)
class Steadiness:
    """
    `settled`: quarters at the beginning that were still moving, at most half of them. `growth`:
    requests a second by which the queue grows, of an over-saturated window.
    """

    state: State | None
    settled: int = 0
    growth: float = 0.0


@dataclass(frozen=True, slots=True)
class _Motion:
    """A series that moves: in its own terms, each so many quarters long."""

    series: Series
    length: int


def steadiness(quarters: Sequence[Quarter], model: str) -> Steadiness:
    """The state of one window, from its quarters of all requests."""
    if len(quarters) < LEAST_QUARTERS:
        return Steadiness(None)
    responses = _responses(quarters)
    if responses is None:
        return Steadiness(None)
    growth = _growth(quarters) if model == "open" else 0.0
    cut = _warm_up(responses)
    warming = cut is not None and _differ(responses.series, cut // responses.length)
    moving = _moves(responses.series) or _steps(responses.series)
    if not (growth or warming or moving):
        return Steadiness("steady")
    if cut is not None:
        rest = quarters[cut:]
        left = _responses(rest)
        still = left is None or _moves(left.series) or _steps(left.series)
        if not still and not (model == "open" and _growth(rest)):
            return Steadiness("steady", settled=cut)
    if growth:
        return Steadiness("over-saturated", growth=growth)
    return Steadiness("none" if _steps(responses.series) else "drifting")


def worst(found: Sequence[Steadiness]) -> Steadiness:
    """That of a level from those of its repeats; null ones count when there are no others."""
    known = [one for one in found if one.state is not None]
    if not known:
        return Steadiness(None)
    settled = max(one.settled for one in known)
    last = max(known, key=lambda one: (WORST.index(one.state or "steady"), one.growth))
    return Steadiness(last.state, settled, last.growth)


def _responses(quarters: Sequence[Quarter]) -> _Motion | None:
    """Mean response times, over as many quarters as hold enough of them."""
    counts = [quarter.response.count for quarter in quarters]
    total = sum(counts)
    length = max(math.ceil(_RESPONSES * len(quarters) / total), 1) if total else len(quarters)
    terms = len(quarters) // length
    if terms < LEAST_QUARTERS:
        return None
    first = len(quarters) - terms * length  # of what does not fit, the beginning is left out
    sums = np.array([quarter.response.total() for quarter in quarters[first:]])
    starts = np.array(counts[first:], dtype=float)
    sums, starts = (values.reshape(terms, length).sum(axis=1) for values in (sums, starts))
    if not starts.all():
        return None
    return _Motion(sums / starts, length)


def _moves(series: Series) -> bool:
    per_term, chance = slope(series)
    change = abs(per_term) * len(series)
    return chance < _CHANCE and change > _MATTERS * float(series.mean())


def _growth(quarters: Sequence[Quarter]) -> float:
    """By how many requests a second the number in flight grows; 0 when that is chance or little."""
    seconds = quarters[0].seconds
    per_term, chance = slope(np.array([quarter.in_flight / seconds for quarter in quarters]))
    growth = per_term / seconds
    arrivals = sum(quarter.started for quarter in quarters) / (seconds * len(quarters))
    return growth if chance < _CHANCE and growth > _QUEUES * arrivals else 0.0


def _warm_up(motion: _Motion) -> int | None:
    """How many quarters MSER cuts off; None when that is half of them or more."""
    series = motion.series
    count = len(series)
    errors = [float(series[cut:].var()) / (count - cut) for cut in range(count // 2 + 1)]
    cut = int(np.argmin(errors))
    return cut * motion.length if 0 < cut < count // 2 else None


def _steps(series: Series) -> bool:
    """
    Whether the series jumps: a single step explains it much better than a line does.

    The place of the step is that of the largest likelihood; the noise is that of the longer side.
    """
    count = len(series)

    def left(at: int) -> float:
        return float(series[:at].var()) * at + float(series[at:].var()) * (count - at)

    at = min(range(2, count - 1), key=left)
    steps = np.arange(count, dtype=np.float64)
    line = series - np.polyval(np.polyfit(steps, series, 1), steps)
    return left(at) <= _JUMPS * float(line @ line) and _differ(series, at)


def _differ(series: Series, at: int) -> bool:
    """Whether what comes before this place has another mean than what comes after it."""
    head, tail = series[:at], series[at:]
    longer = max(head, tail, key=len)
    half = half_width([longer - longer.mean()])
    if half is None:
        return False
    error = half / 2 / math.sqrt(len(longer)) * math.sqrt(1 / len(head) + 1 / len(tail))
    change = abs(float(head.mean() - tail.mean()))
    return change > max(_SURE * error, _MATTERS * float(series.mean()))
