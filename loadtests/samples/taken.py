"""What others took of the cores that brownout uses, from one barrier to the next."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

import psutil

from loadtests.recording.messages import Taken
from loadtests.samples.processes import cpu_clock

Named = Mapping[str, Collection[int]]


class Takers:
    """
    Reads twice, and tells what was taken in between: CPU time that other processes used, and the
    host of this virtual machine.

    Cores are told apart as far as brownout's processes are bound to them: cores that one of them
    may choose between are one group. What others used is what the cores were not idle for, less
    what ours used by their own clocks. Nothing is told where the system does not tell all of that;
    Linux does.
    """

    def __init__(self, processes: Callable[[], Named]) -> None:
        """
        Args:
            processes: gives the process ids by name: of all processes of this run but this one.
        """
        self._processes = processes
        self._at = 0.0
        self._cores: list[tuple[float, float]] = []
        self._used: dict[int, tuple[frozenset[int], float]] = {}

    def begin(self) -> None:
        self._at, self._cores, self._used = time.monotonic(), _cores(), self._ours()

    def end(self) -> tuple[Taken, ...]:
        """What was taken since `begin`; empty where that is not known."""
        before, used = self._cores, self._used
        seconds = time.monotonic() - self._at
        cores, ours = _cores(), self._ours()
        if not used or len(cores) != len(before):
            return ()
        found = []
        for group in _groups(bound for bound, _ in ours.values()):
            if max(group) >= len(cores):
                return ()
            idle = sum(cores[core][0] - before[core][0] for core in group)
            stolen = sum(cores[core][1] - before[core][1] for core in group)
            own = sum(
                cpu - used[pid][1]
                for pid, (bound, cpu) in ours.items()
                if bound <= group and pid in used
            )
            total = seconds * len(group)
            others = total - idle - stolen - own
            found.append(
                Taken(
                    cores=tuple(sorted(group)),
                    others=round(min(max(others / total, 0.0), 1.0), 4),
                    stolen=round(min(max(stolen / total, 0.0), 1.0), 4),
                )
            )
        return tuple(found)

    def _ours(self) -> dict[int, tuple[frozenset[int], float]]:
        """The cores and the CPU seconds of each process."""
        pids = {os.getpid(), *(pid for pids in self._processes().values() for pid in pids)}
        found = {}
        for pid in pids:
            with suppress(psutil.Error, OSError, AttributeError):
                found[pid] = frozenset(os.sched_getaffinity(pid)), cpu_clock(pid)
        return found


def _cores() -> list[tuple[float, float]]:
    """
    Seconds that each core was idle or worked for interrupts, which are nobody's, and those that
    the host took; empty where the host is not known.
    """
    found = []
    with suppress(psutil.Error, OSError, AttributeError):
        for times in psutil.cpu_times(percpu=True):
            idle = times.idle + times.iowait + times.irq + times.softirq
            found.append((idle, times.steal))
    return found


def _groups(bound: Iterable[frozenset[int]]) -> list[frozenset[int]]:
    """Sets of cores, of which those that overlap are one."""
    found: list[frozenset[int]] = []
    for cores in bound:
        apart = [group for group in found if not group & cores]
        found = [*apart, cores.union(*(group for group in found if group & cores))]
    return sorted(found, key=min)
