"""Each module here is one way to choose the next stage; its file name is its name.

A schedule is pure: `next_stage(plan, so_far)` says what comes next, given what was measured so far,
or None when it is over. `expected(plan)` lists the stages that it would play at most, if it knows.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One level on one deployment."""

    deployment: str
    level: int


@dataclass(frozen=True, slots=True)
class Played:
    """What a schedule learns of a stage: `p95` (seconds) of the successes, `failures` in [0, 1]."""

    step: Step
    p95: float | None
    failures: float
    alive: bool = True  # the deployment still runs
