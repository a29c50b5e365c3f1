"""What the host, the processes and the mock did, once a second, from a thread beside the run."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
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

        {"type": "sample", "at": monotonic seconds, "cores": [busy share of each],
         "processes": {name: {"cpu": cores used since the last sample, "rss": bytes,
                              "threads": count, "descriptors": count}},
         "mock": the mock's ledger; null: it did not answer}

    A process is left out while nothing of it was there at two samples in a row, and the mock where
    there is none.
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
        self._used: dict[psutil.Process, float] = {}  # CPU seconds
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
        cores = [round(share / 100, 3) for share in psutil.cpu_percent(percpu=True)]
        sample = {
            "type": "sample",
            "at": now,
            "cores": cores,
            "processes": self._processes(elapsed),
        }
        return sample | ({"mock": self._ledger.read()} if self._ledger else {})

    def _processes(self, elapsed: float) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        before, self._used = self._used, {}
        for name, pids in self._fleet_processes().items():
            parts = [part for pid in pids if (part := self._look(pid, before))]
            if parts:
                total = {key: sum(part[key] for part in parts) for key in parts[0]}
                found[name] = {**total, "cpu": round(total["cpu"] / elapsed, 4)}
        return found

    def _look(self, pid: int, before: Mapping[psutil.Process, float]) -> dict[str, float] | None:
        """What one process did since the last sample; None if it is new, or gone."""
        with suppress(psutil.Error):
            process = psutil.Process(pid)  # equal to an earlier one if that is still the same
            with process.oneshot():
                times = process.cpu_times()
                used = times.user + times.system
                self._used[process] = used
                if process in before:
                    return {
                        "cpu": used - before[process],
                        "rss": process.memory_info().rss,
                        "threads": process.num_threads(),
                        "descriptors": process.num_fds(),
                    }
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
