"""Earlier runs: those whose folders lie in the folder of the runs, and no others."""

import json
import os
import re
from pathlib import Path
from typing import Any

from loadtests import foreign_files, results
from loadtests.results import Run, UnreadableRun

FILES = {
    "report.html": "Report",
    "points.csv": "CSV",
    "curves.png": "PNG",
    "run.json": "run.json",
}
MOST = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")


class NoSuchRun(Exception):
    """The message says which one."""


class Shelf:
    """Knows what was read, so that asking again costs little."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._known: dict[str, tuple[float, dict[str, Any]]] = {}

    def listed(self) -> list[dict[str, Any]]:
        """The finished runs, the latest first, at most MOST; those that cannot be read are left
        out."""
        found: list[dict[str, Any]] = []
        try:
            folders = sorted((path.name for path in self._out.iterdir()), reverse=True)
        except OSError:
            return []
        for name in folders:
            if len(found) == MOST:
                break
            if entry := self._entry(name):
                found.append(entry)
        return found

    def read(self, name: str) -> Run:
        """Raises NoSuchRun."""
        try:
            return results.read(file(self._out, name, "run.json"))
        except UnreadableRun as error:
            raise NoSuchRun(str(error)) from None
        except RecursionError:
            raise NoSuchRun(f"the run.json of {name!r:.120} is nested too deep") from None

    def _entry(self, name: str) -> dict[str, Any] | None:
        try:
            path = file(self._out, name, "run.json")
            changed = path.stat().st_mtime
        except (NoSuchRun, OSError):
            return None
        known = self._known.get(name)
        if known is None or known[0] != changed:
            self._known[name] = known = changed, _entry(path)
        # These come after run.json, so they are looked for each time.
        files = {name: title for name, title in FILES.items() if _is_plain(path.with_name(name))}
        return known[1] | {"files": files} if known[1] else None


def folder(out: Path, name: str) -> Path:
    """
    The folder of the run with that name.

    Raises:
        NoSuchRun: there is none; a name that leads out of the folder of the runs is among these.
    """
    path = out / name
    if not _NAME.fullmatch(name) or os.path.islink(path) or not os.path.isdir(path):
        raise NoSuchRun(f"there is no run {name!r:.120}")
    return path


def file(out: Path, name: str, kind: str) -> Path:
    """
    Return the path of one of a run's FILES.

    Raises:
        NoSuchRun: it is not there, or it is a link, which can lead anywhere, or a pipe, which can
            block for ever: the folder can come from another machine.
    """
    path = folder(out, name) / kind
    if kind not in FILES or not _is_plain(path):
        raise NoSuchRun(f"{name} holds no {kind:.60}")
    return path


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _entry(path: Path) -> dict[str, Any]:
    """What the list says of the run with this run.json; empty when it cannot be read."""
    try:
        # As text: a model of all points takes tenths of a second, and the list wants five facts.
        data = json.loads(foreign_files.text(path))
        levels = sorted({int(point["level"]) for point in data["points"]})
        return {
            "id": path.parent.name,
            "name": str(data["name"]),
            "started": str(data["started"]),
            "status": str(data["status"]),
            "deployments": list(dict.fromkeys(str(p["deployment"]) for p in data["points"])),
            "levels": f"{levels[0]:,} to {levels[-1]:,}" if levels else "none",
        }
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return {}
