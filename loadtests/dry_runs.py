"""What would be played, and how long that takes: nothing is started for it."""

from collections.abc import Iterator

from loadtests import controller
from loadtests.analysis import duel_words as words
from loadtests.analysis.duels import FIRST, Terms
from loadtests.plans import Plan
from loadtests.schedules.duel import Duel

_UNITS = {"closed": "users", "open": "requests/s"}


def stages(plan: Plan) -> Iterator[str]:
    """Every stage of a run in its order, a line each, and the time."""
    steps = controller.expected_steps(plan)
    for number, step in enumerate(steps, 1):
        yield f"{number:3}  {step.level:5} {_UNITS[plan.load.model]}  {step.deployment}"
    minutes, rest = divmod(round(controller.expected_seconds(plan, len(steps))), 60)
    yield f"{len(steps)} stages, at most {minutes} min {rest} s."


def rounds(terms: Terms) -> Iterator[str]:
    """The first two rounds of a comparison, how many there may be, and what decides."""
    unit = _UNITS[terms.model]
    for number in range(2):
        for step in Duel(terms).round(number):
            anew = "   (both started anew before)" if step.anew else ""
            yield f"{number + 1:3}  {step.level:5} {unit}  {step.deployment}{anew}"
    yield "  ..."
    first, most = (words.minutes(count * terms.round_seconds) for count in (FIRST, terms.total))
    yield (
        f"{FIRST} to {terms.total} rounds, {first} to {most}: {words.named(terms.metric)} at "
        f"{terms.at[0]} {unit} decides."
    )
