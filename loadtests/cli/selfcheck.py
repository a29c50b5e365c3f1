"""Measure known truths on this machine: `brownout selfcheck`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from loadtests.cli.options import AsJson, Out, Quiet
from loadtests.cli.output import console, mistakes, note, print_json, use
from loadtests.cli.playing import shown
from loadtests.exit_codes import FINE, NOT_MEASURABLE


def selfcheck(out: Out = Path("runs"), quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Check in two minutes whether this machine measures known values right. Exit code 0 or 3."""
    with mistakes():
        use(quiet=quiet, as_json=as_json)
        from loadtests.selfcheck import check, sentence, table

        with shown() as observer:
            found = check(out, observer, lambda title: note(f"- {title}"))
        code = FINE if found.trusted else NOT_MEASURABLE
        console.print(table(found))
        console.print(sentence(found), highlight=False)
        print_json({"exit_code": code, "sentence": sentence(found), **asdict(found)})
    raise typer.Exit(code)
