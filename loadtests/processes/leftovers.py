"""Finds processes that an earlier run left running: brownout and its supervisors were killed."""

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from loadtests import foreign_files
from loadtests.processes.pids import described, runs, session, started

_SAME = 2.0  # seconds; the system's clock may have been adjusted between two readings


def write(file: Path, pid: int, supervisor: int, stop: Sequence[str]) -> None:
    """
    Note a process that was started and its supervisor, for `found`.

    A note that cannot be written is not an error: a full disk prevents no process from starting.

    Args:
        pid: of the first process of a session.
        stop: the command that is run at the end; empty: none.
    """
    note = {
        "boot": _boot(),
        "pid": pid,
        "started": started(pid),
        "supervisor": supervisor,
        "supervisor_started": started(supervisor),
        "stop": list(stop),
    }
    with suppress(OSError):
        # The stop command can hold a secret.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as opened:
            json.dump(note, opened)


def found(out: Path) -> Iterator[str]:
    """
    Yield a sentence for each process group that a run in the folder `out` left behind.

    The sentence has the commands that end it; nothing is ended here. A group whose supervisor runs
    is not left behind: its run goes on, or it is being stopped.
    """
    for file in sorted(out.glob("*/logs/*.pid")):
        try:
            note = json.loads(foreign_files.text(file))
            if note["boot"] != _boot() or _is_there(note["supervisor"], note["supervisor_started"]):
                continue
            pids, stop = _of_session(note["pid"], note["started"]), note["stop"]
            stop_command = shlex.join(stop)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # it was removed, or its run was killed while it was written
        if not pids and not stop:
            with suppress(OSError):
                file.unlink()
            continue
        yield _sentence(file, pids, stop_command)


def _sentence(file: Path, pids: Sequence[int], stop_command: str) -> str:
    name, run = file.stem, file.parent.parent
    left = f"processes of {name} running" if pids else f"{name} without its stop command"
    todo = [f"kill -KILL {' '.join(map(str, pids))}"] if pids else []
    todo += [stop_command] if stop_command else []
    todo.append(f"rm {shlex.quote(str(file))}")
    which = f": {', '.join(map(described, pids))}" if pids else ""
    return f"An earlier run, {run}, was killed and left {left}{which}. To end that:" + "".join(
        f"\n  {line}" for line in todo
    )


def _of_session(leader: int, since: float | None) -> list[int]:
    """Return the processes of a session, unless its id is by now that of a later session."""
    if psutil.pid_exists(leader) and not _is_there(leader, since):
        return []
    return sorted(pid for pid in psutil.pids() if session(pid) == leader and runs(pid))


def _is_there(pid: int, since: float | None) -> bool:
    """Return whether the process that had this id still runs, and not a later one."""
    now = started(pid)
    if now is None or since is None:
        return False
    return abs(now - since) < _SAME and runs(pid)


def _boot() -> str:
    """Return an id of this start of this machine: process ids mean nothing in another one."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{psutil.boot_time():.0f}"
