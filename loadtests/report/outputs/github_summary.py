"""The run on the page that GitHub shows of a workflow: `summary.md`, but for its picture.

Pictures of a file, or in a data: URI, are left out by GitHub.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from loadtests.report.outputs import markdown
from loadtests.results import Run

VARIABLE = "GITHUB_STEP_SUMMARY"  # names the file; set by GitHub alone
LIMIT = 1024 * 1024  # bytes of one step; of a step with more GitHub shows nothing
CUT = "\n*Cut off here: GitHub takes 1 MiB of a step. All of it is in `summary.md` of the run.*\n"


def append(run: Run, environment: Mapping[str, str] = os.environ) -> str:
    """
    Add the run to GitHub's page, when there is one; what others wrote there stays.

    Returns why that could not be done, in a line; empty when there is nothing to say.
    """
    path = environment.get(VARIABLE)
    if not path:
        return ""
    try:
        with Path(path).open("ab") as file:
            before = file.tell()
            text = ("\n" if before else "") + markdown.render(run, picture=False)
            content = cut(text, LIMIT - before)
            file.write(content.encode())
    except OSError as error:
        return f"{VARIABLE}: {path} cannot be written: {error.strerror}."
    return "" if content else f"{VARIABLE}: {path} is full: GitHub takes 1 MiB of a step."


def cut(text: str, room: int) -> str:
    """The lines that fit into `room` bytes, with a last one that says so; empty if none fits."""
    if len(text.encode()) <= room:
        return text
    kept, room = "", room - len(CUT.encode())
    for line in text.splitlines(keepends=True):
        room -= len(line.encode())
        if room < 0:
            break
        kept += line
    return kept + CUT if kept.strip() else ""
