"""Each module here is one way to choose the next stage; its file name is its name.

A schedule is pure: `next_stage(plan, so_far)` says what comes next, given what was measured so far,
or None when it is over. It is a module, or an object where there is something to choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from loadtests.plans.pace import Need, Pace

if TYPE_CHECKING:  # analysis takes a second to import, which `run --dry-run` need not wait for
    from loadtests.analysis.verdicts.blocks import Block
    from loadtests.plans import Plan
    from loadtests.recording.messages import Probe
    from loadtests.results import Estimate, Point


@dataclass(frozen=True, slots=True)
class Step:
    """
    One level on one deployment. `restart`: all deployments are restarted before. `settle` and
    `measure`: seconds, in place of the plan's. `pace`: how long it may last, where neither says it.

    `again`: why the level is played once more, in words; see stages.Stage. `probe`: what is changed
    for a window of an experiment.
    """

    deployment: str
    level: int
    restart: bool = field(default=False, compare=False)
    settle: float | None = field(default=None, compare=False)
    measure: float | None = field(default=None, compare=False)
    pace: Pace | None = field(default=None, compare=False)
    again: str = field(default="", compare=False)
    probe: Probe | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Played:
    """
    What a schedule learns of a stage: `p95` (seconds) of the successes, `failures` in [0, 1].

    `point` is that of all requests, `slow` has its quantiles by name, a failure being infinitely
    slow; `block` is the stage as a comparison takes it; `seconds`: how long the stage took;
    `since`: seconds from the beginning of the run's command to the stage's end; `measured`: seconds
    that it measured, `need` those that it would have had to.
    """

    step: Step
    p95: float | None
    failures: float
    alive: bool = True  # the deployment still runs
    point: Point | None = None
    slow: Mapping[str, Estimate | None] = field(default_factory=dict)
    block: Block | None = None
    seconds: float = 0.0
    since: float = 0.0
    measured: float = 0.0
    need: Need | None = None


class Schedule(Protocol):
    """One way to choose the next stage."""

    def expected(self, plan: Plan) -> list[Step]:
        """The stages that it would play, as far as it knows before the first."""

    def remaining(self, plan: Plan, so_far: Sequence[Played]) -> int:
        """How many stages are to come, as far as one can tell now."""

    def next_stage(self, plan: Plan, so_far: Sequence[Played]) -> Step | None:
        """What comes next, given what was measured so far; None when it is over."""

    def described(self) -> dict[str, Any]:
        """What analysis must know of it, for the head of a run's file."""
