"""Compare two deployments, or two saved runs: `brownout compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadtests.analysis.verdicts.metrics import METRICS
from loadtests.cli import options
from loadtests.cli.output import (
    console,
    finish,
    mistakes,
    print_json,
    print_lines,
    print_path,
    use,
)
from loadtests.cli.playing import locust_words, plan_file, played
from loadtests.cli.usage import choice

if TYPE_CHECKING:
    from loadtests.compare.saved_runs import Comparison
    from loadtests.outcomes import Ending, Unresolved


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="What B is compared with.")],
    b: Annotated[
        str, typer.Argument(metavar="B", help="A deployment of the plan, a command, URL or run.")
    ],
    words: options.LocustWords = None,
    plan: options.PlanOption = None,
    at: options.Ats = "",
    metric: Annotated[
        str,
        typer.Option(
            parser=choice("--metric", *METRICS),
            metavar="METRIC",
            help=f"The metric that decides: {', '.join(METRICS)}.",
        ),
    ] = "p95",
    margin: options.Margin = "5%",
    within: Annotated[str, typer.Option(metavar="6m", help="Time limit.")] = "6m",
    cwd_a: Annotated[str, typer.Option(metavar="DIR", help="Where the command A starts.")] = "",
    cwd_b: Annotated[str, typer.Option(metavar="DIR", help="Where the command B starts.")] = "",
    settle: Annotated[str, typer.Option(metavar="250ms", help="Time before each block.")] = "",
    measure: Annotated[str, typer.Option(metavar="1.25s", help="Length of each block.")] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the runs; of two saved runs, the page.",
            show_default=False,
        ),
    ] = None,
    processes: options.Processes = 1,
    anyway: options.Anyway = False,
    unresolved: options.WhenUnresolved = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar="", help="Print the order and the time, start nothing."),
    ] = False,
) -> None:
    """
    Compare two deployments, or two saved runs: is B better than A?

    A and B are deployments of the plan, commands with {port}, or URLs. A command takes the keys in
    which all commands of the plan agree, such as `env`. Both run at once and take turns until the
    answer is known or the time is over; those that brownout starts are started again for each round
    of eight blocks. The last sentence says BETTER, WORSE, EQUIVALENT (within the margin),
    UNRESOLVED or INVALID. Exit code 1: WORSE; 3: UNRESOLVED or INVALID.

    Two folders of saved runs can be compared, too, which is the weaker method.
    """
    with mistakes():
        use(quiet=quiet, verbose=verbose, as_json=as_json)
        from loadtests import plans
        from loadtests.cli import arguments
        from loadtests.compare import targets

        saved = [targets.is_run(text) for text in (a, b)]
        if words and any(saved):
            raise arguments.UsageError(
                f"unexpected argument {words[0]!r}: what follows A and B are options of a plan's "
                "locustfile, and saved runs are not played"
            )
        if all(saved):
            page = out or Path("comparison.html")
            level, share = arguments.level(at), arguments.margin(margin)
            raise _compare_saved(Path(a), Path(b), page, anyway, level, share, unresolved)
        if any(saved):
            raise arguments.UsageError(
                f"{a if saved[0] else b!r} is a saved run, {b if saved[0] else a!r} is not: give "
                "two runs, or two services"
            )
        chosen, terms = targets.contest(
            plans.read(plan_file(plan)),
            a,
            b,
            folders=(cwd_a, cwd_b),
            at=at,
            metric=metric,
            margin=arguments.margin(margin),
            within=arguments.seconds(within),
            settle=settle,
            measure=measure,
        )
        locust_options = locust_words(chosen, words)
        if dry_run:
            from loadtests.cli import dry_run as dry_runs

            print_lines(dry_runs.rounds(terms))
            return
        from loadtests.schedules.interleaved import Interleaved

        outcome = played(chosen, out or Path("runs"), processes, Interleaved(terms), locust_options)
    finish(outcome, unresolved)


def _compare_saved(
    a: Path,
    b: Path,
    out: Path,
    anyway: bool,
    level: int | None,
    margin: float,
    unresolved: Unresolved | None,
) -> typer.Exit:
    """Print two saved runs side by side, write the page, and return the verdicts' exit."""
    from loadtests import results
    from loadtests.compare.saved_runs import check
    from loadtests.compare.saved_runs import compare as compared
    from loadtests.outcomes import exit_code
    from loadtests.report import writing
    from loadtests.report.outputs import comparison
    from loadtests.storage import run_folder

    found = compared(results.read(a), results.read(b), level, margin)
    check(found, anyway, level)
    page = comparison.html(found).encode()
    with run_folder.writable(out, "Choose another place with --out."):
        writing.replace(out, page, private=False)
    console.print(comparison.render(found))
    print_path(out)
    code = exit_code(endings(found), unresolved)
    verdicts = [
        {"title": one.title, "verdict": one.verdict, "sentence": one.sentence}
        for one in found.verdicts
    ]
    print_json({"report": str(out), "exit_code": code, "verdicts": verdicts})
    return typer.Exit(code)


def write_comparison(found: Comparison, folder: Path) -> None:
    from loadtests.report import writing
    from loadtests.report.outputs import comparison

    writing.replace(folder / "comparison.html", comparison.html(found).encode())


def endings(found: Comparison) -> set[Ending]:
    """What the verdicts add to a run's exit code."""
    from loadtests.outcomes import verdict_endings

    return verdict_endings(found.b.model_copy(update={"verdicts": found.verdicts}))
