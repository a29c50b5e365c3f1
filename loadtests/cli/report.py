"""Analyse a saved run again: `brownout report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loadtests.cli.compare import write_comparison
from loadtests.cli.options import AsJson, Quiet, Verbose
from loadtests.cli.output import (
    console,
    mistakes,
    print_report,
    print_summary,
    settings,
    use,
)
from loadtests.exit_codes import FINE


def report_again(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Analyse a saved run again and write its report."""
    with mistakes():
        use(quiet=quiet, verbose=verbose, as_json=as_json)
        from loadtests.analysis import runs
        from loadtests.compare import baselines
        from loadtests.report import writing
        from loadtests.report.outputs import terminal
        from loadtests.storage import run_folder

        found, against = baselines.judged(runs.analyse(run), run)
        with run_folder.writable(run, "Copy the run to a folder that you can write."):
            found = writing.write(found, run)
            if against:
                write_comparison(against, run)
    console.print(terminal.render(found, settings.detail))
    print_report(run)
    print_summary(found, run, FINE)
