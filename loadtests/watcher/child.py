"""
What the watching process does, until the pipe from its starter ends.

It reads orders from the standard input, a line of JSON each: {"deployment": name, "processes":
[ids], "rest": whether nothing is asked of it at this moment}. It writes what it saw each quarter
second, and each result of the canary, to the standard output; see `process.Watcher.take`.
"""

import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from loadtests.watcher.canary import Canary
from loadtests.watcher.threads import Threads

LOOK = 0.01  # seconds between two looks at a main thread, in the mean
QUARTER = 0.25  # seconds
MAINS = 4  # main threads in one look; of more processes some wait for the next
SHARE = 0.019  # of a core, for this process: it looks at the other threads as often as that allows
SLOWEST = QUARTER  # seconds between two looks at the other threads
NICE = 10  # of a core that is full this process gets a tenth
_NEWLINE = b"\n"


class Child:
    def __init__(self, cores: Sequence[int], orders: int = 0, results: int = 1) -> None:
        """
        Args:
            cores: of the canary.
            orders: the descriptor to read from.
            results: the one to write to.
        """
        self._orders, self._results = orders, results
        for descriptor in (orders, results):
            os.set_blocking(descriptor, False)
        self._poll = select.poll()
        self._poll.register(orders, select.POLLIN)
        self._unread = b""
        self._canary = Canary(cores)
        self._deployment = ""
        self._processes: dict[int, Threads] = {}
        self._denied = ""
        self._turn = 0
        self._gap = 4 * LOOK  # seconds between two sweeps
        self._at, self._used = time.monotonic(), time.thread_time()

    def run(self) -> None:
        """Watch; returns when the starter is gone or has closed the pipe."""
        look = sweep = time.monotonic()
        canary, quarter = look, look + QUARTER
        while self._orders_until(look if self._processes else canary):
            now = time.monotonic()
            if self._processes and now >= look:
                every = now >= sweep
                self._look(every)
                # Not in step with what repeats in the service itself.
                look = now + LOOK * (0.5 + random.random())
                sweep = now + self._gap if every else sweep
            if now >= quarter:
                self._report(now)
                quarter = now + QUARTER
            if now >= canary:
                core, seconds = self._canary.lap()
                self._write({"at": now, "core": core, "seconds": round(seconds, 7)})
                canary = max(canary + self._canary.interval, now)

    def _orders_until(self, deadline: float) -> bool:
        """Wait, and take the orders that come; False: the pipe has ended."""
        while True:
            left = max(deadline - time.monotonic(), 0.0)
            if not self._poll.poll(left * 1000):
                return True
            try:
                data = os.read(self._orders, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            *lines, self._unread = (self._unread + data).split(_NEWLINE)
            for line in lines:
                self._follow(json.loads(line))

    def _follow(self, order: dict[str, Any]) -> None:
        """Look at the processes of an order, and no longer at the others."""
        if order["deployment"] != self._deployment:
            self._report(time.monotonic())
        self._deployment = order["deployment"]
        wanted = set(order["processes"])
        for pid in self._processes.keys() - wanted:
            self._processes.pop(pid).close()
        for pid in wanted - self._processes.keys():
            try:
                threads = Threads(pid)
            except OSError as error:
                with suppress(ProcessLookupError):  # it has ended
                    os.kill(pid, 0)
                    self._deny(f"/proc/PID: {error.strerror}", "")
                continue
            if threads.denied:
                self._deny(threads.denied, "wchan")
            if order["rest"]:
                threads.rest()
            self._processes[pid] = threads

    def _deny(self, why: str, instead: str) -> None:
        if why != self._denied:
            self._denied = why
            self._write({"denied": why, "instead": instead})

    def _look(self, sweep: bool) -> None:
        there = list(self._processes.values())
        for place in range(self._turn, self._turn + min(len(there), MAINS)):
            there[place % len(there)].look()
        self._turn += MAINS
        if sweep:
            for threads in there:
                threads.sweep()

    def _report(self, now: float) -> None:
        """Write what was seen since the last report, and look for new threads."""
        seen = {pid: threads.take() for pid, threads in self._processes.items()}
        if seen:
            self._write({"at": now, "deployment": self._deployment, "processes": seen})
        for pid, threads in list(self._processes.items()):
            try:
                threads.refresh()
            except OSError:  # it has ended
                self._processes.pop(pid).close()
        used, elapsed = time.thread_time() - self._used, now - self._at
        wanted = self._gap * (1.1 if used > SHARE * elapsed else 0.93)
        self._gap = min(max(wanted, LOOK), SLOWEST)
        self._at, self._used = now, self._used + used

    def _write(self, result: dict[str, Any]) -> None:
        # A starter that does not read loses results, and does not stop the watch.
        with suppress(BlockingIOError):
            os.write(self._results, json.dumps(result).encode() + _NEWLINE)


def main(words: Sequence[str]) -> None:
    """
    Args:
        words: the cores of the canary.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICE)
    with suppress(BrokenPipeError):
        Child([int(word) for word in words]).run()


if __name__ == "__main__":
    main(sys.argv[1:])
