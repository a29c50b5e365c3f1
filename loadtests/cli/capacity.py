"""Search the highest level that keeps the SLOs: `brownout capacity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loadtests.cli.options import (
    AsJson,
    Bounds,
    Deployments,
    LocustWords,
    Measure,
    Model,
    NoTelemetry,
    Out,
    PlanArgument,
    Processes,
    Quiet,
    Settle,
    Verbose,
    WhenUnresolved,
)
from loadtests.cli.output import finish, mistakes, use
from loadtests.cli.playing import locust_words, plan_with, played


def capacity(
    plan: PlanArgument = None,
    words: LocustWords = None,
    out: Out = Path("runs"),
    deployments: Deployments = "",
    model: Model = "",
    levels: Bounds = "",
    settle: Settle = "",
    measure: Measure = "",
    within: Annotated[
        str, typer.Option(metavar="10m", help="Time limit of the whole command.")
    ] = "10m",
    no_telemetry: NoTelemetry = False,
    processes: Processes = 1,
    unresolved: WhenUnresolved = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """
    Find the highest level that meets the plan's SLOs, with an interval.

    Every level that is tried must meet all SLOs: an `at 40` in them is replaced by that level, and
    can be left out. With a single level the search begins there and goes up as far as it takes. It
    ends when the interval is at most 5 % of the level wide, or one level.

    Exit code 1: not even the lowest level meets them; 3: the time was over first.
    """
    with mistakes():
        use(quiet=quiet, verbose=verbose, as_json=as_json)
        chosen = plan_with(
            plan,
            no_telemetry,
            search=True,
            deployments=deployments,
            model=model,
            settle=settle,
            measure=measure,
        )
        options = locust_words(chosen, words)
        from loadtests.cli import arguments
        from loadtests.schedules.search import search_of

        search = search_of(
            chosen, arguments.bounds(levels) or chosen.load.levels, arguments.seconds(within)
        )
        outcome = played(chosen, out, processes, search, options)
    finish(outcome, unresolved)
