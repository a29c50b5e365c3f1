"""When processes were stopped by a signal: such a process uses no CPU, and its answers are late."""

import threading
import time
from collections.abc import Mapping, Sequence

from loadtests.processes import proc

LOOK = 0.1  # seconds between two looks at the state of each process, which takes 10 microseconds
_STOPPED = (b"T", b"t")  # by a signal; by a debugger: proc_pid_stat(5)


class Stops:
    """
    Looks at the states of processes while it waits.

    Linux only: without /proc no process is ever seen to be stopped.
    """

    def __init__(self) -> None:
        self._named: Mapping[str, Sequence[int]] = {}
        self._seen: dict[str, list[list[float]]] = {}
        self._stopped: set[str] = set()  # at the last look
        self._at = 0.0

    def watch(self, named: Mapping[str, Sequence[int]]) -> None:
        """Set the processes to look at: name -> process ids."""
        self._named = named

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event as `Event.wait` does, and look meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if event.wait(min(LOOK, left)):
                return True
            self._look()
        return event.is_set()

    def take(self) -> dict[str, list[list[float]]]:
        """
        Return the stops that were seen since the last call, by name: from when to when, in
        monotonic seconds, each to `LOOK`.
        """
        seen, self._seen = self._seen, {}
        return seen

    def _look(self) -> None:
        now, before = time.monotonic(), self._stopped
        self._stopped = {
            name
            for name, pids in self._named.items()
            if any(proc.state(f"/proc/{pid}") in _STOPPED for pid in pids)
        }
        for name in self._stopped:
            spells = self._seen.setdefault(name, [])
            # Between two looks may be more than LOOK: a mock that is stopped does not answer.
            if name in before and spells:
                spells[-1][1] = now
            else:
                spells.append([self._at if name in before else now - LOOK, now])
        self._at = now
