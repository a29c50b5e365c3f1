"""
The command line: its commands, each in a module of its own.

A command imports what it needs in its body: `--help`, a mistyped option and `--version` must not
wait a second for the statistics.
"""

from __future__ import annotations

from typing import Annotated

import typer

from loadtests.cli import output
from loadtests.cli.capacity import capacity
from loadtests.cli.claims import claims
from loadtests.cli.compare import compare
from loadtests.cli.control import control
from loadtests.cli.doctor import doctor
from loadtests.cli.init import init
from loadtests.cli.report import report_again
from loadtests.cli.run import run
from loadtests.cli.selfcheck import selfcheck
from loadtests.cli.ui import ui
from loadtests.cli.usage import Command, Commands

app = typer.Typer(
    name="brownout",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # paragraphs fit the width of the terminal
    help="Find how many users a FastAPI service can take behind a slow API, and what limits it.",
)


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
            "--version",
            metavar="",
            help="Print the version.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Options of `brownout` itself, without a command."""
    output.use()


app.command(cls=Command)(init)
app.command(cls=Command)(doctor)
app.command(cls=Command)(run)
app.command(cls=Command)(capacity)
app.command(cls=Command)(ui)
app.command(cls=Command)(compare)
app.command(cls=Command)(selfcheck)
app.command(cls=Command)(claims)
app.command(name="report", cls=Command)(report_again)
app.command(hidden=True, cls=Command)(control)
