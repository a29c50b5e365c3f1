"""How commands play a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from loadtests.cli.output import console, note, print_problem, settings

if TYPE_CHECKING:
    from loadtests import plans
    from loadtests.outcomes import Outcome
    from loadtests.run.controller import Observer
    from loadtests.run.pings import Pings
    from loadtests.schedules import Schedule

OWN = "brownout.toml"
"""The plan of a folder."""
CONNECTING = 20  # seconds that the workers of a load generator may take to connect


def plan_file(text: str | None) -> Path:
    """
    Return the file of the plan that was typed. Without one: that of this folder, or the shipped
    default; which of them it is, is printed.
    """
    from loadtests import plans

    if text:
        return plans.find(text)
    own = Path(OWN)
    if own.exists():
        note(f"The plan is {OWN} of this folder.")
        return own
    note(
        f"This folder has no {OWN}: the plan is the shipped one, 'default'. "
        "brownout init writes a plan for your service."
    )
    return plans.find("default")


def plan_with(
    name: str | None, no_telemetry: bool, *, search: bool = False, **values: str
) -> plans.Plan:
    """The plan, with what was typed in place of its own; `search`: see plans.read."""
    from loadtests import plans
    from loadtests.plans import overrides

    chosen = overrides.applied(plans.read(plan_file(name), search), values)
    return plans.altered(chosen, telemetry=False) if no_telemetry else chosen


def locust_words(plan: plans.Plan, words: list[str] | None) -> list[str]:
    """
    Return what was typed for the plan's locustfile.

    Raises:
        arguments.UsageError: the plan has none.
    """
    if words and plan.locustfile is None:
        from loadtests.cli.arguments import UsageError

        raise UsageError(
            f"unexpected argument {words[0]!r}: what follows a plan are options of its locustfile, "
            "and this plan has none"
        )
    return words or []


def played(
    plan: plans.Plan,
    out: Path,
    processes: int,
    schedule: Schedule | None = None,
    words: Sequence[str] = (),
) -> Outcome:
    """
    Play the plan, print its progress, and return what was found.

    Args:
        words: options of the plan's locustfile, as typed.
    """
    from loadtests import session
    from loadtests.schedules import ladder

    with shown() as observer:
        return session.run(
            plan,
            out,
            observer,
            several(processes),
            schedule or ladder,
            pinged=pinged(plan),
            words=words,
        )


def pinged(plan: plans.Plan) -> Callable[[Pings], None]:
    """Return what prints the answers to the first requests, and what is wrong with them."""

    def tell(pings: Pings) -> None:
        from loadtests.cli import ping_lines

        note(*ping_lines.answers(plan, pings))
        for text in ping_lines.problems(pings):
            print_problem(text)

    return tell


def shown(where: Console = console) -> AbstractContextManager[Observer]:
    """Return an observer that prints the progress of a run while it is open."""
    from loadtests.cli import progress

    return progress.problems(where) if settings.detail == "least" else progress.shown(where)


def several(processes: int) -> list[str]:
    """
    Return Locust's options for several processes: for one it would start a second that only waits.

    A worker that ended before it was connected would be waited for without end.
    """
    if processes == 1:
        return []
    return ["--processes", str(processes), "--expect-workers-max-wait", str(CONNECTING)]
