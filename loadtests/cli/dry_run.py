"""What would be played, and how long that takes: nothing is started for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from loadtests.plans import Plan
from loadtests.schedules import ladder

if TYPE_CHECKING:
    from loadtests.analysis.verdicts.config import ComparisonConfig


def _load(level: int, model: str) -> str:
    """A level with its unit, as wide as all others."""
    if model == "open":
        return f"{level:5} requests/s"
    return f"{level:5} {'user ' if level == 1 else 'users'}"


def stages(plan: Plan) -> Iterator[str]:
    """Every stage of a run in its order, a line each, and the time."""
    steps = ladder.expected(plan)
    for number, step in enumerate(steps, 1):
        restart = "   (deployments restarted before)" if step.restart else ""
        yield f"{number:3}  {_load(step.level, plan.load.model)}  {step.deployment}{restart}"
    minutes, rest = divmod(round(ladder.expected_seconds(plan, len(steps))), 60)
    yield f"{len(steps)} stages, at most {minutes} min {rest} s."


def experiments(names: Sequence[str]) -> Iterator[str]:
    """What comes after the stages with --why; nothing without it."""
    if names:
        yield f"Then experiments, of less than a minute each, with {', '.join(names)}."


def rounds(terms: ComparisonConfig) -> Iterator[str]:
    """The first two rounds of a comparison, how many there may be, and what decides."""
    # Not above: the statistics take longer to import than the stages of a run to print.
    from loadtests.analysis.verdicts import text as words
    from loadtests.analysis.verdicts.config import FIRST, STARTING
    from loadtests.schedules.interleaved import Interleaved

    for number in range(2):
        for step in Interleaved(terms).round(number):
            restart = "   (both restarted before)" if step.restart else ""
            yield f"{number + 1:3}  {_load(step.level, terms.model)}  {step.deployment}{restart}"
    yield "  ..."
    first, most = (words.minutes(count * terms.round_seconds) for count in (FIRST, terms.total))
    yield (
        f"{FIRST} to {terms.total} rounds, {first} to {most}: {words.named(terms.metric)} at "
        f"{_load(terms.at[0], terms.model).strip()} decides."
    )
    if terms.restarts:
        yield (
            "Every round begins with a new start of both. If that takes longer than "
            f"{STARTING:.0f} s, fewer rounds fit into {words.minutes(terms.within)}."
        )
