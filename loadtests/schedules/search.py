"""The highest level that keeps the SLOs: bracket it, then try the border from both sides.

From the lowest level on, each is three times the one before, until an SLO is missed. Then
stages are placed where they tell most: just below and just above where the border is thought to be,
as far apart as the interval may be wide. A level is tried again until it is decided, and never by
one look at noisy numbers. The sides take turns, so that the border is reached from above as often
as from below: a service that remembers its overload shows it.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from loadtests.analysis.capacity.boundary import Bracket, found
from loadtests.analysis.capacity.margins import Bounds, Trial, searchable, trial
from loadtests.plans import Plan, PlanError, pace
from loadtests.plans.pace import Pace
from loadtests.plans.slos import Slo
from loadtests.recording.slices import LENGTH, whole_slices
from loadtests.schedules.ladder import SWITCHING
from loadtests.schedules.schedule import Played, Step

HIGHEST = 2_000
"""The highest level of a search to which none is given."""
_TOP = 20_000  # of all levels
_STEP = 3  # from one level to the next, until an SLO is missed
_MARGIN = 0.15  # of a wide bracket, on a log scale: no level is placed nearer to its ends
_OFTEN = 6  # stages at a level
_MOST = 40.0  # seconds of a stage that is played for longer than usual
_TYPICAL = 10  # stages after the bracket; only for telling the time left


@dataclass(frozen=True, slots=True)
class Search:
    """A schedule. `slos`: for each deployment, by name."""

    slos: Mapping[str, Mapping[str, Slo]]
    bounds: Bounds

    def expected(self, plan: Plan) -> list[Step]:
        """The steps up to the highest level, which are as many as it takes to bracket it."""
        return [Step(name, level) for level in self._climb() for name in plan.deployments]

    def remaining(self, plan: Plan, so_far: Sequence[Played]) -> int:
        """An estimate of the number of stages that remain."""
        left = 0
        for name in plan.deployments:
            played = [one for one in so_far if one.step.deployment == name]
            if self._next(name, played) is not None:
                left += max(len(self._climb()) // 2 + _TYPICAL - len(played), 1)
        return left

    def next_stage(self, plan: Plan, so_far: Sequence[Played]) -> Step | None:
        """One level on the deployment that had the fewest stages of those not done yet."""
        left = self._left(plan, so_far)
        if left <= 0:
            return None
        steps = []
        for name in plan.deployments:
            played = [one for one in so_far if one.step.deployment == name]
            level = self._next(name, played)
            if level is not None:
                steps.append((len(played), self._step(plan, level, name, played, left)))
        return min(steps, key=lambda one: one[0])[1] if steps else None

    def described(self) -> dict[str, Any]:
        return {"capacity_search": self.bounds.model_dump()}

    def _next(self, name: str, played: Sequence[Played]) -> int | None:
        if any(not one.alive for one in played):
            return None
        return next_level(self._trials(name, played), self.bounds)

    def _trials(self, name: str, played: Sequence[Played]) -> list[Trial]:
        return [trial(self.slos[name], one.point, one.slow) for one in played if one.point]

    def _left(self, plan: Plan, so_far: Sequence[Played]) -> float:
        """Seconds that the next stage may measure, so that the command ends in time."""
        if not so_far:
            return math.inf
        spent = max(so_far[-1].since, math.fsum(one.seconds for one in so_far))
        left = self.bounds.within - spent - plan.load.settle - SWITCHING
        return left if left >= (plan.load.measure or pace.LEAST) else 0.0

    def _step(
        self, plan: Plan, level: int, name: str, played: Sequence[Played], left: float
    ) -> Step:
        """Longer than usual where a stage at this level was too short to tell."""
        before = [one for one in self._trials(name, played) if one.level == level]
        longer = before[-1].longer if before else 1.0
        measure = plan.load.measure
        if longer > 1:
            usual = measure or max(one.measured for one in played if one.step.level == level)
            seconds = min(whole_slices(longer * usual), _MOST if measure is None else math.inf)
            least = measure or pace.LEAST
            return Step(name, level, measure=max(min(seconds, _down(left)), least))
        if measure is None:
            return Step(name, level, pace=Pace(left, usual=pace.USUAL))
        return Step(name, level)

    def _climb(self) -> list[int]:
        low, high = self.bounds.lowest, self.bounds.highest
        steps = math.ceil(math.log(high / low, _STEP)) if high > low else 0
        return [min(low * _STEP**i, high) for i in range(steps + 1)]


def _down(seconds: float) -> float:
    return seconds if math.isinf(seconds) else math.floor(seconds / LENGTH) * LENGTH


def search_of(plan: Plan, levels: Sequence[int], within: float) -> Search:
    """
    The search that the plan's SLOs ask for, between the first and the last of the levels; from a
    single level on, as far up as it takes (HIGHEST, or ten times the level).

    Raises:
        PlanError: a deployment has no SLO that ends at a level.
    """
    if list(levels) != sorted(set(levels)) or not levels or levels[0] < 1:
        raise PlanError(
            f"a search goes from a lowest to a highest level, such as 1,400; not {list(levels)}"
        )
    try:
        slos = {name: searchable(plan.slos, name) for name in plan.deployments}
    except ValueError as error:
        raise PlanError(str(error)) from None
    without = [name for name, found in slos.items() if not found]
    if without:
        raise PlanError(
            f"{', '.join(without)}: no SLO says what capacity is. Add one to the plan, such as\n"
            f'[slos]\ncheckout-p95 = "p95 < 250ms at {plan.load.levels[0]}"\n'
            "(the level after `at` is replaced by those that are tried)"
        )
    highest = levels[-1] if len(levels) > 1 else min(max(HIGHEST, 10 * levels[0]), _TOP)
    return Search(slos, Bounds(lowest=levels[0], highest=highest, within=within))


def next_level(trials: Sequence[Trial], bounds: Bounds) -> int | None:
    """The level that tells most next; None when the capacity is known as well as was asked."""
    if not trials:
        return bounds.lowest
    seen = found(trials)
    last, top = trials[-1].level, max(one.level for one in trials)
    if seen.resolved(bounds):
        return _confirmation(trials, seen, bounds)
    if seen.crossing is None:
        # Every margin has the same sign, or none is known: it is up, or down, or the end.
        if seen.sign < 0:
            bottom = min(one.level for one in trials)
            return max(bottom // _STEP, bounds.lowest)
        return min(top * _STEP, bounds.highest)
    below, above = _sides(seen.crossing, [one.level for one in trials], seen, bounds)
    wanted = [
        level
        for level, needed in (
            (below, seen.passing is None or seen.passing < below),
            (above, seen.failing is None or seen.failing > above),
        )
        if needed
    ] or [below, above]
    other = [level for level in wanted if (level > seen.crossing) != (last > seen.crossing)]
    return _least_tried((other or wanted)[0], trials, seen, bounds)


def _least_tried(level: int, trials: Sequence[Trial], seen: Bracket, bounds: Bounds) -> int:
    """
    The level, or its neighbour if it was tried often and remains undecided: its margin may be just
    zero, and then what tells is on either side of it.
    """
    tries = Counter(one.level for one in trials)
    if tries[level] < _OFTEN:
        return level
    first = max(level - 1, (seen.passing or 0) + 1, bounds.lowest)
    last = min(level + 1, (seen.failing or bounds.highest + 1) - 1)
    return min(range(first, last + 1), key=lambda one: tries[one], default=level)


def _sides(crossing: float, tried: Sequence[int], seen: Bracket, bounds: Bounds) -> tuple[int, int]:
    """
    A level below the border and one above, no farther apart than the interval may be wide, that
    take the fewest stages to decide: those that a margin takes grow as its inverse square.
    """
    low, high = seen.passing or bounds.lowest, seen.failing or bounds.highest
    crossing = min(max(crossing, low), high)
    low = max((level for level in tried if low < level <= crossing and level < high), default=low)
    high = min((level for level in tried if low < level < high), default=high)
    if high / low > (1 + bounds.resolution) ** 3:
        room = (high / low) ** _MARGIN  # a bracket's ends say little of where between them it is
        crossing = min(max(crossing, low * room), high / room)

    def stages(near: float, *, decided: bool) -> float:
        return 0.0 if decided else 1 / max(math.log(near), 1e-6) ** 2

    def cost(below: int) -> float:
        above = bounds.narrow(below) + 1
        return stages(crossing / below, decided=below <= (seen.passing or 0)) + stages(
            above / crossing, decided=seen.failing is not None and above >= seen.failing
        )

    first = max(math.ceil(crossing / (1 + bounds.resolution)) - 2, bounds.lowest)
    last = max(math.floor(crossing), first)
    within = [level for level in range(first, last + 1) if bounds.narrow(level) + 1 > crossing]
    below = min(within or [last], key=cost)
    return below, min(bounds.narrow(below) + 1, bounds.highest)


def _confirmation(trials: Sequence[Trial], seen: Bracket, bounds: Bounds) -> int | None:
    """A stage at the border that was only ever reached from the other side; None: none is due."""
    if seen.passing is None or seen.failing is None or seen.passing >= bounds.highest:
        return None
    levels = [one.level for one in trials]
    came_down = any(a > seen.passing == b for a, b in pairwise(levels))
    came_up = any(a < seen.failing == b for a, b in pairwise(levels))
    if not came_down:
        return seen.passing if levels[-1] > seen.passing else seen.failing
    if not came_up:
        return seen.failing if levels[-1] < seen.failing else seen.passing
    return None
