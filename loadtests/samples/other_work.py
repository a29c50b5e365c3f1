"""Which processes that are not ours used the cores. Linux only: elsewhere none is found."""

import os
import re
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.processes import proc

PROC = Path("/proc")
TAKEN = 0.05  # cores that others used: below it no names are needed
LEAST = 0.02  # cores that a process used which is named
MOST = 5  # processes that are named
BASELINE = 10.0  # seconds after which there is a look in quiet, for a later one to be compared with
COST = 0.01  # of a core that looks may take in the long run
SCHED_IDLE = 5  # sched(7); `os` has it on Linux alone
_LOWER = hasattr(os, "sched_getscheduler") and (
    os.getpriority(os.PRIO_PROCESS, 0) > 0 or os.sched_getscheduler(0) == SCHED_IDLE
)
"""Whether our own priority is lower than usual: then nobody gives way to us."""
_UNUSUAL = re.compile(r"[^\w .:+()/-]")  # in a name that a process may choose itself


class _Process(NamedTuple):
    """What it used since its start, in seconds of CPU; `children` are those that ended."""

    name: bytes
    parent: int
    started: int
    cpu: float
    children: float
    core: int
    gives_way: bool


class WorkSeen(NamedTuple):
    """
    What one look showed. `named`: {"name", "pid", "cpu": cores used, "core": the last one} of each,
    the busiest first. `gave_way`: by core, the part of what others used there that processes of a
    lower priority used: nice above 0, or SCHED_IDLE (sched(7)).
    """

    named: Sequence[dict[str, Any]] = ()
    gave_way: Mapping[int, float] = {}


class OtherWork:
    """
    Names the processes that used most while others took CPU.

    A look reads a file for each process of the machine, in 15 to 45 microseconds. In quiet there is
    one every ten seconds, while others use CPU one for each sample; with very many processes they
    are fewer (`COST`).
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._tick = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
        self._before: Mapping[int, _Process] = {}
        self._looked = self._rested = float("-inf")

    def look(
        self,
        taken: float,
        ours: Collection[int],
        cores: Collection[int],
        now: float,
        elapsed: float,
    ) -> WorkSeen:
        """
        Return who used most.

        The name is the program's as the system keeps it, without arguments. What children used
        that have ended is their parent's. Where the last look is older than the last sample, what
        was taken since is shared out by what was used since that look.

        Args:
            taken: cores that others used since the last sample.
            ours: process ids; they and their descendants are not named.
            cores: a process that ran elsewhere is not named.
            now: monotonic seconds.
            elapsed: seconds since the last sample.
        """
        busy = taken > TAKEN
        if now < self._rested or not (busy or now - self._looked >= BASELINE):
            return WorkSeen()
        began = time.thread_time()
        before, after = self._before, self._processes()
        self._before, self._looked = after, now
        self._rested = now + (time.thread_time() - began) / COST
        if not busy or not before:
            return WorkSeen()
        used = {
            pid: cpu
            for pid, cpu in _grown(before, after).items()
            if cpu > 0 and after[pid].core in cores and not _belongs(pid, ours, after)
        }
        part = taken / max(sum(used.values()) / elapsed, taken)
        cpu = {pid: round(part * seconds / elapsed, 3) for pid, seconds in used.items()}
        most = sorted(cpu, key=lambda pid: cpu[pid], reverse=True)[:MOST]
        named = [
            {"name": _shown(after[pid].name), "pid": pid, "cpu": cpu[pid], "core": after[pid].core}
            for pid in most
            if cpu[pid] >= LEAST
        ]
        return WorkSeen(named, _giving_way(used, after))

    def _processes(self) -> dict[int, _Process]:
        found = {}
        with suppress(OSError):
            for name in os.listdir(self._proc):
                if name.isdecimal():
                    with suppress(OSError, ValueError, IndexError):  # it may have ended
                        found[int(name)] = self._process(f"{self._proc}/{name}/stat")
        return found

    def _process(self, path: str) -> _Process:
        """See proc_pid_stat(5)."""
        name, _, rest = proc.read(path, 1024).partition(b"(")[2].rpartition(b") ")
        words = rest.split(None, 39)
        return _Process(
            name,
            parent=int(words[1]),
            started=int(words[19]),
            cpu=(int(words[11]) + int(words[12])) * self._tick,
            children=(int(words[13]) + int(words[14])) * self._tick,
            core=int(words[36]),
            gives_way=not _LOWER and (int(words[16]) > 0 or int(words[38]) == SCHED_IDLE),
        )


def _giving_way(used: Mapping[int, float], processes: Mapping[int, _Process]) -> dict[int, float]:
    total: dict[int, float] = defaultdict(float)
    yielded: dict[int, float] = defaultdict(float)
    for pid, seconds in used.items():
        process = processes[pid]
        total[process.core] += seconds
        yielded[process.core] += seconds if process.gives_way else 0.0
    return {core: round(yielded[core] / seconds, 3) for core, seconds in total.items()}


def _shown(name: bytes) -> str:
    return _UNUSUAL.sub("?", name.decode("utf-8", "replace"))


def _grown(before: Mapping[int, _Process], after: Mapping[int, _Process]) -> dict[int, float]:
    """Seconds of CPU of each process since the look before, with children that ended since."""
    found = {}
    ended: dict[int, float] = {}
    for pid, process in before.items():
        if pid not in after:  # all that it ever used becomes its parent's
            ended[process.parent] = ended.get(process.parent, 0.0) + process.cpu + process.children
    for pid, process in after.items():
        then = before.get(pid)
        if then is None or then.started != process.started:
            found[pid] = process.cpu + process.children
        else:
            children = process.children - then.children - ended.get(pid, 0.0)
            found[pid] = process.cpu - then.cpu + max(children, 0.0)
    return found


def _belongs(pid: int, ours: Collection[int], processes: Mapping[int, _Process]) -> bool:
    seen: set[int] = set()
    while pid in processes and pid not in seen:
        if pid in ours:
            return True
        seen.add(pid)
        pid = processes[pid].parent
    return pid in ours
