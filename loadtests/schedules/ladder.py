"""Fixed levels, climbed by all deployments together, so that a drift of the host hits all alike."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from loadtests.plans import Plan
from loadtests.schedules import Played, Step

TOO_SLOW = 2.0  # seconds: nobody waits, and higher levels would take minutes to tell the same
TOO_MANY_FAILURES = 0.5
SWITCHING = 0.4  # seconds between two stages, as measured; only for telling the time left


def expected(plan: Plan) -> list[Step]:
    """
    Every step in the order of play.

    At each level the deployments take turns, in the opposite order at every other turn: whoever
    was first is last the next time.
    """
    steps = []
    forward = list(plan.deployments)
    turn = 0
    for level in plan.load.levels:
        for _ in range(plan.load.repeats):
            order = forward if turn % 2 == 0 else forward[::-1]
            steps += [Step(name, level) for name in order]
            turn += 1
    return steps


def expected_seconds(plan: Plan, stages: int) -> float:
    """How long so many stages of the plan take; seconds."""
    return stages * (plan.load.settle + plan.load.measure + SWITCHING)


def next_stage(plan: Plan, so_far: Sequence[Played]) -> Step | None:
    """The first step not yet played of a deployment that may still climb."""
    played = Counter(one.step for one in so_far)
    for step in expected(plan):
        if played[step]:
            played[step] -= 1
        elif not any(_is_over(one, step) for one in so_far):
            return step
    return None


def remaining(plan: Plan, so_far: Sequence[Played]) -> int:
    """How many stages are still to come and not ruled out."""
    ahead = list(so_far)
    while (step := next_stage(plan, ahead)) is not None:
        ahead.append(Played(step, None, 0.0))
    return len(ahead) - len(so_far)


def described() -> dict[str, Any]:
    """It needs no words: the plan says all."""
    return {}


def _is_over(played: Played, step: Step) -> bool:
    if played.step.deployment != step.deployment:
        return False
    if not played.alive:
        return True
    collapsed = (played.p95 or 0.0) > TOO_SLOW or played.failures > TOO_MANY_FAILURES
    return (collapsed or _is_unstable(played)) and played.step.level < step.level


def _is_unstable(played: Played) -> bool:
    """More came than was answered: at a higher rate the queue would only grow faster."""
    point = played.point
    return point is not None and point.model == "open" and point.steady == "over-saturated"
