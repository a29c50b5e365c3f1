"""
The command line: parse, call one function, print.

Commands import what they need themselves: `--help`, a mistyped option and `--version` must not wait
a second for the statistics.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console

from loadtests import override_table
from loadtests.analysis.verdicts.metrics import METRICS
from loadtests.cli import console as consoles
from loadtests.exit_codes import FINE, INTERRUPTED, NOT_MEASURABLE, USAGE, Failure
from loadtests.processes.interrupts import is_interrupt

if TYPE_CHECKING:
    from loadtests import plans
    from loadtests.compare import baselines
    from loadtests.compare.saved_runs import Comparison
    from loadtests.outcomes import Ending, Outcome, Unresolved
    from loadtests.run.controller import Observer
    from loadtests.schedules import Schedule

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find the concurrency at which a FastAPI service browns out behind a slow upstream.",
)
console = consoles.console()
errors = consoles.console(stderr=True)

PlanArgument = Annotated[
    str, typer.Argument(metavar="PLAN", help="A plan (TOML), or the name of a shipped one.")
]
Out = Annotated[Path, typer.Option(help="Folder for the runs.", file_okay=False)]
Deployments = Annotated[
    str, typer.Option(metavar="A,B", help="Only these deployments of the plan.")
]
CONNECTING = 20  # seconds that the workers of a load generator may take to connect


def _override(name: str) -> Any:
    """The option of an override, as the table has it."""
    metavar, text = override_table.TABLE[name]
    return typer.Option(metavar=metavar, help=text)


Upstream = Annotated[str, _override("upstream")]
Model = Annotated[str, _override("model")]
Arrivals = Annotated[str, _override("arrivals")]
Levels = Annotated[str, _override("levels")]
Bounds = Annotated[str, typer.Option("--levels", metavar="1,400", help="Lowest and highest level.")]
Settle = Annotated[str, _override("settle")]
Measure = Annotated[str, _override("measure")]
ThinkTime = Annotated[str, _override("think_time")]
Repeats = Annotated[str, _override("repeats")]
Slos = Annotated[str, _override("slos")]
NoTelemetry = Annotated[bool, typer.Option("--no-telemetry", help="Turn telemetry off.")]
Processes = Annotated[int, typer.Option(min=1, help="Number of load generator processes.")]
WhenUnresolved = Annotated[
    Literal["pass", "fail"] | None,
    typer.Option(
        help="Treat an undecided SLO or comparison as pass or fail; without it, exit code 3."
    ),
]
Anyway = Annotated[
    bool, typer.Option("--anyway", help="Compare even if the settings of the two runs differ.")
]
At = Annotated[
    int | None,
    typer.Option(
        metavar="LEVEL",
        min=1,
        help="The level that decides a comparison; else the highest that can.",
        show_default=False,
    ),
]
Ats = Annotated[
    str,
    typer.Option(
        metavar="40[,10,80]",
        help="The level that decides, and others that are only reported.",
        show_default=False,
    ),
]
Margin = Annotated[str, typer.Option(metavar="5%", help="The change that does not matter.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from mock_upstream.version import installed_version

        print(f"brownout {installed_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options of `brownout` itself, before any command."""


@app.command()
def run(
    plan: PlanArgument = "default",
    out: Out = Path("runs"),
    deployments: Deployments = "",
    upstream: Upstream = "",
    model: Model = "",
    arrivals: Arrivals = "",
    levels: Levels = "",
    settle: Settle = "",
    measure: Measure = "",
    think_time: ThinkTime = "",
    repeats: Repeats = "",
    slos: Slos = "",
    no_telemetry: NoTelemetry = False,
    processes: Processes = 1,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A saved run to judge this one by.", show_default=False),
    ] = None,
    anyway: Anyway = False,
    at: At = None,
    margin: Margin = "",
    unresolved: WhenUnresolved = None,
    why: Annotated[
        str,
        typer.Option(
            metavar="A,B|all",
            help="Test by experiment what limits these deployments, in a minute each.",
            show_default=False,
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the stages and the time, start nothing.")
    ] = False,
) -> None:
    """
    Bring everything up, climb the levels, write the report.

    With --why the limit that is named is put to the test: beyond the knee the upstream is made 20 %
    faster in turns, and a limit that has a setting is raised by half. With --baseline the run is
    compared with a saved one, if the two are alike. Exit code 1: it is worse; 3: that could not be
    decided.
    """
    with _mistakes():
        chosen = _chosen(
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
        from loadtests.plans import overrides as choices

        names = choices.names(why, chosen)
        schedule = _why(chosen, names)
        if dry_run:
            from loadtests.cli import dry_run as dry_runs

            _print_lines(dry_runs.stages(chosen))
            _print_lines(dry_runs.experiments(names))
        against = _baseline(baseline, chosen, anyway, at, margin)
        from loadtests.analysis.short_windows import too_short

        _print_lines(too_short(chosen))
        if dry_run:
            return
        outcome = _against(against, _played(chosen, out, processes, schedule))
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
    within: Annotated[
        str, typer.Option(metavar="10m", help="Time until it ends, its start included.")
    ] = "10m",
    no_telemetry: NoTelemetry = False,
    processes: Processes = 1,
    unresolved: WhenUnresolved = None,
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
        from loadtests.cli import arguments as typed
        from loadtests.schedules.search import search_of

        search = search_of(
            chosen, typed.bounds(levels) or chosen.load.levels, typed.seconds(within)
        )
        outcome = _played(chosen, out, processes, search)
    _finish(outcome, unresolved)


@app.command()
def ui(
    plan: PlanArgument = "default",
    out: Out = Path("runs"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the web UI.")] = 8089,
    web_host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where it listens; 0.0.0.0: for everybody.")
    ] = "127.0.0.1",
    web_login: Annotated[bool, typer.Option("--web-login", help="Ask for a password.")] = False,
    web_base_path: Annotated[
        str, typer.Option(metavar="/PATH", help="Before all of its addresses, behind a proxy.")
    ] = "",
    processes: Processes = 1,
) -> None:
    """
    Bring everything up and open Locust's web UI, on this machine only unless asked otherwise.

    Tests are started in Locust's form. The curves grow at /degradation/, where earlier runs can be
    laid over them and the upstream can be changed while a test runs.
    """
    with _mistakes():
        from loadtests import environment, plans, session
        from loadtests.cli import arguments as typed
        from loadtests.plans import hosts

        chosen = plans.read(plans.find(plan))
        _check_port(web_host, port)
        base = typed.base_path(web_base_path)
        address = f"http://{_reached_at(web_host)}:{port}{base}"
        arguments = ["--web-host", web_host, "--web-port", str(port), *_several(processes)]
        arguments += ["--web-login"] if web_login else []
        arguments += ["--web-base-path", base] if base else []
        password = _password() if web_login else None
        if not web_login and not hosts.is_local(web_host):
            errors.print(
                f"Whoever reaches {web_host} can start tests here: --web-login asks for a password."
            )

        def opened() -> None:
            console.print(f"Locust's web UI: {address}   (Ctrl-C ends it)")
            console.print(f"The curves:      {address}/degradation/")
            if password:
                console.print(f"Log in as {environment.USER} with {password}", highlight=False)
            if sys.stdout.isatty() and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
                webbrowser.open(address)

        with _shown() as observer:
            session.ui(chosen, out, observer, arguments, opened, _print_outcome)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="What B is compared with.")],
    b: Annotated[
        str, typer.Argument(metavar="B", help="A deployment of the plan, a command, URL or run.")
    ],
    plan: Annotated[
        str, typer.Option(metavar="PLAN", help="Upstream, requests, deployments: a plan.")
    ] = "default",
    at: Ats = "",
    metric: Annotated[
        str, typer.Option(metavar="|".join(METRICS), help="The metric that decides.")
    ] = "p95",
    margin: Margin = "5%",
    within: Annotated[str, typer.Option(metavar="6m", help="The time limit.")] = "6m",
    cwd_a: Annotated[str, typer.Option(metavar="DIR", help="Where the command A starts.")] = "",
    cwd_b: Annotated[str, typer.Option(metavar="DIR", help="Where the command B starts.")] = "",
    settle: Annotated[str, typer.Option(metavar="250ms", help="Before each block.")] = "",
    measure: Annotated[str, typer.Option(metavar="1.25s", help="Length of each block.")] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the runs; of two saved runs, the page.", show_default=False),
    ] = None,
    processes: Processes = 1,
    anyway: Anyway = False,
    unresolved: WhenUnresolved = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the order and the time, start nothing.")
    ] = False,
) -> None:
    """
    Is B better than A? Both are up at once and take turns, until it is known or the time is over.

    A and B are deployments of the plan, commands with {port}, or URLs. What is started is started
    anew for each round of eight blocks. The sentence at the end says BETTER, WORSE, EQUIVALENT
    (within the margin), UNRESOLVED or INVALID. Exit code 1: WORSE; 3: UNRESOLVED or INVALID.

    Two folders of saved runs are compared as well, which is the weaker method.
    """
    with _mistakes():
        from loadtests import plans
        from loadtests.cli import arguments as typed
        from loadtests.compare import targets

        saved = [targets.is_run(text) for text in (a, b)]
        if all(saved):
            page = out or Path("comparison.html")
            _compare_saved(
                Path(a), Path(b), page, anyway, typed.level(at), typed.margin(margin), unresolved
            )
        if any(saved):
            raise typed.UsageError(
                f"{a if saved[0] else b!r} is a saved run, {b if saved[0] else a!r} is not: give "
                "two runs, or two services"
            )
        chosen, terms = targets.contest(
            plans.read(plans.find(plan)),
            a,
            b,
            folders=(cwd_a, cwd_b),
            at=at,
            metric=metric,
            margin=typed.margin(margin),
            within=typed.seconds(within),
            settle=settle,
            measure=measure,
        )
        if dry_run:
            from loadtests.cli import dry_run as dry_runs

            _print_lines(dry_runs.rounds(terms))
            return
        from loadtests.schedules.interleaved import Interleaved

        outcome = _played(chosen, out or Path("runs"), processes, Interleaved(terms))
    _finish(outcome, unresolved)


@app.command()
def selfcheck(out: Out = Path("runs")) -> None:
    """Measure known truths on this machine, in two minutes: can it be trusted? Exit code 0 or 3."""
    with _mistakes():
        from loadtests.selfcheck import check, sentence, table

        with _shown() as observer:
            found = check(out, observer, lambda title: console.print(f"- {title}"))
        console.print(table(found))
        console.print(sentence(found), highlight=False)
    raise typer.Exit(FINE if found.trusted else NOT_MEASURABLE)


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
        from loadtests.claims import check, chosen
        from loadtests.claims import text as telling

        wanted = chosen(only)
        with _shown() as observer:
            outcome = check(
                wanted,
                out,
                observer,
                begins=lambda plan: console.print(f"- {plan}", highlight=False),
                found=lambda finding: console.print(telling.lines(finding), highlight=False),
            )
        console.print()
        console.print(telling.summary(outcome.findings), highlight=False)
        if outcome.code == INTERRUPTED:
            console.print("Interrupted: this is what was found until then.")
        _print_path(outcome.page)
    raise typer.Exit(outcome.code)


@app.command(name="report")
def report_again(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
) -> None:
    """Analyse a saved run again and write its report anew."""
    with _mistakes():
        from loadtests.analysis import runs
        from loadtests.compare import baselines
        from loadtests.report import writing
        from loadtests.report.outputs import terminal

        found, against = baselines.judged(runs.analyse(run), run)
        found = writing.write(found, run)
        if against:
            _write_comparison(against, run)
    console.print(terminal.render(found))
    _print_report(run)


@app.command(hidden=True)
def control(
    plan: str,
    out: Path = Path("runs"),
    announce: Annotated[int, typer.Option(help="Descriptor that takes address and token.")] = 1,
) -> None:
    """Serve a Locust that was started by hand; it starts this."""

    def tell(link: str, token: str) -> None:
        with os.fdopen(announce, "w", encoding="utf-8") as line:
            line.write(json.dumps({"link": link, "token": token}) + "\n")

    with _mistakes(), _shown(consoles.console(force_terminal=False)) as observer:
        from loadtests import plans, session

        code = session.control(plans.read(plans.find(plan)), out, observer, tell, _print_outcome)
    raise typer.Exit(code)


@contextmanager
def _mistakes() -> Iterator[None]:
    """Known failures become a message and an exit code; a traceback is a fault of ours."""
    try:
        yield
    except Failure as error:
        from loadtests import redaction

        code, text = error.exit_code, redaction.masked(str(error))
    except UnicodeEncodeError as error:
        if error.encoding.replace("-", "") == "utf8":
            raise
        from loadtests import redaction

        code = USAGE
        text = redaction.text(
            f"{error.object!r} cannot be passed to the system in this locale, whose encoding is "
            f"{error.encoding}: set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
        )
    except BaseException as error:
        if not is_interrupt(error):
            raise
        code, text = INTERRUPTED, "Interrupted."
    else:
        return
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def _chosen(name: str, no_telemetry: bool, **values: str) -> plans.Plan:
    """The plan, with what was typed in place of its own."""
    from loadtests import plans
    from loadtests.plans import overrides as choices

    chosen = choices.applied(plans.read(plans.find(name)), values)
    return plans.altered(chosen, telemetry=False) if no_telemetry else chosen


def _why(plan: plans.Plan, names: list[str]) -> Schedule | None:
    """The ladder with experiments for these deployments; None: without any."""
    if not names:
        return None
    from loadtests.schedules import why

    return why.why(plan, names)


def _played(
    plan: plans.Plan, out: Path, processes: int, schedule: Schedule | None = None
) -> Outcome:
    from loadtests import session
    from loadtests.schedules import ladder

    with _shown() as observer:
        return session.run(plan, out, observer, _several(processes), schedule or ladder)


def _shown(where: Console = console) -> AbstractContextManager[Observer]:
    from loadtests.cli.progress import shown

    return shown(where)


def _several(processes: int) -> list[str]:
    """
    Return Locust's options for several processes: for one it would start a second that only waits.

    A worker that ended before it was connected would be waited for without end.
    """
    if processes == 1:
        return []
    return ["--processes", str(processes), "--expect-workers-max-wait", str(CONNECTING)]


def _finish(outcome: Outcome, unresolved: Unresolved | None) -> NoReturn:
    """Print what was found, and end with its exit code."""
    from loadtests.report.outputs import github_summary, terminal

    if complaint := github_summary.append(outcome.run):
        errors.print(complaint, markup=False, highlight=False, soft_wrap=True)
    console.print(terminal.render(outcome.run))
    if outcome.interrupted:
        console.print("Interrupted: this is what was measured until then.")
    _print_report(outcome.folder)
    _print_path(outcome.folder)
    raise typer.Exit(outcome.exit_code(unresolved))


def _compare_saved(
    a: Path,
    b: Path,
    out: Path,
    anyway: bool,
    level: int | None,
    margin: float,
    unresolved: Unresolved | None,
) -> NoReturn:
    """Print two saved runs side by side, write the page, and end with the verdicts' exit code."""
    from loadtests import results
    from loadtests.compare.saved_runs import check
    from loadtests.compare.saved_runs import compare as compared
    from loadtests.outcomes import exit_code
    from loadtests.report import writing
    from loadtests.report.outputs import comparison

    found = compared(results.read(a), results.read(b), level, margin)
    check(found, anyway, level)
    writing.replace(out, comparison.html(found).encode(), private=False)
    console.print(comparison.render(found))
    _print_path(out)
    raise typer.Exit(exit_code(_endings(found), unresolved))


def _baseline(
    path: Path | None, plan: plans.Plan, anyway: bool, level: int | None, margin: str
) -> baselines.Baseline | None:
    """The run that this one will be judged by, once it is known that it can be."""
    if path is None:
        if not (anyway or level is not None or margin):
            return None
        from loadtests.cli import arguments as typed

        raise typed.UsageError(
            "--anyway, --at and --margin say how to compare: add --baseline RUN."
        )
    from loadtests.analysis.verdicts.stored import MARGIN
    from loadtests.cli import arguments as typed
    from loadtests.compare import baselines

    share = typed.margin(margin) if margin else MARGIN
    return baselines.chosen(path, plan, level=level, margin=share, anyway=anyway)


def _against(baseline: baselines.Baseline | None, outcome: Outcome) -> Outcome:
    """The outcome with its verdicts by the baseline, which stays in the run's folder."""
    if baseline is None:
        return outcome
    from loadtests.compare import baselines
    from loadtests.outcomes import Ending, Outcome
    from loadtests.processes import interrupts
    from loadtests.report import writing

    folder = outcome.folder
    with interrupts.held() as held:  # Ctrl-C waits for the report, as it does in a session
        writing.replace(folder / baselines.FILE, baselines.to_json(baseline).encode())
        run, found = baselines.judged(outcome.run, folder)
        if found is None:
            return outcome
        run = writing.write(run, folder)
        _write_comparison(found, folder)
    interrupted = {Ending.INTERRUPTED} if held.came else set[Ending]()
    return Outcome(folder, run, outcome.endings | _endings(found) | interrupted)


def _write_comparison(found: Comparison, folder: Path) -> None:
    from loadtests.report import writing
    from loadtests.report.outputs import comparison

    writing.replace(folder / "comparison.html", comparison.html(found).encode())


def _endings(found: Comparison) -> set[Ending]:
    """What the verdicts add to a run's exit code."""
    from loadtests.outcomes import verdict_endings

    return verdict_endings(found.b.model_copy(update={"verdicts": found.verdicts}))


def _print_report(folder: Path) -> None:
    """Print where the report is, if it could be written."""
    if (path := folder / "report.html").is_file():
        _print_path(path)


def _print_path(path: Path) -> None:
    _print_lines([str(path)])


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _print_outcome(outcome: Outcome) -> None:
    from loadtests.report.outputs import terminal

    console.print(terminal.render(outcome.run))
    _print_report(outcome.folder)


def _password() -> str | None:
    """Makes one for the web UI, where the environment has none; it is told then."""
    from loadtests import environment

    if os.environ.get(environment.PASSWORD):
        return None
    os.environ[environment.PASSWORD] = made = secrets.token_urlsafe(9)
    return made


def _check_port(host: str, port: int) -> None:
    from loadtests.cli import arguments as typed

    if host in ("", "*"):
        raise typed.UsageError(
            f"--web-host {host!r} is not an address. "
            "127.0.0.1 is for this machine alone, 0.0.0.0 for everybody."
        )
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise typed.UsageError(
            f"Port {port} of {host} cannot be used for the web UI: {reason}. "
            "Choose others with --port and --web-host."
        ) from None


def _reached_at(host: str) -> str:
    """Return how a browser on this machine names a server that listens on that address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
