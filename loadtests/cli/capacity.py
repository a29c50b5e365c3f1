"""Search the highest level that keeps the SLOs: `brownout capacity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loadtests.cli import options
from loadtests.cli.output import finish, mistakes, use
from loadtests.cli.playing import locust_words, plan_with, played


def capacity(
    plan: options.PlanArgument = None,
    words: options.LocustWords = None,
    out: options.Out = Path("runs"),
    deployments: options.Deployments = "",
    model: options.Model = "",
    levels: options.Bounds = "",
    settle: options.Settle = "",
    measure: options.Measure = "",
    within: Annotated[
        str, typer.Option(metavar="10m", help="Time limit of the whole command.")
    ] = "10m",
    no_telemetry: options.NoTelemetry = False,
    processes: options.Processes = 1,
    unresolved: options.WhenUnresolved = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
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
        locust_options = locust_words(chosen, words)
        from loadtests.cli import arguments
        from loadtests.schedules.search import search_of

        search = search_of(
            chosen, arguments.bounds(levels) or chosen.load.levels, arguments.seconds(within)
        )
        outcome = played(chosen, out, processes, search, locust_options)
    finish(outcome, unresolved)
