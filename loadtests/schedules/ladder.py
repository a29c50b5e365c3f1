"""Fixed levels, climbed by all deployments together, so that a drift of the host hits all alike."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from loadtests.analysis.collapse import collapse, unstable
from loadtests.plans import Plan, UrlDeployment
from loadtests.schedules import Played, Step

SWITCHING = 0.4  # seconds between two stages, as measured; only for telling the time left
RESTARTING = 2.0  # seconds that a restart of all deployments takes; for the same


def expected(plan: Plan) -> list[Step]:
    """
    Every step in the order of play.

    At each level the deployments take turns, in the opposite order at every other turn: whoever
    was first is last the next time. Where repeats begin with a restart, each of them climbs all
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
    """How long so many stages of the plan take; seconds."""
    restarted = stages // _climb(plan) if restarts(plan) else 0
    each = plan.load.settle + plan.load.measure + SWITCHING
    return stages * each + restarted * RESTARTING


def next_stage(plan: Plan, so_far: Sequence[Played]) -> Step | None:
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
            return replace(step, anew=restarts(plan) and repeat > last)
    return None


def _climb(plan: Plan) -> int:
    """The steps of one climb through all levels."""
    return len(plan.load.levels) * len(plan.deployments)


def remaining(plan: Plan, so_far: Sequence[Played]) -> int:
    """How many stages are still to come and not ruled out."""
    ahead = list(so_far)
    while (step := next_stage(plan, ahead)) is not None:
        ahead.append(Played(step, None, 0.0))
    return len(ahead) - len(so_far)


def described() -> dict[str, Any]:
    """It needs no words: the plan says all."""
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
    """The levels at which the plan's SLOs promise something of this deployment."""
    return {
        slo.level
        for slo in plan.slos.values()
        if slo.level is not None and (not slo.named or deployment in slo.named)
    }
