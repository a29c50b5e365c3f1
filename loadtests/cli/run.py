"""Play the levels of a plan: `brownout run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadtests.cli import options
from loadtests.cli.compare import endings, write_comparison
from loadtests.cli.output import finish, mistakes, note, print_lines, use
from loadtests.cli.playing import locust_words, plan_with, played

if TYPE_CHECKING:
    from loadtests import plans
    from loadtests.compare import baselines
    from loadtests.outcomes import Outcome
    from loadtests.schedules import Schedule


def run(
    plan: options.PlanArgument = None,
    words: options.LocustWords = None,
    out: options.Out = Path("runs"),
    deployments: options.Deployments = "",
    upstream: options.Upstream = "",
    model: options.Model = "",
    arrivals: options.Arrivals = "",
    levels: options.Levels = "",
    settle: options.Settle = "",
    measure: options.Measure = "",
    think_time: options.ThinkTime = "",
    repeats: options.Repeats = "",
    slos: options.Slos = "",
    no_telemetry: options.NoTelemetry = False,
    processes: options.Processes = 1,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="A saved run to compare this one with.", show_default=False
        ),
    ] = None,
    anyway: options.Anyway = False,
    at: options.At = None,
    margin: options.Margin = "",
    unresolved: options.WhenUnresolved = None,
    why: Annotated[
        str,
        typer.Option(
            metavar="A,B|all",
            help="Test by experiment what limits these deployments, in a minute each.",
            show_default=False,
        ),
    ] = "",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar="", help="Print the stages and the time, start nothing."),
    ] = False,
) -> None:
    """
    Start everything, measure the levels, and write the report.

    Each request is tried once before the first level. --why tests by experiment what limits a
    deployment: beyond the knee the upstream becomes 20 % faster in turns, and a limit that has a
    setting is raised by half. --baseline compares the run with a saved one of the same settings.

    Exit code 1: an SLO is missed, the run is worse than its baseline, or a deployment fails most
    requests at every level; 3: that could not be decided, or no level is valid; 4: a deployment
    did not start, or ended.
    """
    with mistakes():
        use(quiet=quiet, verbose=verbose, as_json=as_json)
        chosen = plan_with(
            plan,
            no_telemetry,
            deployments=deployments,
            upstream=upstream,
            model=model,
            arrivals=arrivals,
            levels=levels,
            settle=settle,
            measure=measure,
            think_time=think_time,
            repeats=repeats,
            slos=slos,
        )
        locust_options = locust_words(chosen, words)
        from loadtests.plans import overrides

        names = overrides.names(why, chosen)
        schedule = _why(chosen, names)
        if dry_run:
            from loadtests.cli import dry_run as dry_runs

            print_lines(dry_runs.stages(chosen))
            print_lines(dry_runs.experiments(names))
        against = _baseline(baseline, chosen, anyway, at, margin)
        from loadtests.analysis.short_windows import too_short

        note(*too_short(chosen, asked_only=True))
        if dry_run:
            return
        outcome = _against(against, played(chosen, out, processes, schedule, locust_options))
    finish(outcome, unresolved)


def _why(plan: plans.Plan, names: list[str]) -> Schedule | None:
    """The ladder with experiments for these deployments; None: without any."""
    if not names:
        return None
    from loadtests.schedules import why

    return why.why(plan, names)


def _baseline(
    path: Path | None, plan: plans.Plan, anyway: bool, level: int | None, margin: str
) -> baselines.Baseline | None:
    """The run that this one will be judged by, once it is known that it can be."""
    if path is None:
        if not (anyway or level is not None or margin):
            return None
        from loadtests.cli import arguments

        raise arguments.UsageError(
            "--anyway, --at and --margin say how to compare: add --baseline RUN."
        )
    from loadtests.analysis.verdicts.stored import MARGIN
    from loadtests.cli import arguments
    from loadtests.compare import baselines

    share = arguments.margin(margin) if margin else MARGIN
    return baselines.chosen(path, plan, level=level, margin=share, anyway=anyway)


def _against(baseline: baselines.Baseline | None, outcome: Outcome) -> Outcome:
    """The outcome with its verdicts by the baseline, which stays in the run's folder."""
    if baseline is None:
        return outcome
    from loadtests.compare import baselines
    from loadtests.outcomes import Ending, Outcome
    from loadtests.processes import interrupts
    from loadtests.report import writing
    from loadtests.storage import run_folder

    folder = outcome.folder
    with interrupts.held() as held:  # Ctrl-C waits for the report, as it does in a session
        with run_folder.writable(folder):
            writing.replace(folder / baselines.FILE, baselines.to_json(baseline).encode())
        run, found = baselines.judged(outcome.run, folder)
        if found is None:
            return outcome
        with run_folder.writable(folder):
            run = writing.write(run, folder)
            write_comparison(found, folder)
    interrupted = {Ending.INTERRUPTED} if held.came else set[Ending]()
    return Outcome(folder, run, outcome.endings | endings(found) | interrupted)
