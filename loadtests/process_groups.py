"""A process with all that it starts: begun in a session of its own, and ended without leftovers."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from loadtests import open_files
from loadtests.characters import printable

PATIENCE = 5.0  # seconds between asking to end and forcing
GIVING_UP = 1.0  # seconds
LAST_WORDS = 5  # lines

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
if sys.platform == "linux":
    _prctl = ctypes.CDLL(None).prctl


class ProcessGroup:
    """
    A running process and its children. What they print goes to the log.

    On Linux it gets a SIGTERM when the thread that started it ends, as it does when this process
    is killed and cannot stop anything. Its children are its own business then. It may have as many
    open files as it needs, where the system permits. A SIGINT or SIGHUP that this process ignores
    is not ignored in it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str | None],
        cwd: Path | None,
        log: Path,
        descriptors: Sequence[int] = (),
    ) -> None:
        """
        Start it. Where one core is wanted, pin the thread that calls.

        Args:
            env: in addition to this process's own; None takes a variable away.
            descriptors: of this process, which it inherits under the same numbers.

        Raises:
            OSError: there is no such program, or it cannot be run.
        """
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(env),
                cwd=cwd,
                start_new_session=True,
                preexec_fn=_prepare(),
                pass_fds=descriptors,
            )
        self.pid = self._process.pid

    def ended(self) -> str | None:
        """How it ended, in words; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def wait(self, seconds: float) -> str | None:
        """As `ended`, after so many seconds at most."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.ended()

    def last_words(self) -> str:
        """The end of its log and where the whole is, for a message; begins with a line end."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 4096))
            words = printable(log.read().decode(errors="replace"))
        lines = words.strip().splitlines()[-LAST_WORDS:]
        said = "\nIts last words:" + "".join(f"\n  {line}" for line in lines) if lines else ""
        return f"{said}\nThe whole log: {self.log}"


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    changed = {**os.environ, "PYTHONUNBUFFERED": "1", **changes}
    return {name: value for name, value in changed.items() if value is not None}


def _prepare() -> Callable[[], None]:
    """What a new process does first."""
    parent = os.getpid()
    files = open_files.limits()

    # Between fork and exec: nothing here may take a lock that another thread could hold.
    def prepare() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):  # exec keeps only that they are ignored
            signal.signal(number, signal.SIG_DFL)
        if sys.platform != "linux":
            return
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was killed in between
            os._exit(1)

    return prepare


def members(groups: Iterable[ProcessGroup]) -> dict[int, list[int]]:
    """The process ids of each group, by the id of its first process; one look at the system."""
    found: dict[int, list[int]] = {group.pid: [] for group in groups}
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            session = os.getsid(pid)
            if session in found:
                found[session].append(pid)
    return found


def stop(groups: Sequence[ProcessGroup]) -> None:
    """Ask all of them to end at once, and force those that have not within 5 s."""
    known: set[psutil.Process] = set()
    for group in groups:
        if group.ended() is None:
            with suppress(psutil.NoSuchProcess):
                known.update(psutil.Process(group.pid).children(recursive=True))
    for process in _alive(groups, known):
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            process.terminate()
    deadline = time.monotonic() + PATIENCE
    while _alive(groups, known) and time.monotonic() < deadline:
        time.sleep(0.01)
    # Again and again: a process may start another one while it is being forced.
    deadline = time.monotonic() + PATIENCE
    while (left := _alive(groups, known)) and time.monotonic() < deadline:
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.01)
    for group in groups:
        # A process whose first thread has ended looks dead a moment before the system gives it up.
        group.wait(GIVING_UP)


def _alive(groups: Sequence[ProcessGroup], known: set[psutil.Process]) -> list[psutil.Process]:
    """Those of the groups that still run; `known` grows by them."""
    for group in groups:
        group.ended()  # lets the system forget it, if it has ended
    for pids in members(groups).values():
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                known.add(psutil.Process(pid))
    return [process for process in known if _runs(process)]


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return _runs(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def uninterrupted() -> Iterator[None]:
    """
    Signals that would raise in the middle of the block do so at its end: no process is started and
    forgotten, and a second Ctrl-C does not cut short the stopping.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals do not come here
        return
    came: list[tuple[int, FrameType | None]] = []

    def remember(number: int, frame: FrameType | None) -> None:
        came.append((number, frame))

    before: dict[int, Any] = {}
    for caught in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if callable(signal.getsignal(caught)):
            before[caught] = signal.signal(caught, remember)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            first, frame = came[0]
            before[first](first, frame)
