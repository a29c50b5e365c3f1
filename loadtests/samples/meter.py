"""CPU that processes use from one barrier to the next, to the nanosecond."""

import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

from loadtests.processes import proc
from loadtests.recording.messages import ProcessUsage, Rest, Usage
from loadtests.samples.processes import MOST_THREADS, cpu_clock

QUIET = 0.1  # of a core: a deployment that uses less has come to rest
LOOK = 0.01  # seconds over which that is judged
COMING_TO_REST = 0.5  # seconds that are waited for it at most

_ONE_AT_A_TIME = re.compile(r"(python|pypy)[\d.]*|ruby[\d.]*|uwsgi.*")
"""Programs that run one thread at a time; a free-threaded Python has a `t` behind its version."""
_LOCKED = 1.02  # cores: a process that used more was not held back by such a lock

Named = Mapping[str, Collection[int]]
Looks = Mapping[str, Mapping[int, "_CpuReading"]]


class Meter:
    """
    Reads what processes have used so far, at barriers, and tells what it was in between.

    A process's own CPU clock counts in nanoseconds and has the threads that ended, too: POSIX,
    clock_getcpuclockid. The ticks of a hundredth of a second in which systems count otherwise are
    2 % of what a service uses in a second.
    """

    def __init__(self, processes: Callable[[], Named]) -> None:
        """
        Args:
            processes: gives the process ids by name.
        """
        self._processes = processes
        self._looks: Looks = {}
        self._at = 0.0
        self._rest: dict[str, tuple[float, float]] = {}

    def begin(self) -> None:
        """Read before a stage: since the reading before, nothing was under load."""
        self._read()

    def end(self, stage: int, loaded: str, carried: int | None = None) -> Usage:
        """
        Read after a stage, once the deployment has come to rest, or half a second later.

        Args:
            loaded: the name of the deployment that the stage loaded.
            carried: see `Usage`.
        """
        self._wait_for_rest(loaded)
        seconds, grown = self._read({loaded, "mock"})
        return Usage(
            stage=stage,
            seconds=seconds,
            processes=grown,
            rss={name: sum(map(_rss, looks)) for name, looks in self._looks.items() if looks},
            rest={n: Rest(seconds=s, cpu=cpu) for n, (s, cpu) in self._rest.items()},
            carried=carried,
        )

    def _wait_for_rest(self, name: str) -> None:
        """What a service does after its answers belongs to them."""
        deadline = time.monotonic() + COMING_TO_REST
        pids = self._processes().get(name, ())
        before, at = _total(pids), time.monotonic()
        while pids and time.monotonic() < deadline:
            time.sleep(LOOK)
            now, then = _total(pids), time.monotonic()
            if now - before < QUIET * (then - at) and not any(map(_wants_a_core, pids)):
                return
            before, at = now, then

    def _read(
        self, loaded: Collection[str] = ()
    ) -> tuple[float, dict[str, dict[int, ProcessUsage]]]:
        """Seconds since the reading before, and what each process used meanwhile."""
        at, looks = time.monotonic(), _look(self._processes())
        seconds, before = at - self._at, self._looks
        self._at, self._looks = at, looks
        grown = {name: _grown(before.get(name, {}), now, seconds) for name, now in looks.items()}
        for name in looks:
            # Others were started meanwhile, which is not rest.
            if name not in loaded and before.get(name, {}).keys() == looks[name].keys() != set():
                rested, used = self._rest.get(name, (0.0, 0.0))
                cpu = sum(one.cpu for one in grown[name].values())
                self._rest[name] = rested + seconds, used + cpu
        return seconds, grown


@dataclass(frozen=True, slots=True)
class _CpuReading:
    """What a process has used since its start; seconds of CPU. `children` are those that ended."""

    process: psutil.Process
    parent: int
    program: str
    cpu: float
    children: float
    threads: Mapping[int, float]


def _look(named: Named) -> dict[str, dict[int, _CpuReading]]:
    found: dict[str, dict[int, _CpuReading]] = {}
    for name, pids in named.items():
        found[name] = {}
        for pid in pids:
            with suppress(psutil.Error, OSError):
                process = psutil.Process(pid)
                with process.oneshot():
                    times = process.cpu_times()
                    children = times.children_user + times.children_system
                    threads = dict(_threads(pid)) if process.num_threads() <= MOST_THREADS else {}
                    found[name][pid] = _CpuReading(
                        process,
                        process.ppid(),
                        _program(process),
                        cpu_clock(pid),
                        children,
                        threads,
                    )
    return found


def _total(pids: Collection[int]) -> float:
    total = 0.0
    for pid in pids:
        with suppress(psutil.Error, OSError):
            total += cpu_clock(pid)
    return total


def _wants_a_core(pid: int) -> bool:
    """Whether a thread runs, or would if others left it a core; False where that is not told."""
    return any(proc.state(f"/proc/{pid}/task/{thread}") == b"R" for thread in proc.threads(pid))


def _rss(pid: int) -> int:
    with suppress(psutil.Error, OSError):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def _program(process: psutil.Process) -> str:
    name = ""
    with suppress(psutil.Error, OSError):
        name = os.path.basename(process.exe())
    # It goes into JSON, which bytes that are not UTF-8 cannot.
    return os.fsencode(name or process.name()).decode("utf-8", "replace")


def _threads(pid: int) -> Iterator[tuple[int, float]]:
    """Seconds of CPU of each thread that is there; none where the kernel does not tell."""
    for thread in proc.threads(pid):
        with suppress(OSError, ValueError, IndexError):  # it may have ended
            used = proc.read(f"/proc/{pid}/task/{thread}/schedstat").split()[0]
            yield thread, int(used) / 1e9


def _grown(
    before: Mapping[int, _CpuReading], now: Mapping[int, _CpuReading], seconds: float
) -> dict[int, ProcessUsage]:
    known = {pid: before[pid] for pid in now if pid in before and _same(before[pid], now[pid])}
    found = {}
    for pid, look in now.items():
        then = known.get(pid)
        own = look.cpu - (then.cpu if then else 0.0)
        children = look.children - (then.children if then else 0.0)
        # A child that ended hands all that it ever used to its parent.
        earlier = sum(
            one.cpu + one.children
            for gone, one in before.items()
            if gone not in known and one.parent == pid
        )
        cpu = max(own, 0.0) + max(children - earlier, 0.0)
        threads = [
            used - (then.threads.get(thread, 0.0) if then else 0.0)
            for thread, used in look.threads.items()
        ]
        locked = _ONE_AT_A_TIME.fullmatch(look.program) and own <= _LOCKED * seconds
        busiest = own if locked or not threads else max(threads)
        found[pid] = ProcessUsage(
            role=_role(pid, now),
            cpu=round(cpu, 9),
            busiest=round(min(max(busiest, 0.0), cpu), 9),
        )
    return found


def _same(before: _CpuReading, now: _CpuReading) -> bool:
    """Whether it is one process, and not a later one with its number."""
    return before.process == now.process


def _role(pid: int, looks: Mapping[int, _CpuReading]) -> str:
    names = []
    seen: set[int] = set()
    while pid in looks and pid not in seen:
        seen.add(pid)
        names.append(looks[pid].program)
        pid = looks[pid].parent
    return "/".join(reversed(names))
