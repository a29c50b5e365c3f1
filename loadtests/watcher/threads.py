"""The threads of one process, looked at again and again through files that stay open."""

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from loadtests.processes import proc
from loadtests.watcher.states import BUSY, COMPUTES, OTHER, calls, of_call, of_function

MOST = 400  # threads of a process that are looked at; where there are more, these stand for all
_AT_REST = frozenset(BUSY) - {COMPUTES}
_CALLS = calls()


class Threads:
    """
    Looks at the main thread of a process, and at its others.

    A thread that sleeps or waits for a socket while nothing is asked of the service does so for
    itself, and is none of those that work on requests: `rest` leaves it out.
    """

    def __init__(self, pid: int, table: Mapping[bytes, str] | None = _CALLS) -> None:
        """
        Args:
            table: of the system calls; None: what a thread waits in is used instead.

        Raises:
            OSError: the process is gone, or nothing of it may be read.
        """
        self.pid = pid
        self._task = f"/proc/{pid}/task"
        self._table = table or {}
        self.denied = "" if table else "the numbers of its system calls are not known"
        self._name = "syscall" if table else "wchan"
        if table:
            try:
                proc.read(f"{self._task}/{pid}/syscall")
            except OSError as error:
                self._name, self.denied = "wchan", f"/proc/PID/syscall: {error.strerror}"
        proc.read(f"{self._task}/{pid}/{self._name}")
        self._files: dict[int, int] = {}  # thread -> descriptor
        self._own: set[int] = set()  # threads that do something while nothing is asked
        self._sockets: dict[int, bool] = {}
        self._more = 1.0  # threads for each that is looked at
        self._main: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        self._sweeps = self._most = 0
        self._workers: list[int] = []
        self.refresh()

    def refresh(self) -> None:
        """
        Open the files of threads that are new; what a descriptor is may have changed.

        Raises:
            OSError: the process is gone.
        """
        there = [int(name) for name in os.listdir(self._task)]
        others = len(there) - 1
        if others > MOST:
            there = [self.pid, *[one for one in there if one != self.pid][:MOST]]
        self._more = max(others / MOST, 1.0)
        for thread in self._files.keys() - set(there):
            os.close(self._files.pop(thread))
        for thread in there:
            if thread not in self._files:
                with suppress(OSError):  # it has ended
                    path = f"{self._task}/{thread}/{self._name}"
                    self._files[thread] = os.open(path, os.O_RDONLY)
        self._own &= set(there)
        self._sockets.clear()
        self._settle()

    def _settle(self) -> None:
        self._workers = [one for one in self._files if one != self.pid and one not in self._own]

    def rest(self) -> None:
        """Leave out the threads that do something now: nothing is asked of the service."""
        self._own |= {thread for thread in self._workers if self._state(thread) in _AT_REST}
        self._settle()

    def look(self) -> None:
        """Look at the main thread."""
        self._main[self._state(self.pid)] += 1

    def sweep(self) -> None:
        """Look at all other threads."""
        self._sweeps += 1
        busy = 0
        for thread in self._workers:
            state = self._state(thread)
            self._others[state] += 1
            busy += state in BUSY
        self._most = max(self._most, busy)

    def take(self) -> dict[str, Any]:
        """
        Return what was seen since the last call: counts of looks by state.

        `most` threads were busy at the same time; `others` are summed over the `sweeps`.
        """
        found = {
            "main": dict(self._main),
            "sweeps": self._sweeps,
            "others": {state: round(n * self._more) for state, n in self._others.items()},
            "most": round(self._most * self._more),
        }
        self._main.clear()
        self._others.clear()
        self._sweeps = self._most = 0
        return found

    def close(self) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def _state(self, thread: int) -> str:
        try:
            line = os.pread(self._files[thread], 128, 0)
        except (OSError, KeyError):  # it has ended
            return OTHER
        if self._table:
            return of_call(line, self._table, self._is_socket)
        if (state := of_function(line)) is not None:
            return state
        return COMPUTES if proc.state(f"{self._task}/{thread}") == b"R" else OTHER

    def _is_socket(self, descriptor: int) -> bool:
        found = self._sockets.get(descriptor)
        if found is None:
            try:
                kind = os.readlink(f"/proc/{self.pid}/fd/{descriptor}")
            except OSError:  # it was closed meanwhile
                return False
            found = self._sockets[descriptor] = kind.startswith("socket:")
        return found
