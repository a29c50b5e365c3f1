"""Test what is often said: `brownout claims`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loadtests.cli.options import AsJson, Out, Quiet
from loadtests.cli.output import console, mistakes, note, print_json, print_path, use
from loadtests.cli.playing import shown
from loadtests.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from loadtests.claims.experiment import ClaimCase, Finding


def claims(
    only: Annotated[
        str,
        typer.Option(metavar="A,B", help="Only these statements, by name; a wrong one lists them."),
    ] = "",
    out: Out = Path("runs"),
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """
    Test common statements about FastAPI and HTTP clients, in less than ten minutes.

    Each statement is confirmed, refuted, or true only under a condition. Exit code 3: one of them
    could not be measured, usually because the machine was busy.
    """
    with mistakes():
        use(quiet=quiet, as_json=as_json)
        from loadtests.claims import check, chosen
        from loadtests.claims import text as telling

        wanted = chosen(only)
        with shown() as observer:
            outcome = check(
                wanted,
                out,
                observer,
                begins=lambda plan: note(f"- {plan}"),
                found=lambda finding: console.print(telling.lines(finding), highlight=False),
            )
        console.print()
        console.print(telling.summary(outcome.findings), highlight=False)
        if outcome.code == INTERRUPTED:
            console.print("Interrupted: this is what was found until then.")
        print_path(outcome.page)
        findings = [_values(finding) for finding in outcome.findings]
        print_json({"page": str(outcome.page), "exit_code": outcome.code, "findings": findings})
    raise typer.Exit(outcome.code)


def _case(case: ClaimCase) -> dict[str, Any]:
    return asdict(case) | {"measured": case.measured.model_dump(), "holds": case.holds}


def _values(finding: Finding) -> dict[str, Any]:
    """What --json prints of a statement, described in docs/formats.md."""
    return {
        "name": finding.experiment.name,
        "claim": finding.experiment.claim,
        "verdict": finding.verdict,
        "why": finding.why,
        "cases": [_case(case) for case in finding.cases],
    }
