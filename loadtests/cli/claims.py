"""Test what is often said: `brownout claims`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loadtests.cli.options import Out
from loadtests.cli.output import console, mistakes, print_path
from loadtests.cli.playing import shown
from loadtests.exit_codes import INTERRUPTED


def claims(
    only: Annotated[
        str,
        typer.Option(metavar="A,B", help="Only these statements, by name; a wrong one lists them."),
    ] = "",
    out: Out = Path("runs"),
) -> None:
    """
    Test common statements about FastAPI and HTTP clients, in less than ten minutes.

    Each statement is confirmed, refuted, or true only under a condition. Exit code 3: one of them
    could not be measured, usually because the machine was busy.
    """
    with mistakes():
        from loadtests.claims import check, chosen
        from loadtests.claims import text as telling

        wanted = chosen(only)
        with shown() as observer:
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
        print_path(outcome.page)
    raise typer.Exit(outcome.code)
