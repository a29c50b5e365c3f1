"""Options of several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from loadtests import override_table
from loadtests.cli.usage import choice, whole

_PLAN = (
    "A plan (TOML) or the name of a shipped one. Without it: brownout.toml of this folder, else "
    "the shipped plan 'default'."
)
PlanArgument = Annotated[str | None, typer.Argument(metavar="PLAN", help=_PLAN, show_default=False)]
PlanOption = Annotated[
    str | None, typer.Option("--plan", metavar="PLAN", help=_PLAN, show_default=False)
]

LocustWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- OPTIONS]", help="Options of the plan's locustfile.", show_default=False
    ),
]

Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the runs.")]

Deployments = Annotated[
    str, typer.Option(metavar="A,B", help="Only these deployments of the plan.")
]


def _override(name: str) -> Any:
    """The option of an override, as the table has it."""
    metavar, text = override_table.TABLE[name]
    known = metavar.split("|")
    parser = choice(f"--{name}", *known, unset="") if len(known) > 1 else None
    return typer.Option(metavar=metavar, help=text, parser=parser)


Upstream = Annotated[str, _override("upstream")]

Model = Annotated[str, _override("model")]

Arrivals = Annotated[str, _override("arrivals")]

Levels = Annotated[str, _override("levels")]

Bounds = Annotated[
    str,
    typer.Option(
        "--levels", metavar="1,400", help="Lowest and highest level, or the lowest alone."
    ),
]

Settle = Annotated[str, _override("settle")]

Measure = Annotated[str, _override("measure")]

ThinkTime = Annotated[str, _override("think_time")]

Repeats = Annotated[str, _override("repeats")]

Slos = Annotated[str, _override("slos")]

NoTelemetry = Annotated[
    bool, typer.Option("--no-telemetry", metavar="", help="Turn telemetry off.")
]

Processes = Annotated[
    int,
    typer.Option(
        parser=whole("--processes", 1), metavar="N", help="Number of load generator processes."
    ),
]

WhenUnresolved = Annotated[
    Literal["pass", "fail"] | None,
    typer.Option(
        parser=choice("--unresolved", "pass", "fail"),
        metavar="pass|fail",
        help="Treat an undecided SLO or comparison as pass or fail; without it, exit code 3.",
    ),
]

Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway", metavar="", help="Compare even if the settings of the two runs differ."
    ),
]

At = Annotated[
    int | None,
    typer.Option(
        parser=whole("--at", 1),
        metavar="LEVEL",
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

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", metavar="", help="Print only the results and the problems.")
]

Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", metavar="", help="Print each problem of each level in full."),
]

AsJson = Annotated[
    bool,
    typer.Option(
        "--json", metavar="", help="Print a summary as JSON to stdout, all else to stderr."
    ),
]
