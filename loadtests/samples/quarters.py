"""What cores and processes did in each quarter second: little enough to be looked at so often."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from loadtests.processes import proc
from loadtests.samples import host

LENGTH = 0.25  # seconds between two looks
MOST_THREADS = 100  # of a process, whose waits are read one by one, in some 10 microseconds each
_NICED = hasattr(os, "getpriority") and os.getpriority(os.PRIO_PROCESS, 0) > 0
_WORKS = 0.01  # of a core: the waits of a process that uses less are those of its main thread


class Quarters:
    """
    Looks at all cores, and at processes by name. `take` gives what was seen since it was called:

        {"at": monotonic seconds, "worked": [share of each core that processes used],
         "niced": [part of it for processes of a lower priority, which give way to ours; left out
                   where ours have one themselves],
         "stolen": [share that the host of this virtual machine gave to others],
         "used": {name: cores}, "waited": {name: seconds a second in which a thread of it was ready
                                           to run and had no core, all threads together}}

    Without /proc and clocks of other processes, as they are on Linux, nothing is seen.
    """

    def __init__(self) -> None:
        self._named: Mapping[str, Sequence[int]] = {}
        self._cores: list[host.Core] = []
        self._used: dict[int, float] = {}
        self._waited: dict[tuple[int, int], float] = {}
        self._at = 0.0
        self._seen: list[dict[str, Any]] = []

    def watch(self, named: Mapping[str, Sequence[int]]) -> None:
        """Set the processes to look at: name -> process ids."""
        self._named = named

    def take(self) -> list[dict[str, Any]]:
        seen, self._seen = self._seen, []
        return seen

    def look(self) -> None:
        now = time.monotonic()
        elapsed = now - self._at
        cores = host.cores()
        spent = [core.since(then) for then, core in zip(self._cores, cores, strict=False)]
        used: dict[int, float] = {}
        waited: dict[tuple[int, int], float] = {}
        by_name: dict[str, tuple[float, float]] = {}
        for name, pids in self._named.items():
            cpu = wait = 0.0
            for pid in pids:
                if (clock := proc.cpu_clock(pid)) is None:
                    continue
                used[pid] = clock
                grown = clock - self._used.get(pid, clock)
                cpu += grown
                for thread, total in _waits(pid, grown > _WORKS * elapsed):
                    waited[pid, thread] = total
                    wait += total - self._waited.get((pid, thread), total)
            by_name[name] = cpu, wait
        if self._at and used and spent:
            self._seen.append(
                {
                    "at": now,
                    "worked": [core.worked for core in spent],
                    **({} if _NICED else {"niced": [core.niced for core in spent]}),
                    "stolen": [core.stolen for core in spent],
                    "used": {name: round(cpu / elapsed, 4) for name, (cpu, _) in by_name.items()},
                    "waited": {
                        name: round(max(wait, 0.0) / elapsed, 4)
                        for name, (_, wait) in by_name.items()
                    },
                }
            )
        self._at, self._cores, self._used, self._waited = now, cores, used, waited


def _waits(pid: int, works: bool) -> list[tuple[int, float]]:
    """Seconds that each thread has waited for a core so far, by its id."""
    threads = [pid]
    if works and len(listed := proc.threads(pid)) <= MOST_THREADS:
        threads = listed
    found = []
    for thread in threads:
        with suppress(OSError, ValueError, IndexError):
            waited = proc.read(f"/proc/{pid}/task/{thread}/schedstat").split()[1]
            found.append((thread, int(waited) / 1e9))
    return found
