"""The open model against theory: a server that stalls once, at a constant rate.

    python tests/benchmarks/stall.py [--rounds 3] [--seconds 20] [--processes 1]

The server answers nobody for S of T measured seconds. Requests go on arriving, and it catches up at
the rest of its capacity; who arrives t seconds after the stall began waits S - (1 - rho) t, where
rho = rate / capacity. So the p-quantile of the response time from the intended start is
q0 + S - (1 - rho)(1 - p) T, where S > (1 - rho)(1 - p) T; q0 is the time without a stall, measured
in a calm stage. Asked: p95 and p99 within 3 % of it, in every case and round.

The server is the mock with one server of constant service time 1 / capacity, by evenly spaced
arrivals. It is stalled in two ways:

- by a single request that takes S seconds of the one server. The mock keeps its queue in virtual
  time, first come, first served, so this stall lasts S to the microsecond: the formula is exact.
- by SIGSTOP of the whole process: what a pause of the machine or of the runtime looks like from
  outside, with connections that nobody accepts. It is as long as this script manages.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx

from loadtests import plans
from loadtests.analysis.inputs.records import StageRecord
from loadtests.processes.affinity import Cores
from loadtests.recording import messages
from loadtests.recording.histograms import merged
from loadtests.recording.slices import LENGTH
from loadtests.run.controller import is_over
from loadtests.run.engine_process import ControllerSocket, engine

CAPACITY = 200  # requests per second
CASES = [(1.0, 0.5), (2.0, 0.25), (2.0, 0.5), (3.0, 0.75)]  # S for 20 s, rho
QUANTILES = (0.95, 0.99)
SETTLE = 1.0
ASKED = 0.03
PROFILE = f"""
latency = "{1000 / CAPACITY:g}ms"
[capacity]
servers = 1
queue = 100000
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            rows += one_round(number, arguments.seconds, arguments.processes, Path(folder))
    print("round stall by   S      rate/s  rho   sent  quantile  expected   measured   differ")
    worst = 0.0
    for number, how, stall, rate, sent, q, expected, measured in rows:
        off = measured / expected - 1
        worst = max(worst, abs(off))
        print(
            f"{number:5} {how:8} {stall:5.2f} s {rate:7} {rate / CAPACITY:5.2f} {sent:6} "
            f"{q:8.2f} {expected * 1e3:8.1f} ms {measured * 1e3:8.1f} ms {off:+8.2%}"
        )
    good = bool(rows) and worst <= ASKED
    print(f"{len(rows)} quantiles: asked within {ASKED:.0%}, worst {worst:.2%}", end=" ")
    print("ok" if good else "MISSED")
    sys.exit(not good)


def one_round(number, seconds, processes, folder):
    profile = folder / "profile.toml"
    profile.write_text(PROFILE, encoding="utf-8")
    cores = Cores.here()
    with cores.pinned_to(cores.apps):
        mock = subprocess.Popen(
            [sys.executable, "-m", "mock_upstream", "serve", profile], stdout=subprocess.PIPE
        )
    try:
        url = json.loads(mock.stdout.readline())["url"]
        headless = ["--headless", "--only-summary"]
        if processes > 1:
            headless += ["--processes", str(processes)]
        log = folder / f"generator-{number}.log"
        with (
            ControllerSocket() as line,
            engine(line, Path("default"), log, cores, headless) as connected,
        ):
            connected()
            assert isinstance(line.receive(60), messages.Started)
            yield from (
                row
                for place, (stall, rho) in enumerate(CASES)
                for row in one_case(line, place, url, mock.pid, seconds, stall, rho, number)
            )
            line.send(messages.Finish())
    finally:
        mock.terminate()
        mock.wait()


def one_case(line, place, url, pid, seconds, stall, rho, number):
    rate, stall = round(rho * CAPACITY), stall * seconds / 20
    calm = play(line, 3 * place, url, rate, 3.0, lambda: None)
    q0 = merged(part.response for part in calm.slices).quantile(0.5)
    for turn, (how, hold) in enumerate([("request", busy(url)), ("SIGSTOP", stopped(pid))], 1):
        record = play(line, 3 * place + turn, url, rate, seconds, lambda hold=hold: hold(stall))
        measured = [part for part in record.slices if part.index >= SETTLE / LENGTH]
        times = merged(part.response for part in measured)
        late = max(done.late for done in record.dones.values())
        failed = sum(part.failed.count + part.unsent for part in measured)
        print(f"{how} {stall:g} s at {rate}/s: {times.count} answers, {failed} failed or unsent, "
              f"sent at most {late * 1e3:.2f} ms late (p99)", file=sys.stderr)  # fmt: skip
        for q in QUANTILES:
            idle = (1 - rho) * (1 - q) * seconds
            if stall > idle:
                expected = q0 + stall - idle
                yield number, how, stall, rate, times.count, q, expected, times.quantile(q)


def busy(url):
    """Occupies the one server."""

    def hold(seconds):
        headers = {"X-Mock-Latency": f"{seconds * 1000:g}ms"}
        httpx.get(url, headers=headers, timeout=60).raise_for_status()

    return hold


def stopped(pid):
    def hold(seconds):
        end = time.perf_counter() + seconds
        os.kill(pid, signal.SIGSTOP)
        time.sleep(max(0.0, end - time.perf_counter()))
        os.kill(pid, signal.SIGCONT)

    return hold


def play(line, number, url, rate, seconds, hold):
    """A stage of the open model, in which `hold` is called a twentieth into the window."""
    stage = messages.Stage(
        number=number, deployment="mock", target=url, model="open", arrivals="even", level=rate,
        think_time=0, settle=SETTLE, measure=seconds, seed=number,
        requests=(plans.default().requests[0].spec(),),
    )  # fmt: skip
    line.send(stage)
    record = StageRecord(stage)
    stalling = None
    while not is_over(record):
        record.add(line.receive(60))
        if stalling is None and record.begun:
            wait = record.begun.at + SETTLE + seconds / 20 - time.monotonic()
            stalling = threading.Timer(wait, hold)
            stalling.start()
    stalling.join()
    return record


if __name__ == "__main__":
    main()
