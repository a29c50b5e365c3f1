"""The load generator, stock Locust and wrk: throughput, CPU a request, and times of its own.

    PYTHONPATH=. python tests/benchmarks/generator.py [--rounds 7] [--seconds 5] [--only throughput]

Stock Locust is its FastHttpUser with one task: the same users, target and core. The ways take turns
in drawn order, and what a round says is a ratio. The target is nginx with the echo module where it
is installed, for the mock is slower than the generator; it counts what came. Asked:

- throughput: at 64 users at least 3 times stock's (the interval's lower end: 2.8), by at most a
  third of the CPU a request, recording and Locust's statistics included.
- delays: 200 users, 50 ms: p99 at most 2 ms above that of wrk.
- crowd: 1,000 users, 100 ms: the mean within 2 % of what the mock delivered; all users are up
  within a second.
- open: 5,000 arrivals a second: sent at most 1 ms late (p99), none unsent.
"""

import math
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import httpx
import psutil
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))

import peers

from loadtests.analysis.inputs.records import StageRecord
from loadtests.processes.affinity import Cores
from loadtests.recording import messages
from loadtests.recording.histograms import Histogram, merged
from loadtests.recording.slices import LENGTH
from loadtests.run.controller import is_over
from loadtests.run.engine_process import ControllerSocket, engine

STOCK = Path(__file__).with_name("stock_locustfile.py")
CORES = Cores(frozenset({peers.SERVER}), frozenset({peers.SERVER}), frozenset({peers.DRIVER}), True)
SETTLE = 1.5  # seconds
SLOWEST = 30.0  # seconds, the timeout of requests
Rows = Iterator[tuple[str, str, str, bool | None]]


@dataclass(frozen=True)
class Target:
    """A server on its core, which counts what comes."""

    url: str
    count: Callable[[], int]


@dataclass(frozen=True)
class Cost:
    """What one way did for some seconds."""

    rate: float  # requests a second, as the server counted them
    cpu: float  # microseconds of the generator's CPU for each


def main() -> None:
    peers.about_the_machine()
    parts = {"throughput": throughput, "delays": delays, "crowd": crowd, "open": open_model}
    sys.exit(not peers.judged(peers.rows_of(__doc__, parts, rounds=7)))


def throughput(rounds: int, seconds: float) -> Rows:
    found: dict[str, list[Cost]] = {"stock": [], "brownout": []}
    limits = []
    with prompt() as target:
        for number in range(rounds):
            ways = list(found)
            random.Random(number).shuffle(ways)
            for way in ways:
                play = by_stock if way == "stock" else by_brownout
                found[way].append(play(target, 64, seconds))
            if shutil.which("wrk"):
                limits.append(peers.drive(peers.Peer(target.url), 64, seconds).throughput)
    for name, of in (("requests a second", "rate"), ("microseconds of CPU for each", "cpu")):
        print(f"{name} at 64 users, by round")
        for way, costs in found.items():
            print(f"  {way:11}", *(f"{getattr(cost, of):7,.0f}" for cost in costs))
        if of == "rate" and limits:
            print(f"  {'wrk':11}", *(f"{rate:7,.0f}" for rate in limits))
    pairs = list(zip(found["brownout"], found["stock"], strict=True))
    ratio, low, high = interval([ours.rate / stock.rate for ours, stock in pairs])
    told = f"{ratio:.2f} ({low:.2f} to {high:.2f})"
    yield "throughput over stock's, 64 users", "3.0, low end 2.8", told, ratio >= 3 and low >= 2.8
    ratio, low, high = interval([ours.cpu / stock.cpu for ours, stock in pairs])
    told = f"{ratio:.3f} ({low:.3f} to {high:.3f})"
    yield "CPU a request over stock's", "at most 0.333", told, ratio <= 1 / 3


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """The geometric mean, and its 95 % confidence interval by t."""
    logs = [math.log(ratio) for ratio in ratios]
    middle = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(middle), 0.0, math.inf
    error = statistics.stdev(logs) / len(logs) ** 0.5
    half = float(stats.t.ppf(0.975, len(logs) - 1)) * error
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def delays(rounds: int, seconds: float) -> Rows:
    if not shutil.which("wrk"):
        print("without wrk there is nothing to compare 50 ms with")
        return
    added = []
    with peers.mock("50ms") as upstream, playing() as engine_:
        for number in range(max(rounds // 2, 1)):
            ours = ok(engine_.play(stage(number, upstream.url, 200, seconds))).quantile(0.99)
            theirs = peers.drive(peers.Peer(upstream.url), 200, seconds).p99
            print(f"p99 at 200 users, 50 ms: brownout {ours * 1e3:.2f} ms, wrk {theirs * 1e3:.2f}")
            added.append(ours - theirs)
    more = statistics.median(added) * 1e3
    yield "p99 over wrk's, 200 users, 50 ms", "at most 2 ms more", f"{more:+.2f} ms", more <= 2


def crowd(_rounds: int, seconds: float) -> Rows:
    with peers.mock("100ms") as upstream, playing() as engine_:
        asked = time.perf_counter()
        record = engine_.play(stage(0, upstream.url, 1000, seconds))
        delivered = upstream.ledger().delivered
        wrk = peers.drive(peers.Peer(upstream.url), 1000, seconds) if shutil.which("wrk") else None
    truth = delivered.total / delivered.count
    off = ok(record).mean() / truth - 1
    print(f"1,000 users: {ok(record).count:,} answers, the mock delivered {truth * 1e3:.2f} ms")
    yield "mean at 1,000 users, 100 ms, over the mock's", "within 2 %", f"{off:+.2%}", off <= 0.02
    if wrk is not None:  # requests wait in the mock's sockets, too, when it is short of CPU
        more = ok(record).quantile(0.5) / wrk.p50 - 1
        yield "  p50 over wrk's with 1,000 connections", "", f"{more:+.2%}", None
    up = record.begun.at - asked
    yield "from asking for 1,000 users to the stage", "at most 1 s", f"{up:.2f} s", up <= 1


def open_model(_rounds: int, seconds: float) -> Rows:
    with prompt() as target, playing() as engine_:
        record = engine_.play(stage(0, target.url, 5000, max(seconds, 5), model="open"))
    unsent = sum(part.unsent for part in record.slices)
    late = max(done.late for done in record.dones.values()) * 1e3
    cpu = max(done.cpu for done in record.dones.values())
    print(f"open model at 5,000/s: {ok(record).count:,} answers, CPU {cpu:.0%}")
    yield "p99 late at 5,000 arrivals/s", "at most 1 ms", f"{late:.2f} ms", late <= 1
    yield "unsent at 5,000 arrivals/s", "none", str(unsent), unsent == 0


@contextmanager
def prompt() -> Iterator[Target]:
    """A server that answers a small JSON at once."""
    with peers.nginx() as server:
        if server is not None:
            yield Target(server.url, lambda: nginx_requests(server.url))
            return
    print("without nginx the mock is the target, and can be the limit")
    with peers.mock("0ms") as upstream:
        yield Target(upstream.url, lambda: upstream.ledger().arrivals)


def nginx_requests(url: str) -> int:
    text = httpx.get(f"{url}/status", trust_env=False).text
    return int(re.search(r"(\d+) \nReading", text)[1])


def by_stock(target: Target, users: int, seconds: float) -> Cost:
    words = [sys.executable, "-m", "locust", "-f", str(STOCK), "--headless", "--only-summary"]
    words += ["--users", str(users), "--spawn-rate", "100", "--host", target.url]
    with peers.on_core(peers.DRIVER):
        locust = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        before = target.count()
        while target.count() < before + 1000:
            time.sleep(0.1)
        time.sleep(SETTLE)
        return cost(target, locust.pid, seconds)
    finally:
        locust.terminate()
        locust.wait()


def by_brownout(target: Target, users: int, seconds: float) -> Cost:
    found: list[Cost] = []

    def watch() -> None:
        time.sleep(SETTLE + 0.5)
        found.append(cost(target, engine_.pid, seconds))

    with playing() as engine_:
        thread = Thread(target=watch)
        engine_.play(stage(0, target.url, users, seconds + 1), begins=thread.start)
        thread.join()
    return found[0]


def cost(target: Target, pid: int, seconds: float) -> Cost:
    process = psutil.Process(pid)
    began, before, used = time.perf_counter(), target.count(), sum(process.cpu_times()[:2])
    time.sleep(seconds)
    took, count = time.perf_counter() - began, target.count() - before
    return Cost(count / took, (sum(process.cpu_times()[:2]) - used) / count * 1e6)


@dataclass(frozen=True)
class Engine:
    """Locust with our locustfile, as a controller has it."""

    line: ControllerSocket
    pid: int

    def play(self, asked: messages.Stage, begins: Callable[[], None] = lambda: None) -> StageRecord:
        self.line.send(asked)
        record = StageRecord(asked)
        while not is_over(record):
            message = self.line.receive(60)
            record.add(message)
            if isinstance(message, messages.StageStarted):
                begins()
        return record


@contextmanager
def playing() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as folder, ControllerSocket() as line:
        log = Path(folder, "generator.log")
        headless = ["--headless", "--only-summary"]
        with engine(line, Path("default"), log, CORES, headless) as connected:
            pid = connected().pid
            assert isinstance(line.receive(60), messages.Started)
            yield Engine(line, pid)
            line.send(messages.Finish())


def stage(
    number: int, url: str, level: int, seconds: float, model: str = "closed"
) -> messages.Stage:
    request = messages.RequestSpec(
        name="GET /external-data", method="GET", path="/external-data", weight=1, timeout=SLOWEST
    )
    return messages.Stage(
        number=number, deployment="target", target=url, model=model, level=level, think_time=0,
        settle=SETTLE, measure=seconds, requests=(request,), seed=number,
    )  # fmt: skip


def ok(record: StageRecord) -> Histogram:
    """The times of the answers of the measured part."""
    return merged(part.ok for part in record.slices if part.index >= SETTLE / LENGTH)


if __name__ == "__main__":
    main()
