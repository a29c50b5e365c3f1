"""What processes used since the last look."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from loadtests.processes import proc

MOST_THREADS = 500
"""
Of a process whose context switches are counted: the kernel tells them for each thread alone, which
takes some 20 microseconds each.
"""


def cpu_clock(pid: int) -> float:
    """
    Seconds of CPU that a process has used so far, by its own clock where the system has one.

    Raises:
        OSError, psutil.Error: it is gone.
    """
    if sys.platform == "linux" and (used := proc.cpu_clock(pid)) is not None:
        return used
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


class Processes:
    """Looks at processes, again and again; what is told is of the time between two looks."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, psutil.Process], _Use] = {}

    def look(self, named: Mapping[str, list[int]], elapsed: float) -> dict[str, dict[str, Any]]:
        """
        Use of the processes by name, added up; without those that were new in this sample.

        Args:
            named: name -> process ids.
            elapsed: seconds since the last look.
        """
        found: dict[str, dict[str, Any]] = {}
        used: dict[tuple[str, psutil.Process], _Use] = {}
        for name, pids in named.items():
            parts = [part for pid in pids if (part := self._look(name, pid, used))]
            if parts:
                found[name] = _together(parts, elapsed)
        self._used = used
        return found

    def _look(
        self, name: str, pid: int, used: "dict[tuple[str, psutil.Process], _Use]"
    ) -> "_ProcessReading | None":
        """What one process did since the last look; None if it is new, or gone. Fills `used`."""
        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)  # equal to an earlier one if that is still the same
            with process.oneshot():
                times, threads = process.cpu_times(), process.num_threads()
                switches = dict(_switches(pid)) if threads <= MOST_THREADS else {}
                use = _Use(times.user + times.system, *_scheduled(pid), switches)
                used[name, process] = use
                if (then := self._used.get((name, process))) is not None:
                    return _ProcessReading(
                        cpu=use.cpu - then.cpu,
                        wait=use.wait - then.wait,
                        runs=use.runs - then.runs,
                        switches=_since(then.switches, switches),
                        rss=process.memory_info().rss,
                        threads=threads,
                        descriptors=(used_files := process.num_fds()),
                        spare=_spare(process, used_files),
                        affinity=_affinity(pid),
                    )
        return None


@dataclass(frozen=True, slots=True)
class _Switches:
    voluntary: int
    involuntary: int


@dataclass(frozen=True, slots=True)
class _Use:
    """What a process used since its start; `switches` by thread."""

    cpu: float  # seconds
    wait: float
    runs: int
    switches: Mapping[int, _Switches]


@dataclass(frozen=True, slots=True)
class _ProcessReading:
    """One of the processes that have a name together; all but sizes since the last look."""

    cpu: float
    wait: float
    runs: int
    switches: _Switches | None
    rss: int
    threads: int
    descriptors: int
    spare: int | None  # descriptors that it may still open
    affinity: frozenset[int]


def _together(parts: list[_ProcessReading], elapsed: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        "cpu": round(sum(part.cpu for part in parts) / elapsed, 4),
        "rss": sum(part.rss for part in parts),
        "threads": sum(part.threads for part in parts),
        "descriptors": sum(part.descriptors for part in parts),
    }
    longest = max(parts, key=lambda part: part.wait)
    if longest.runs or longest.wait:
        found["wait"] = round(longest.wait / elapsed, 4)
        found["runs"] = round(longest.runs / elapsed, 1)
    switches = [part.switches for part in parts if part.switches]
    if len(switches) == len(parts):
        found["switches"] = {
            "voluntary": round(sum(one.voluntary for one in switches) / elapsed, 1),
            "involuntary": round(sum(one.involuntary for one in switches) / elapsed, 1),
        }
    if spare := [part.spare for part in parts if part.spare is not None]:
        found["spare_descriptors"] = min(spare)
    affinity = sorted(frozenset[int]().union(*(part.affinity for part in parts)))
    return found | ({"affinity": affinity} if affinity else {})


def _spare(process: psutil.Process, used: int) -> int | None:
    """How many more files it may open; None where that is not known, or has no limit."""
    if sys.platform != "linux":
        return None
    try:
        limit, _ = process.rlimit(psutil.RLIMIT_NOFILE)
    except (psutil.Error, OSError):  # of another user's process
        return None
    return None if limit == psutil.RLIM_INFINITY else max(limit - used, 0)


def _scheduled(pid: int) -> tuple[float, int]:
    """
    Seconds that the main thread waited for a core so far, and how often it got one: Linux,
    Documentation/scheduler/sched-stats. Zeros where the kernel does not tell.
    """
    try:
        _, waited, runs = Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return 0.0, 0
    return int(waited) / 1e9, int(runs)


def _switches(pid: int) -> Iterator[tuple[int, _Switches]]:
    """The context switches of each thread, by its id; none where the kernel hides them."""
    for thread in proc.threads(pid):
        with suppress(OSError, ValueError, IndexError):  # it may have ended
            yield thread, _switches_in(f"/proc/{pid}/task/{thread}/status")


def _switches_in(path: str) -> _Switches:
    """The last two lines: proc_pid_status(5). There may be hundreds of files: read at once."""
    text = proc.read(path, 8192)
    words = text[text.rfind(b"\nvoluntary_ctxt_switches:") :].split()
    return _Switches(int(words[1]), int(words[3]))


def _since(before: Mapping[int, _Switches], now: Mapping[int, _Switches]) -> _Switches | None:
    """Switches of the threads that exist now; all switches of a new thread count."""
    if not now:
        return None
    none = _Switches(0, 0)
    pairs = [(before.get(thread, none), after) for thread, after in now.items()]
    return _Switches(
        sum(max(after.voluntary - then.voluntary, 0) for then, after in pairs),
        sum(max(after.involuntary - then.involuntary, 0) for then, after in pairs),
    )


def _affinity(pid: int) -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(pid))
    return frozenset()
