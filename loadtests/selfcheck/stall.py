"""
A server that stands still, against the analytic quantiles of what its clients must see.

A request that is meant to start x seconds into a stall of S waits for its rest, S - x, and then
for those before it, which the server works off at its capacity: rho x more, where rho = rate /
capacity. Times fall in a straight line, from S to nothing, so the part 1 - p of T seconds that
waits longest waits at least S - (1 - rho)(1 - p) T, in addition to the q0 that an answer always
takes. A generator that sends nothing while it waits would see q0.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.analysis.inputs.records import Record
from loadtests.recording.histograms import Histogram, merged
from loadtests.recording.slices import LENGTH
from loadtests.selfcheck.bench import Bench, RunFailed, Target, plan
from loadtests.selfcheck.findings import Check, Findings, not_measured

TITLE = "a stalled server"
PROFILE = Path(__file__).with_name("stall.toml")
ALONE = 0.002  # seconds that an answer takes; as in the profile, as is the capacity
CAPACITY = 500  # requests per second
RATE = 250
SETTLE, WINDOW, STALL = 1.0, 8.0, 1.5  # seconds
OFF = 0.03
QUANTILES = {"p95": 0.95, "p99": 0.99}


def check(bench: Bench) -> Findings:
    """Requests come evenly, whatever the answers do; the server is stopped for a while."""
    target = Target(str(PROFILE))
    load = {
        "model": "open",
        "arrivals": "even",
        "levels": [RATE],
        "settle": f"{SETTLE:g}s",
        "measure": f"{WINDOW:g}s",
    }
    with _stopping(target) as stopping:
        table = plan("stall", {"stalled": target.deployment}, load)
        played = bench.play(table, begins=lambda _: stopping.start())
    return judged(response_times(played.record()), stopping.stood_still)


def expected(quantile: float, stall: float) -> float:
    """The quantile of the response times of the whole window; seconds."""
    return ALONE + stall - (1 - RATE / CAPACITY) * (1 - quantile) * WINDOW


def judged(times: Histogram, stall: float) -> Findings:
    """
    Args:
        times: response times, from the intended start, of the window.
        stall: how long the server really stood still; seconds.
    """
    if not stall:
        raise RunFailed("the server was never stopped")
    checks = []
    for name, quantile in QUANTILES.items():
        title, true = f"{name} of a server that stalled {stall:.1f} s", expected(quantile, stall)
        told = f"{true * 1000:,.0f} ms, within {OFF:.0%}"
        if not times.count:
            checks.append(not_measured(title, told, "no request was answered"))
            continue
        value = times.quantile(quantile)
        measured = f"{value * 1000:,.0f} ms ({value / true - 1:+.1%})"
        checks.append(Check(title, told, measured, abs(value / true - 1) <= OFF))
    return Findings(tuple(checks))


def response_times(record: Record) -> Histogram:
    """The response times of all requests that were meant to start in the window."""
    return merged(
        part.response
        for stage in record.stages
        for part in stage.slices
        if part.index >= round(SETTLE / LENGTH)
    )


class _Stopping:
    """Stops a process for a while, a second into the window."""

    def __init__(self, target: Target) -> None:
        self.stood_still = 0.0  # seconds
        self._target = target
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._stop_and_go_on)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _stop_and_go_on(self) -> None:
        process = self._target.process()
        if self._over.wait(SETTLE + 1):
            return
        process.send_signal(signal.SIGSTOP)
        began = time.perf_counter()
        try:
            self._over.wait(STALL)
        finally:
            process.send_signal(signal.SIGCONT)
            self.stood_still = time.perf_counter() - began


@contextmanager
def _stopping(target: Target) -> Iterator[_Stopping]:
    stopping = _Stopping(target)
    try:
        yield stopping
    finally:
        stopping.end()
