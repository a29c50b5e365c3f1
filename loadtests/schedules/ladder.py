"""Fixed levels, climbed by all deployments together, so that a drift of the host hits all alike.

Where the plan does not say how long a stage lasts, the run has a bound. What is left of it after
the climb goes to levels that are played again: see `_again`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from loadtests.analysis.collapse import collapse, unstable
from loadtests.plans import Plan, UrlDeployment, pace
from loadtests.plans.pace import Pace
from loadtests.recording.slices import whole_slices
from loadtests.schedules.schedule import Played, Step

SWITCHING = 0.4  # seconds between two stages, as measured; only for telling the time left
RESTARTING = 2.0  # seconds that a restart of all deployments takes; for the same
AGAIN = 2  # times that a level is played again, at most
WORTH = 1.5  # times as long, at least, for which one that was too short is played again


def expected(plan: Plan) -> list[Step]:
    """
    Every step in the order of play.

    At each level the deployments take turns, in the opposite order at every other turn: the first
    one is last the next time. Where repeats begin with a restart, each of them climbs all
    levels; otherwise a level is repeated before the next one.
    """
    load, restarting = plan.load, restarts(plan)
    if restarting:
        levels = list(load.levels) * load.repeats
    else:
        levels = [level for level in load.levels for _ in range(load.repeats)]
    steps = []
    forward = list(plan.deployments)
    for turn, level in enumerate(levels):
        order = forward if turn % 2 == 0 else forward[::-1]
        begins = restarting and turn > 0 and turn % len(load.levels) == 0
        steps += [Step(name, level, begins and name == order[0]) for name in order]
    return steps


def restarts(plan: Plan) -> bool:
    """Whether something is restarted between repeats; services that ran before cannot be."""
    started = any(not isinstance(one, UrlDeployment) for one in plan.deployments.values())
    return plan.load.restarts and plan.load.repeats > 1 and started


def expected_seconds(plan: Plan, stages: int) -> float:
    """The longest time that `count` stages of the plan take; seconds."""
    restarted = stages // _climb(plan) if restarts(plan) else 0
    each = _between_stages(plan)
    if plan.load.measure is None:
        longest = stages * (each + plan.load.longest) / (1 - pace.RESERVE)
        whole = min(pace.bound(stages, each), longest)
    else:
        whole = stages * (each + plan.load.measure)
    return whole + restarted * RESTARTING


def seconds_left(plan: Plan, so_far: Sequence[Played], stages: int) -> float:
    """The longest time that the run goes on with `count` stages to come."""
    if plan.load.measure is not None or not so_far:
        return expected_seconds(plan, stages)
    whole = expected_seconds(plan, len(expected(plan)))
    left = max(
        whole - sum(one.seconds for one in so_far), stages * (_between_stages(plan) + pace.LEAST)
    )
    return min(left, stages * (_between_stages(plan) + plan.load.longest))


def next_stage(plan: Plan, so_far: Sequence[Played]) -> Step | None:
    """What comes next, and how long it may last; None when the run is over."""
    step = _next(plan, so_far)
    if plan.load.measure is not None:
        return step
    if step is None:
        return _again(plan, so_far)
    ahead = [one.level for one in _to_come(plan, [*so_far, Played(step, None, 0.0)])]
    left = _left(plan, so_far, 1 - pace.RESERVE) - _between_stages(plan) * (len(ahead) + 1)
    return replace(step, pace=Pace(left, ahead))


def _left(plan: Plan, so_far: Sequence[Played], part: float = 1.0) -> float:
    """Seconds that are left of this part of the run's bound."""
    whole = expected_seconds(plan, len(expected(plan)))
    return part * whole - sum(one.seconds for one in so_far)


def _between_stages(plan: Plan) -> float:
    """Seconds that a stage takes in addition to what it measures."""
    return plan.load.settle + SWITCHING


def _again(plan: Plan, so_far: Sequence[Played]) -> Step | None:
    """
    A level whose numbers the machine spoiled, or which are not as narrow as they could be, for as
    long as the bound allows; None when there is none.

    A level that a lower one's collapse had ruled out is left as it is, and one that collapsed.
    """
    left = _left(plan, so_far) - _between_stages(plan)
    for spoiled in (True, False):
        for step in dict.fromkeys(one.step for one in so_far):
            mine = [one for one in so_far if one.step.deployment == step.deployment]
            here = [one for one in mine if one.step == step]
            if _has_collapsed(mine, step.level + 1) or any(not one.alive for one in mine):
                continue
            if sum(bool(one.step.again) for one in here) >= AGAIN:
                continue
            found = _spoiled(here, left) if spoiled else _too_short(plan, here, left)
            if found is not None:
                return found
    return None


def _spoiled(here: Sequence[Played], left: float) -> Step | None:
    seen = [one.point for one in here if one.point]
    if len(seen) < len(here) or any(point.valid or not point.requests for point in seen):
        return None
    longest = max(one.measured for one in here)
    if longest > left:
        return None
    step = here[0].step
    return Step(
        step.deployment,
        step.level,
        pace=Pace(left, least=longest),
        again="the machine was busy",
    )


def _too_short(plan: Plan, here: Sequence[Played], left: float) -> Step | None:
    """Once more for as long as its goal takes, if that is no more than a stage may last."""
    last = here[-1]
    if plan.load.repeats > 1 or last.need is None or last.point is None or not last.point.valid:
        return None
    seconds = whole_slices(last.need.goal)
    if last.measured * WORTH > seconds or seconds > min(pace.LONGEST, left):
        return None
    return Step(
        last.step.deployment,
        last.step.level,
        pace=Pace(left, least=seconds),
        again="its window was too short",
    )


def _next(plan: Plan, so_far: Sequence[Played]) -> Step | None:
    """
    The first step not yet played of a deployment that may still climb.

    A deployment that has collapsed is still played once at the levels that its SLOs name: a
    collapse must not leave them undecided.
    """
    played = Counter(one.step for one in so_far)
    mine = {
        name: [one for one in so_far if one.step.deployment == name] for name in plan.deployments
    }
    met = Counter[Step]()
    last = 0  # the repeat of the stage that was played last
    for index, step in enumerate(expected(plan)):
        repeat = index // _climb(plan)
        met[step] += 1
        if met[step] <= played[step]:
            last = repeat
            continue
        if any(not one.alive for one in mine[step.deployment]):
            continue
        promised = not played[step] and step.level in _promised(plan, step.deployment)
        if promised or not _has_collapsed(mine[step.deployment], step.level):
            # The step that was to begin a repeat can be one that is skipped.
            return replace(step, restart=restarts(plan) and repeat > last)
    return None


def _climb(plan: Plan) -> int:
    """The steps of one climb through all levels."""
    return len(plan.load.levels) * len(plan.deployments)


def remaining(plan: Plan, so_far: Sequence[Played]) -> int:
    """How many stages are still to come and not ruled out."""
    left = len(_to_come(plan, so_far))
    return left or int(next_stage(plan, so_far) is not None)


def _to_come(plan: Plan, so_far: Sequence[Played]) -> list[Step]:
    """What is left of the climb."""
    ahead = list(so_far)
    while (step := _next(plan, ahead)) is not None:
        ahead.append(Played(step, None, 0.0))
    return [one.step for one in ahead[len(so_far) :]]


def described() -> dict[str, Any]:
    """An empty text: the plan describes the ladder."""
    return {}


def _has_collapsed(played: Sequence[Played], level: int) -> bool:
    """Whether a lower level of this deployment showed a collapse."""
    base = min(played, key=lambda one: one.step.level).p95 if played else None
    return any(
        collapse(one.p95, one.failures, base) or (one.point and unstable(one.point))
        for one in played
        if one.step.level < level
    )


def _promised(plan: Plan, deployment: str) -> set[int]:
    """The levels at which the plan's SLOs are about this deployment."""
    return {
        slo.level
        for slo in plan.slos.values()
        if slo.level is not None and (not slo.named or deployment in slo.named)
    }
