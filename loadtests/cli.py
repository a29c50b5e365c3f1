"""The command line: parse, call one function, print."""

import json
import os
import re
import socket
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console

from loadtests import analysis, choices, controller, plans, report, results, session
from loadtests import claims as statements
from loadtests import selfcheck as selfchecks
from loadtests.claims import telling
from loadtests.compare import compare as compared
from loadtests.deployments import DeploymentFailed
from loadtests.engine_process import EngineFailed
from loadtests.progress import shown
from loadtests.report import comparison, terminal
from loadtests.schedules.search import Search, search_of
from loadtests.shortness import too_short
from mock_upstream.durations import parse_duration

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find the concurrency at which a FastAPI service browns out behind a slow upstream.",
)
console = Console()
errors = Console(stderr=True)

PlanArgument = Annotated[
    str, typer.Argument(metavar="PLAN", help="A plan (TOML), or the name of a shipped one.")
]
Out = Annotated[Path, typer.Option(help="Folder for the runs.", file_okay=False)]
Deployments = Annotated[
    str, typer.Option(metavar="A,B", help="Only these deployments of the plan.")
]
Model = Annotated[
    str, typer.Option(metavar="closed|open", help="Users who wait, or a rate, instead.")
]
Arrivals = Annotated[
    str, typer.Option(metavar="poisson|even", help="How requests of a rate come, instead.")
]
Levels = Annotated[str, typer.Option(metavar="1,5,10", help="Numbers of users, or rates, instead.")]
Bounds = Annotated[
    str, typer.Option("--levels", metavar="1,400", help="Lowest and highest level instead.")
]
Settle = Annotated[str, typer.Option(metavar="2s", help="Time before each measurement instead.")]
Measure = Annotated[str, typer.Option(metavar="5s", help="Length of each measurement instead.")]
Repeats = Annotated[str, typer.Option(metavar="N", help="Measure each level so often instead.")]
NoTelemetry = Annotated[
    bool, typer.Option("--no-telemetry", help="Do not ask the deployments where time goes.")
]
Processes = Annotated[
    int, typer.Option(min=1, help="Load generating processes, for more than one can make.")
]
Unresolved = Annotated[
    Literal["pass", "fail"] | None,
    typer.Option(help="What it means that an SLO could not be decided (else exit code 3)."),
]


@app.command()
def run(
    plan: PlanArgument = "default",
    out: Out = Path("runs"),
    deployments: Deployments = "",
    model: Model = "",
    arrivals: Arrivals = "",
    levels: Levels = "",
    settle: Settle = "",
    measure: Measure = "",
    repeats: Repeats = "",
    no_telemetry: NoTelemetry = False,
    processes: Processes = 1,
    unresolved: Unresolved = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the stages and the time, start nothing.")
    ] = False,
) -> None:
    """Bring everything up, climb the levels, write the report."""
    with _mistakes():
        chosen = _chosen(
            plan,
            no_telemetry,
            deployments=deployments,
            model=model,
            arrivals=arrivals,
            levels=levels,
            settle=settle,
            measure=measure,
            repeats=repeats,
        )
        if dry_run:
            _print_stages(chosen)
        for text in too_short(chosen):
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        if dry_run:
            return
        outcome = _played(chosen, out, processes)
    _finish(outcome, unresolved)


@app.command()
def capacity(
    plan: PlanArgument = "default",
    out: Out = Path("runs"),
    deployments: Deployments = "",
    model: Model = "",
    levels: Bounds = "",
    settle: Settle = "",
    measure: Measure = "",
    within: Annotated[str, typer.Option(metavar="10m", help="Time for the search.")] = "10m",
    no_telemetry: NoTelemetry = False,
    processes: Processes = 1,
    unresolved: Unresolved = None,
) -> None:
    """
    Find the highest level that keeps the plan's SLOs, with an interval.

    All SLOs count at every level that is tried: an `at 40` in them is replaced by that level. The
    search ends when the interval is at most 5 % of the level wide, or one level. Exit code 1: not
    even the lowest level keeps them; 3: the time was over first.
    """
    with _mistakes():
        chosen = _chosen(
            plan,
            no_telemetry,
            deployments=deployments,
            model=model,
            settle=settle,
            measure=measure,
        )
        search = search_of(chosen, _bounds(levels) or chosen.load.levels, _seconds(within))
        outcome = _played(chosen, out, processes, search)
    _finish(outcome, unresolved)


@app.command()
def ui(
    plan: PlanArgument = "default",
    out: Out = Path("runs"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the web UI.")] = 8089,
    processes: Processes = 1,
) -> None:
    """Bring everything up and open Locust's web UI, on this machine only."""
    with _mistakes():
        chosen = plans.read(plans.find(plan))
        _check_port(port)
        address = f"http://127.0.0.1:{port}"
        arguments = ["--web-host", "127.0.0.1", "--web-port", str(port), *_several(processes)]

        def opened() -> None:
            console.print(f"Locust's web UI: {address}   (Ctrl-C ends it)")
            if sys.stdout.isatty() and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
                webbrowser.open(address)

        with shown(console) as observer:
            session.ui(chosen, out, observer, arguments, opened, _print_outcome)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run's folder.")],
    b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Another run's folder.")],
    out: Annotated[Path, typer.Option(help="Where to write the page.", dir_okay=False)] = Path(
        "comparison.html"
    ),
) -> None:
    """Lay two saved runs side by side: the curves, and the ratios with their intervals."""
    with _mistakes():
        found = compared(results.read(a), results.read(b))
        console.print(comparison.render(found))
        report.replace(out, comparison.html(found).encode())
    _print_path(out)


@app.command()
def selfcheck(out: Out = Path("runs")) -> None:
    """Measure known truths on this machine, in two minutes: can it be trusted? Exit code 0 or 3."""
    with _mistakes():
        with shown(console) as observer:
            found = selfchecks.check(out, observer, lambda title: console.print(f"- {title}"))
        console.print(selfchecks.table(found))
        console.print(selfchecks.sentence(found), highlight=False)
    raise typer.Exit(session.FINE if found.trusted else session.NOT_MEASURABLE)


@app.command()
def claims(
    only: Annotated[
        str,
        typer.Option(metavar="A,B", help="Only these statements, by name; a wrong one lists them."),
    ] = "",
    out: Out = Path("runs"),
) -> None:
    """
    Put to the test what is often said of FastAPI and HTTP clients, in less than ten minutes.

    Each statement comes out confirmed, refuted, or true only when. Exit code 3: one of them could
    not be measured, on a busy machine mostly.
    """
    with _mistakes():
        wanted = statements.chosen(only)
        with shown(console) as observer:
            outcome = statements.check(
                wanted,
                out,
                observer,
                begins=lambda plan: console.print(f"- {plan}", highlight=False),
                found=lambda finding: console.print(telling.lines(finding), highlight=False),
            )
        console.print()
        console.print(telling.summary(outcome.findings), highlight=False)
        if outcome.code == session.INTERRUPTED:
            console.print("Interrupted: this is what was found until then.")
        _print_path(outcome.page)
    raise typer.Exit(outcome.code)


@app.command(name="report")
def report_again(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
) -> None:
    """Analyse a saved run again and write its report anew."""
    with _mistakes():
        found = analysis.analyse(run)
        report.write(found, run)
    console.print(terminal.render(found))
    _print_path(run / "report.html")


@app.command(hidden=True)
def control(
    plan: str,
    out: Path = Path("runs"),
    announce: Annotated[int, typer.Option(help="Descriptor that takes address and token.")] = 1,
) -> None:
    """Serve a Locust that was started by hand; it starts this."""

    def tell(link: str, token: str) -> None:
        with os.fdopen(announce, "w") as line:
            line.write(json.dumps({"link": link, "token": token}) + "\n")

    with _mistakes(), shown(Console(force_terminal=False)) as observer:
        code = session.control(plans.read(plans.find(plan)), out, observer, tell, _print_outcome)
    raise typer.Exit(code)


@contextmanager
def _mistakes() -> Iterator[None]:
    """Known failures become a message and an exit code; a traceback is a fault of ours."""
    try:
        yield
    except (
        plans.PlanError,
        results.UnreadableRun,
        statements.NoSuchClaim,
        UsageError,
    ) as error:
        code, text = session.USAGE, str(error)
    except DeploymentFailed as error:
        code, text = session.DIED, str(error)
    except EngineFailed as error:
        code, text = session.NOT_MEASURABLE, str(error)
    except KeyboardInterrupt:
        code, text = session.INTERRUPTED, "Interrupted."
    else:
        return
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


class UsageError(Exception):
    """What was typed cannot be done; the message says why and the way out."""


def _chosen(name: str, no_telemetry: bool, **values: str) -> plans.Plan:
    """The plan, with what was typed in place of its own."""
    chosen = choices.applied(plans.read(plans.find(name)), values)
    return plans.altered(chosen, telemetry=False) if no_telemetry else chosen


def _played(
    plan: plans.Plan, out: Path, processes: int, search: Search | None = None
) -> session.Outcome:
    with shown(console) as observer:
        return session.run(plan, out, observer, _several(processes), search)


def _several(processes: int) -> list[str]:
    """Locust's words for several processes: for one it would start a second that only waits."""
    return ["--processes", str(processes)] if processes > 1 else []


def _finish(outcome: session.Outcome, unresolved: str | None) -> NoReturn:
    """Print what was found, and end with its exit code."""
    console.print(terminal.render(outcome.run))
    if outcome.code == session.INTERRUPTED:
        console.print("Interrupted: this is what was measured until then.")
    _print_path(outcome.folder / "report.html")
    _print_path(outcome.folder)
    raise typer.Exit(_resolved(outcome.code, unresolved))


def _bounds(text: str) -> list[int]:
    if not re.fullmatch(r"(\s*[1-9]\d{0,4}\s*,\s*[1-9]\d{0,4}\s*)?", text, re.ASCII):
        raise UsageError(f"--levels {text!r} is not a lowest and a highest level, such as 1,400.")
    found = [int(part) for part in text.split(",") if part.strip()]
    if found and found[-1] > 20_000:
        raise UsageError(f"--levels {text!r}: 20,000 is the highest level that can be tried.")
    return found


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--within {text!r}: {error}") from None


def _print_stages(plan: plans.Plan) -> None:
    steps = controller.expected_steps(plan)
    unit = "users" if plan.load.model == "closed" else "requests/s"
    for number, step in enumerate(steps, 1):
        console.print(f"{number:3}  {step.level:5} {unit}  {step.deployment}", markup=False)
    seconds = controller.expected_seconds(plan, len(steps))
    minutes, rest = divmod(round(seconds), 60)
    console.print(f"{len(steps)} stages, at most {minutes} min {rest} s.")


def _print_path(path: Path) -> None:
    console.print(str(path), markup=False, highlight=False, soft_wrap=True)


def _print_outcome(outcome: session.Outcome) -> None:
    console.print(terminal.render(outcome.run))
    _print_path(outcome.folder / "report.html")


def _resolved(code: int, unresolved: str | None) -> int:
    if code == session.NOT_MEASURABLE and unresolved is not None:
        return session.FINE if unresolved == "pass" else session.FAILED
    return code


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"Port {port} cannot be used for the web UI: {error.strerror}. "
                "Choose another with --port."
            ) from None
