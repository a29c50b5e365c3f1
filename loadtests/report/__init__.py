"""
What a run found, for people and for programs: one module here, one output.

A module that writes files of a run's folder names them in `FILES`: {file name: render(run)}.
"""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from loadtests import results
from loadtests.results import Run

Render = Callable[[Run], str | bytes]


def write(run: Run, folder: Path) -> list[Path]:
    """
    Write `run.json`, then every other output; the paths of all.

    Each file appears whole or not at all. `run.json` comes first: should a picture fail, the
    numbers are there.
    """
    renders: dict[str, Render] = {"run.json": results.to_json}
    for module in iter_modules(__path__):
        renders |= getattr(import_module(f"{__name__}.{module.name}"), "FILES", {})
    written = []
    for name, render in renders.items():
        content = render(run)
        path = folder / name
        replace(path, content if isinstance(content, bytes) else content.encode())
        written.append(path)
    return written


def replace(path: Path, content: bytes) -> None:
    """Put the content in the place of what was there, so that no reader sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
