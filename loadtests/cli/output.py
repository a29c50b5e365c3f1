"""What commands print, and how they end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import typer

from loadtests.cli import console as consoles
from loadtests.exit_codes import INTERRUPTED, USAGE, Failure
from loadtests.processes.interrupts import is_interrupt

if TYPE_CHECKING:
    from loadtests.outcomes import Outcome, Unresolved
    from loadtests.results import Run

console = consoles.console()

errors = consoles.console(stderr=True)


@dataclass(slots=True)
class OutputSettings:
    """How much is printed: "least", "usual" or "full"; and whether a program reads the output."""

    detail: Literal["least", "usual", "full"] = "usual"
    as_json: bool = False


settings = OutputSettings()


def use(*, quiet: bool = False, verbose: bool = False, as_json: bool = False) -> None:
    """
    Set what this command prints. With `as_json` standard output is left to `print_json`.

    Raises:
        UsageError: both quiet and verbose.
    """
    if quiet and verbose:
        from loadtests.cli.arguments import UsageError

        raise UsageError("--quiet and --verbose exclude each other: keep one of them.")
    settings.detail = "least" if quiet else "full" if verbose else "usual"
    settings.as_json = console.stderr = as_json


def print_json(values: Mapping[str, Any]) -> None:
    """Print the values as one line of JSON, if that was asked for."""
    if settings.as_json:
        print(json.dumps(values), file=sys.stdout)


@contextmanager
def mistakes() -> Iterator[None]:
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


def finish(outcome: Outcome, unresolved: Unresolved | None) -> NoReturn:
    """Print what was found, and end with its exit code."""
    from loadtests.report.outputs import github_summary, terminal

    if complaint := github_summary.append(outcome.run):
        errors.print(complaint, markup=False, highlight=False, soft_wrap=True)
    console.print(terminal.render(outcome.run, settings.detail))
    if outcome.interrupted:
        console.print("Interrupted: this is what was measured until then.")
    print_report(outcome.folder)
    print_path(outcome.folder)
    code = outcome.exit_code(unresolved)
    print_summary(outcome.run, outcome.folder, code)
    raise typer.Exit(code)


def print_summary(run: Run, folder: Path, code: int) -> None:
    """Print a run in a few values as JSON, if that was asked for."""
    if settings.as_json:
        from loadtests.report.summary import summary

        print_json(summary(run, folder, code))


def print_report(folder: Path) -> None:
    """Print where the report is, if it could be written."""
    if (path := folder / "report.html").is_file():
        print_path(path)


def note(*lines: str) -> None:
    """Print lines that --quiet leaves out."""
    if settings.detail != "least":
        print_lines(lines)


def print_problem(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True, style="red")


def print_path(path: Path) -> None:
    print_lines([str(path)])


def print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_outcome(outcome: Outcome) -> None:
    from loadtests.report.outputs import terminal

    console.print(terminal.render(outcome.run))
    print_report(outcome.folder)
