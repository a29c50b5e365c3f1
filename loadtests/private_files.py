"""Files that only their owner can read: those of a run, which may hold what nobody else should."""

import os
from pathlib import Path
from typing import IO

FOLDER = 0o700
_FILE = 0o600


def opener(path: str, flags: int) -> int:
    """Open a file, for `open`: a new file gets mode 0600, an existing one keeps its own."""
    return os.open(path, flags, _FILE)


def write(path: Path, content: bytes) -> None:
    """Write a file as a whole."""
    with open(path, "wb", opener=opener) as file:
        file.write(content)


def write_new(path: Path, content: bytes, mode: int = _FILE) -> None:
    """
    Write a file in the place of whatever has its name, which may be a link in a folder that came
    from another machine.
    """
    path.unlink(missing_ok=True)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content)


def appended(path: Path) -> IO[str]:
    """A text file that the caller appends to and closes."""
    return open(path, "a", encoding="utf-8", opener=opener)
