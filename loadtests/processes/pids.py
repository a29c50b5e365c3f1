"""Facts about processes by their ids. A process that ends or is hidden is not an error."""

import os
import sys
from contextlib import suppress

import psutil

from loadtests.processes import supervisor


def runs(pid: int) -> bool:
    """Return whether the process is there and has not ended."""
    try:
        process = psutil.Process(pid)
        # Its first thread may have ended while the others run.
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False


def started(pid: int) -> float | None:
    """Return when it started, in seconds since 1970; None if it has ended or is hidden."""
    with suppress(psutil.Error):
        return psutil.Process(pid).create_time()
    return None


def session(pid: int) -> int | None:
    """Return the id of the first process of its session; None if it has ended."""
    with suppress(OSError):
        return os.getsid(pid)
    return None


def descendants(pid: int) -> set[int]:
    """Return the ids of its children, their children and so on, as far as they still run."""
    if sys.platform == "linux":  # psutil gives up where one process of another user is hidden
        return set(supervisor.descendants(pid))
    with suppress(psutil.Error):
        return {process.pid for process in psutil.Process(pid).children(recursive=True)}
    return set()


def described(pid: int) -> str:
    """Return its id for a message, with its name and user as far as they are known."""
    facts = []
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        facts.append(process.name())
        facts.append(f"of {process.username()}")
    return f"{pid} ({' '.join(facts)})" if facts else str(pid)
