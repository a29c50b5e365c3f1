"""What the host, the processes and the mock did, once a second, from a thread beside the run."""

import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import psutil

from loadtests.process_groups import uninterrupted

INTERVAL = 1.0  # seconds
PATIENCE = 0.5  # seconds for the mock's answer


class Sampler:
    """
    Writes a sample a second while it is entered:

        {"type": "sample", "at": monotonic seconds,
         "cores": [busy share of each], "worked": [the part of it that processes used],
         "stolen": [the part of it that the host of this virtual machine gave to others],
         "processes": {name: {"cpu": cores used since the last sample, "rss": bytes,
                              "threads": count, "descriptors": count, "affinity": [cores],
                              "wait": seconds a second, "runs": times a second}},
         "harness": the same of this process,
         "ports": {"time_wait": connections, "of": ports that clients may take},
         "mock": the mock's ledger; null: it did not answer}

    A process is left out while nothing of it was there at two samples in a row, and the mock where
    there is none. `wait` is how long the main thread of the process was ready to run and had no
    core, by the scheduler's own count, and `runs` how often it was given one; of several processes
    those of the one that waited most. `affinity`, `wait`, `runs` and `ports` are Linux's alone, and
    so is `stolen`.
    """

    def __init__(
        self,
        fleet_processes: Callable[[], Mapping[str, list[int]]],
        control_url: str | None,
        write: Callable[[dict[str, Any]], None],
    ) -> None:
        """
        Args:
            fleet_processes: name -> process ids, asked at each sample.
            control_url: of the mock's control API.
            write: takes each sample; called from the sampler's thread.
        """
        self._fleet_processes = fleet_processes
        self._write = write
        self._ledger = _Ledger(control_url) if control_url else None
        self._used: dict[tuple[str, psutil.Process], _Use] = {}
        self._cores: list[_Core] = []
        self._at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Writes a last sample, when it is due; none after this."""
        self._stopping.set()
        with uninterrupted():
            self._thread.join()

    def _run(self) -> None:
        self._sample()  # what the first one is counted from; psutil does so for each thread
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(INTERVAL)
            # Never sooner, as CPU time is counted in ticks; but once more at the end: what a sample
            # tells is of the time before it.
            time.sleep(max(self._at + INTERVAL - time.monotonic(), 0.0))
            self._write(self._sample())
        if self._ledger:
            self._ledger.close()

    def _sample(self) -> dict[str, Any]:
        now = time.monotonic()
        elapsed, self._at = now - self._at, now
        before, self._cores = self._cores, _cores()
        spent = [core.since(then) for then, core in zip(before, self._cores, strict=False)]
        processes = self._processes(elapsed)
        sample = {
            "type": "sample",
            "at": now,
            "cores": [core.busy for core in spent],
            "worked": [core.worked for core in spent],
            "stolen": [core.stolen for core in spent],
            "harness": processes.pop("", None),
            "processes": processes,
        }
        ports = _ports()
        return (
            sample
            | ({"ports": ports} if ports else {})
            | ({"mock": self._ledger.read()} if self._ledger else {})
        )

    def _processes(self, elapsed: float) -> dict[str, dict[str, Any]]:
        """By name; this process has none."""
        found: dict[str, dict[str, Any]] = {}
        before, self._used = self._used, {}
        for name, pids in {**self._fleet_processes(), "": [os.getpid()]}.items():
            parts = [part for pid in pids if (part := self._look(name, pid, before))]
            if parts:
                found[name] = _together(parts, elapsed)
        return found

    def _look(
        self, name: str, pid: int, before: "Mapping[tuple[str, psutil.Process], _Use]"
    ) -> "_Part | None":
        """What one process did since the last sample; None if it is new, or gone."""
        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)  # equal to an earlier one if that is still the same
            with process.oneshot():
                times = process.cpu_times()
                use = _Use(times.user + times.system, *_scheduled(pid))
                self._used[name, process] = use
                if (then := before.get((name, process))) is not None:
                    return _Part(
                        use=_Use(use.cpu - then.cpu, use.wait - then.wait, use.runs - then.runs),
                        rss=process.memory_info().rss,
                        threads=process.num_threads(),
                        descriptors=process.num_fds(),
                        affinity=_affinity(pid),
                    )
        return None


@dataclass(frozen=True, slots=True)
class _Use:
    cpu: float  # seconds
    wait: float
    runs: int


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the processes that have a name together."""

    use: _Use
    rss: int
    threads: int
    descriptors: int
    affinity: frozenset[int]


def _together(parts: list[_Part], elapsed: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        "cpu": round(sum(part.use.cpu for part in parts) / elapsed, 4),
        "rss": sum(part.rss for part in parts),
        "threads": sum(part.threads for part in parts),
        "descriptors": sum(part.descriptors for part in parts),
    }
    longest = max((part.use for part in parts), key=lambda use: use.wait)
    if longest.runs:
        found["wait"] = round(longest.wait / elapsed, 4)
        found["runs"] = round(longest.runs / elapsed, 1)
    affinity = sorted(frozenset[int]().union(*(part.affinity for part in parts)))
    return found | ({"affinity": affinity} if affinity else {})


def _scheduled(pid: int) -> tuple[float, int]:
    """
    Seconds that the main thread waited for a core so far, and how often it got one: Linux,
    Documentation/scheduler/sched-stats. Zeros where the kernel does not tell.
    """
    try:
        _, waited, runs = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (OSError, ValueError):
        return 0.0, 0
    return int(waited) / 1e9, int(runs)


def _affinity(pid: int) -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(pid))
    return frozenset()


@dataclass(frozen=True, slots=True)
class _Core:
    """What one core did: seconds so far, or shares of the time between two looks."""

    busy: float
    worked: float
    stolen: float
    total: float

    def since(self, then: "_Core") -> "_Core":
        elapsed = self.total - then.total
        if elapsed <= 0:
            return _Core(0.0, 0.0, 0.0, 0.0)

        def share(now: float, before: float) -> float:
            return round(min(max((now - before) / elapsed, 0.0), 1.0), 3)

        return _Core(
            share(self.busy, then.busy),
            share(self.worked, then.worked),
            share(self.stolen, then.stolen),
            1.0,
        )


def _cores() -> list[_Core]:
    found = []
    for times in psutil.cpu_times(percpu=True):
        # A guest's time is in the user's already. Interrupts are nobody's: what the network costs
        # is no other process.
        worked = times.user + times.system + times.nice
        stolen = getattr(times, "steal", 0.0)
        busy = worked + stolen + getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0)
        total = busy + times.idle + getattr(times, "iowait", 0.0)
        found.append(_Core(busy, worked, stolen, total))
    return found


def _ports() -> dict[str, int] | None:
    """Connections that are closed and still hold their port; None where that is not told."""
    try:
        words = Path("/proc/net/sockstat").read_text().split()
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return {"time_wait": int(words[words.index("tw") + 1]), "of": int(high) - int(low) + 1}
    except (OSError, ValueError, IndexError):
        return None


class _Ledger:
    """The mock's own count, over one connection that is kept."""

    def __init__(self, control_url: str) -> None:
        parts = urlsplit(control_url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=PATIENCE
        )

    def read(self) -> Any:
        """None when the mock does not answer in time, or not with its ledger."""
        try:
            self._connection.request("GET", "/ledger")
            response = self._connection.getresponse()
            text = response.read()
            return json.loads(text) if response.status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            self._connection.close()  # the next read opens it again
            return None

    def close(self) -> None:
        self._connection.close()
