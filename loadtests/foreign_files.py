"""Reads files of a run's folder, which may come from another machine."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LARGEST = 1 << 25  # bytes of a file that is read as a whole; a run of a hundred points has 1 MB
LARGEST_PLAN = 1 << 20  # bytes of a plan, which takes longer to read
LONGEST = 1 << 23  # bytes of a line


def opened(path: Path) -> IO[bytes]:
    """
    Open a file to read it.

    Raises:
        OSError: it is not there, or is no regular file: a pipe would be waited for.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def text(path: Path, largest: int | None = None) -> str:
    """
    Return the content of a file.

    Args:
        largest: bytes; None: LARGEST.

    Raises:
        OSError: it cannot be read, or is larger.
        ValueError: it is not UTF-8.
    """
    most = LARGEST if largest is None else largest
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MB", str(path))
    return content.decode("utf-8")


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """
    Yield the lines that are not empty, numbered from 1. One that is longer than LONGEST is cut, and
    is the last.

    Raises:
        OSError: it cannot be read.
    """
    with opened(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), 1):
            if line.strip():
                yield number, line
            if len(line) == LONGEST:
                return
