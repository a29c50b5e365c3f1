"""What host, processes, services and mock did, once a second, from a thread of its own."""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from loadtests.processes.groups import uninterrupted
from loadtests.samples import host, quarters, quota
from loadtests.samples.mock import LedgerReader
from loadtests.samples.other_work import OtherWork
from loadtests.samples.processes import Processes
from loadtests.samples.quarters import Quarters
from loadtests.samples.quota import Quota
from loadtests.samples.stops import Stops

INTERVAL = 1.0  # seconds


class Sampler:
    """
    Writes a sample a second while it is entered:

        {"type": "sample", "at": monotonic seconds,
         "cores": [busy share of each], "worked": [the part of it that processes used],
         "stolen": [the part of it that the host of this virtual machine gave to others],
         "processes": {name: {"cpu": cores used since the last sample, "rss": bytes,
                              "threads": count, "descriptors": count, "affinity": [cores],
                              "spare_descriptors": those that it may still open, "wait": seconds a
                              second, "runs": times a second, "switches": {"voluntary": times a
                              second, "involuntary": times a second}, "quota": that of a control
                              group that the harness is not in}},
         "harness": the same of this process,
         "others": [{"name", "pid", "cpu": cores, "core": where it ran last} of the processes that
                    are not ours and used most; where they used CPU on our cores],
         "gave_way": [by core, the part of what others used that processes of a lower priority
                      used; left out where there is none],
         "stopped": {name: [[from, to]: monotonic seconds in which it was stopped by a signal]},
         "sockets": {"established": count, "time_wait": count, "orphaned": count},
         "ports": {"time_wait": connections, "of": ports that clients may take},
         "quota": {"cores": what the control group may use,
                   "periods": those in which it wanted to run since the last sample,
                   "throttled": those of them in which it was stopped,
                   "stopped": seconds for which it was, on all cores together},
         "quarters": [what cores and processes did in each quarter second; see quarters.Quarters],
         "threads", "canary", "denied": [see watcher.process.Watcher.take]
         "gauges": {deployment: {process id: its gauges; see gauges.Collector.take}},
         "mock": the mock's ledger, its peak that of this second; null: it did not answer}

    A process is left out while nothing of it was there at two samples in a row, the mock and the
    quota where there is none, and the gauges where nobody collects them; a process that sent
    nothing since the last sample is not among those. `wait` is how long the main thread of the
    process was ready to run and had no core, by the scheduler's own count, and `runs` how often it
    was given one; of several processes those of the one that waited most. `switches` are those of
    all threads: the voluntary ones to wait for something, the involuntary ones for others to run.
    `affinity`, `wait`, `runs`, `switches`, `sockets`, `ports`, `quota`, `others` and `stolen` are
    Linux's.

    A sample takes 2 ms of a core, and some 20 microseconds more for each thread of a service, and
    for each process of the machine while others use CPU; the looks of every quarter second take
    1 ms of each second.
    """

    def __init__(
        self,
        fleet_processes: Callable[[], Mapping[str, list[int]]],
        control_url: str | None,
        write: Callable[[dict[str, Any]], None],
        gauges: Callable[[], Mapping[str, Any]] | None = None,
        watched: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """
        Args:
            fleet_processes: name -> process ids, asked at each sample.
            control_url: of the mock's control API.
            write: takes each sample; called from the sampler's thread.
            gauges: gives what was told since it was called before.
            watched: gives what threads and canary did since it was called before.
        """
        self._fleet_processes = fleet_processes
        self._write = write
        self._gauges = gauges
        self._watched = watched
        self._ledger = LedgerReader(control_url, recent_peak=True) if control_url else None
        self._processes = Processes()
        self._others = OtherWork()
        self._stops = Stops()
        self._quarters = Quarters()
        self._cores: list[host.Core] = []
        self._quotas: dict[str, Quota] = {}
        self._at = 0.0
        self._failures = 0
        self._first_failure = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Writes a last sample, when it is due; none after this."""
        self._stopping.set()
        with uninterrupted():
            self._thread.join()

    def problem(self) -> str | None:
        """How many samples failed and why the first did, in a sentence; None: all are there."""
        if not self._failures:
            return None
        what = "1 sample" if self._failures == 1 else f"{self._failures:,} samples"
        return (
            f"{what} of the machine and the processes could not be taken, the first because of "
            f"{self._first_failure}"
        )

    def _run(self) -> None:
        try:
            self._attempt()
            stopping = False
            while not stopping:
                stopping = self._wait()
                # Never sooner, as CPU time is counted in ticks; but once more at the end: what a
                # sample tells is of the time before it.
                time.sleep(max(self._at + INTERVAL - time.monotonic(), 0.0))
                self._attempt()
        finally:
            if self._ledger:
                self._ledger.close()

    def _wait(self) -> bool:
        """Wait until the next sample is due, or the end; look at the quarter seconds meanwhile."""
        due = time.monotonic() + INTERVAL
        while True:
            left = max(due - time.monotonic(), 0.0)
            if self._stops.wait(self._stopping, min(left, quarters.LENGTH)):
                return True
            with suppress(Exception):  # the sample that comes next tells why
                self._quarters.look()
            if left <= quarters.LENGTH:
                return False

    def _attempt(self) -> None:
        """Take and write a sample; one that fails, for whatever reason, does not end the others."""
        # The first is what the next one is counted from; psutil does so for each thread.
        first = not self._at
        try:
            sample = self._sample()
            if not first:
                self._write(sample)
        except Exception as error:
            self._first_failure = self._first_failure or _described(error)
            self._failures += 1

    def _sample(self) -> dict[str, Any]:
        """One sample of the time since the last complete one; counters are moved at the end."""
        now = time.monotonic()
        cores = host.cores()
        spent = [core.since(then) for then, core in zip(self._cores, cores, strict=False)]
        fleet = self._fleet_processes()
        self._stops.watch(fleet)
        # This process has no name, and others that work for it have none.
        named = {**fleet, "": [os.getpid(), *fleet.get("", ())]}
        elapsed = now - self._at
        self._quarters.watch(named)
        processes = self._processes.look(named, elapsed)
        others = self._other_work(spent, processes, named, now, elapsed)
        limited = self._limits(fleet, processes)
        self._at, self._cores = now, cores
        sample = {
            "type": "sample",
            "at": now,
            "cores": [core.busy for core in spent],
            "worked": [core.worked for core in spent],
            "stolen": [core.stolen for core in spent],
            "harness": processes.pop("", None),
            "processes": processes,
        }
        sample |= _sockets() | limited | others | self._gauges_and_ledger() | dict(self._watched())
        for key, seen in (("stopped", self._stops.take()), ("quarters", self._quarters.take())):
            sample |= {key: seen} if seen else {}
        return sample

    def _other_work(
        self,
        spent: Sequence[host.Core],
        processes: Mapping[str, Mapping[str, Any]],
        named: Mapping[str, Sequence[int]],
        now: float,
        elapsed: float,
    ) -> dict[str, Any]:
        """The other processes that used the cores on which own processes may run."""
        cores = _cores_of(processes)
        worked = sum(spent[core].worked for core in cores if core < len(spent))
        taken = max(worked - sum(one["cpu"] for one in processes.values()), 0.0)
        ours = {pid for pids in named.values() for pid in pids}
        others, gave_way = self._others.look(taken, ours, cores, now, elapsed)
        told: dict[str, Any] = {"others": others} if others else {}
        if any(gave_way.values()):
            told["gave_way"] = [gave_way.get(core, 0.0) for core in range(len(spent))]
        return told

    def _limits(
        self, fleet: Mapping[str, list[int]], processes: Mapping[str, dict[str, Any]]
    ) -> dict[str, Any]:
        """The quota of the harness; those that others have alone are added to their processes."""
        before, limit = self._quotas, quota.quota()
        self._quotas = quota.own_quotas(fleet) | ({"": limit} if limit else {})
        used = {name: one.since(before.get(name)) for name, one in self._quotas.items()}
        for name, one in used.items():
            if one and name in fleet and name in processes:
                processes[name]["quota"] = one
        return {"quota": one} if (one := used.get("")) else {}

    def _gauges_and_ledger(self) -> dict[str, Any]:
        """What the mock and the services say of themselves."""
        told: dict[str, Any] = {}
        if self._gauges:
            told["gauges"] = self._gauges()
        if self._ledger:
            told["mock"] = self._ledger.read()
        return told


def _cores_of(processes: Mapping[str, Mapping[str, Any]]) -> set[int]:
    """The cores on which own processes may run, as far as that is known."""
    return {core for one in processes.values() for core in one.get("affinity", ())}


def _described(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _sockets() -> dict[str, Any]:
    sockets = host.sockets()
    if sockets is None:
        return {}
    ports = host.ports(sockets["time_wait"])
    return {"sockets": sockets} | ({"ports": ports} if ports else {})
