"""What commands print, and how they end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from loadtests.cli import console as consoles
from loadtests.exit_codes import INTERRUPTED, USAGE, Failure
from loadtests.processes.interrupts import is_interrupt

if TYPE_CHECKING:
    from loadtests.outcomes import Outcome, Unresolved

console = consoles.console()

errors = consoles.console(stderr=True)


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
    console.print(terminal.render(outcome.run))
    if outcome.interrupted:
        console.print("Interrupted: this is what was measured until then.")
    print_report(outcome.folder)
    print_path(outcome.folder)
    raise typer.Exit(outcome.exit_code(unresolved))


def print_report(folder: Path) -> None:
    """Print where the report is, if it could be written."""
    if (path := folder / "report.html").is_file():
        print_path(path)


def print_path(path: Path) -> None:
    print_lines([str(path)])


def print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_outcome(outcome: Outcome) -> None:
    from loadtests.report.outputs import terminal

    console.print(terminal.render(outcome.run))
    print_report(outcome.folder)
