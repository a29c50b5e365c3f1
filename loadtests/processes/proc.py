"""Files of /proc, and clocks of other processes, as Linux has them; the standard library alone."""

import os
import time
from contextlib import suppress


def read(path: str, size: int = 512) -> bytes:
    """
    Return the beginning of a file, in one call of the system.

    Raises:
        OSError: it is gone, or must not be read.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, size)
    finally:
        os.close(file)


def threads(pid: int) -> list[int]:
    """Return the ids of the threads of a process; none once it has ended, or without /proc."""
    with suppress(OSError):
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    return []


def state(folder: str) -> bytes:
    """
    Return the letter of a process's or a thread's state; empty: it has ended.

    Args:
        folder: its own in /proc.
    """
    with suppress(OSError):
        # It comes after the program's name, in parentheses and of any content: proc_pid_stat(5).
        return read(f"{folder}/stat").rpartition(b") ")[2][:1]
    return b""


def cpu_clock(pid: int) -> float | None:
    """Return the seconds of CPU that a process has used, by its own clock; None: it has none."""
    try:
        # How Linux makes the id of another process's clock: <linux/posix-timers.h>.
        return time.clock_gettime(~pid << 3 | 2)
    except (OSError, AttributeError):
        return None
