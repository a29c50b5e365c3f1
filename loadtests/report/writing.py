"""
Writes the files of a run's folder.

A module of `outputs` names its files in `FILES`: {file name: render(run)}, and in `DRAWINGS` those
that need a picture.
"""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from loadtests import private_files, results
from loadtests.report import outputs
from loadtests.results import Run

Render = Callable[[Run], str | bytes]


def write(run: Run, folder: Path) -> Run:
    """
    Write `run.json`, then the other texts, then `report.html`, which has pictures, then pictures.

    Each file appears whole or not at all. One that cannot be made costs no other.

    Returns:
        The run as it is in `run.json`: with a problem for each file that could not be made.

    Raises:
        OSError: the folder cannot be written.
    """
    _put(folder / "run.json", results.to_json(run))
    problems = []
    for name, render in _renders(run).items():
        path = folder / name
        try:
            content = render(run)
        except Exception as error:
            path.unlink(missing_ok=True)  # of an earlier report
            problems.append(f"{name} could not be made: {error or type(error).__name__}")
        else:
            _put(path, content)
    if problems:
        run = run.model_copy(update={"problems": [*run.problems, *problems]})
        _put(folder / "run.json", results.to_json(run))
    return run


def _renders(run: Run) -> dict[str, Render]:
    """How each file is made; a run without points has no pictures."""
    modules = [
        import_module(f"{outputs.__name__}.{module.name}")
        for module in iter_modules(outputs.__path__)
    ]
    texts: dict[str, Render] = {}
    pictures: dict[str, Render] = {}
    for module in modules:
        texts |= getattr(module, "FILES", {})
        pictures |= getattr(module, "DRAWINGS", {})
    page = texts.pop("report.html")
    return texts | {"report.html": page} | (pictures if run.points else {})


def _put(path: Path, content: str | bytes) -> None:
    replace(path, content if isinstance(content, bytes) else content.encode())


def replace(path: Path, content: bytes, private: bool = True) -> None:
    """
    Put the content in the place of what was there, so that no reader sees half of it.

    Args:
        private: only its owner can read it. Else the umask decides, as for a page that the user
            named.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        private_files.write_new(draft, content, 0o600 if private else 0o666)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
