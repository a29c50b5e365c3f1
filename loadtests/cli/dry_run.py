"""What would be played, and how long that takes: nothing is started for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from loadtests.plans import Plan
from loadtests.schedules import ladder

if TYPE_CHECKING:
    from loadtests.analysis.verdicts.config import ComparisonConfig

_UNITS = {"closed": "users", "open": "requests/s"}


def stages(plan: Plan) -> Iterator[str]:
    """Every stage of a run in its order, a line each, and the time."""
    steps = ladder.expected(plan)
    for number, step in enumerate(steps, 1):
        restart = "   (deployments restarted before)" if step.restart else ""
        yield f"{number:3}  {step.level:5} {_UNITS[plan.load.model]}  {step.deployment}{restart}"
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

    unit = _UNITS[terms.model]
    for number in range(2):
        for step in Interleaved(terms).round(number):
            restart = "   (both restarted before)" if step.restart else ""
            yield f"{number + 1:3}  {step.level:5} {unit}  {step.deployment}{restart}"
    yield "  ..."
    first, most = (words.minutes(count * terms.round_seconds) for count in (FIRST, terms.total))
    yield (
        f"{FIRST} to {terms.total} rounds, {first} to {most}: {words.named(terms.metric)} at "
        f"{terms.at[0]} {unit} decides."
    )
    if terms.restarts:
        yield (
            "Every round begins with a new start of both. If that takes longer than "
            f"{STARTING:.0f} s, fewer rounds fit into {words.minutes(terms.within)}."
        )
