"""Measure known truths on this machine: `brownout selfcheck`."""

from __future__ import annotations

from pathlib import Path

import typer

from loadtests.cli.options import Out
from loadtests.cli.output import console, mistakes
from loadtests.cli.playing import shown
from loadtests.exit_codes import FINE, NOT_MEASURABLE


def selfcheck(out: Out = Path("runs")) -> None:
    """Check in two minutes whether this machine measures known values right. Exit code 0 or 3."""
    with mistakes():
        from loadtests.selfcheck import check, sentence, table

        with shown() as observer:
            found = check(out, observer, lambda title: console.print(f"- {title}"))
        console.print(table(found))
        console.print(sentence(found), highlight=False)
    raise typer.Exit(FINE if found.trusted else NOT_MEASURABLE)
