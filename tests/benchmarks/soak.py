"""An hour of use: no process may keep memory or descriptors.

    PYTHONPATH=. python tests/benchmarks/soak.py [--minutes 60] [--only ui|requests]

First `brownout ui` for some minutes, with tests one after another over HTTP, as a browser starts
them. Then as many requests as 100 users with a pause of a second send in that time, as fast as they
are answered and for that time at most, to the mock and to each variant in front of it, in bursts
that open their connections each time and abandon what is under way. Asked of every process: in
the second half its own memory grows by less than 2 MB, and its descriptors are no more at the
end than before.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from urllib.parse import urlsplit

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

import mock_upstream
from app_under_test import variants
from tests.benchmarks.mock_soak import PROFILE
from tests.benchmarks.peers import judged
from tests.conftest import a_free_port
from tests.support.brownout_runs import PAIR
from tests.support.webui import Pages, ui

USERS = 100  # requests per second that the second part stands for
CONNECTIONS, BURST = 32, 1000  # of a burst; requests
MOST_GROWN = 2e6  # bytes
FEWEST = 12  # samples; of fewer, the halves say nothing
CLOSING = 2.0  # seconds in which a service closes what requests that were abandoned have opened

PLAN = f"""
name = "soak"
[upstream]
latency = "5ms"
{PAIR}
[load]
levels = [1, 8]
settle = "250ms"
measure = "1s"
"""
PATH = "/external-data"  # of a variant; one call of the mock

Sample = tuple[int, int]
"""Bytes of memory and descriptors of a process."""


class Watch:
    """Samples of processes, by role and process id."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)
        self._rounds = 0

    def sample(self, root: int) -> None:
        """Take a sample of a process and of all below it."""
        self._rounds += 1
        process = psutil.Process(root)
        for one in (process, *process.children(recursive=True)):
            try:
                key = _role(one.cmdline()), one.pid
                self._samples[key].append((memory(one.pid), one.num_fds()))
            except (psutil.Error, OSError):  # it has ended
                continue

    def rows(self, prefix: str = "") -> Iterator[tuple[str, str, str, bool | None]]:
        """What is asked of each process that was there for all of the second half."""
        for (role, _), samples in self._samples.items():
            if len(samples) < max(FEWEST, self._rounds // 2):
                continue
            half = samples[len(samples) // 2 :]
            grown = fmean(pss for pss, _ in half[-3:]) - fmean(pss for pss, _ in half[:3])
            middle = len(half) // 2
            before, after = (max(fds for _, fds in part) for part in (half[:middle], half[middle:]))
            name = f"{prefix}{role}: memory of {half[-1][0] / 1e6:.1f} MB grows by"
            yield name, "at most 2 MB", f"{grown / 1e6:.2f} MB", grown < MOST_GROWN
            yield f"{prefix}{role}: descriptors", f"at most {before}", str(after), after <= before


def memory(pid: int) -> int:
    """
    Bytes of a process, without pages of files: of those it has a larger share when others end.

    What it shares with others counts by its share.
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    return 1024 * next(
        int(line.split()[1]) for line in rollup.splitlines() if line[:9] == "Pss_Anon:"
    )


def _role(words: list[str]) -> str:
    text = " ".join(words)
    longest_first = sorted(variants.names(), key=len, reverse=True)
    named = ("locust", "mock_upstream", *longest_first, "loadtests")
    return next((name for name in named if name in text), Path(words[0]).name if words else "?")


def soak_ui(seconds: float) -> list[tuple[str, str, str, bool | None]]:
    """Tests one after another in one session."""
    watch, tests, wrong = Watch(), 0, []
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
        with ui(folder, a_free_port()) as pages:
            pages.until("ready")
            while time.monotonic() < deadline:
                wrong += _tested(pages)
                tests += 1
                watch.sample(pages.invocation.process.pid)
    print(f"{tests} tests in {seconds:,.0f} s of brownout ui")
    return [*watch.rows("ui, "), ("ui, tests that failed", "0", str(len(wrong)), not wrong)]


def _tested(pages: Pages) -> list[str]:
    """Play a test; what went wrong in it."""
    before = pages.now().get("id")
    if not pages.start()["success"]:
        return ["it did not start"]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        now = pages.now()
        if now.get("id") != before and now["state"] != "running":
            return [] if now["state"] == "complete" else [now["state"]]
        time.sleep(0.2)
    return ["it did not end"]


def soak_requests(count: int) -> list[tuple[str, str, str, bool | None]]:
    """Send `count` requests to the mock, and to each variant in front of it."""
    rows: list[tuple[str, str, str, bool | None]] = []
    with mock_upstream.running(PROFILE) as upstream:
        rows += _soaked("mock", upstream.url, upstream.pid, count, "/")
    with mock_upstream.running({"latency": "1ms"}) as upstream:
        for variant in variants.names():
            with service(variant, upstream.url) as (url, pid):
                rows += _soaked(variant, url, pid, count, PATH)
        account = upstream.ledger()
    rows.append(("calls of the variants at the mock", "", f"{account.arrivals:,}", None))
    return rows


def _soaked(name: str, url: str, pid: int, count: int, path: str) -> list:
    watch, process, idle = Watch(), psutil.Process(pid), 0
    began, answered = time.monotonic(), 0
    bursts = max(count // BURST, 2 * FEWEST)
    while bursts and time.monotonic() - began < count / USERS:  # one is slower than the users ask
        bursts -= 1
        answered += asyncio.run(burst(url, path, max(min(count // (2 * FEWEST), BURST), 1)))
        idle = _idle(process, idle)
        watch.sample(pid)
    took = time.monotonic() - began
    print(f"{name}: {answered:,} answers in {took:,.0f} s", flush=True)
    return [*watch.rows(), (f"{name}: answers", f"{count:,}", f"{answered:,}", None)]


def _idle(process: psutil.Process, before: int) -> int:
    """
    Wait until it has no more descriptors than `before`, at most CLOSING; returns how many it has.

    A thread cannot be cancelled: where a client has gone, its call and its connection go on.
    """
    deadline = time.monotonic() + CLOSING
    while (count := process.num_fds()) > before and time.monotonic() < deadline:
        time.sleep(0.02)
    return count


async def burst(url: str, path: str, count: int) -> int:
    """Send `count` requests over new connections and abandon one on each; return the answers."""
    parts = urlsplit(url)
    question = f"GET {path} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode()
    left = count

    async def ask() -> int:
        nonlocal left
        answered = 0
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while left > 0:
            left -= 1
            writer.write(question)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            answered += 1
        writer.write(question)
        await writer.drain()
        writer.transport.abort()
        return answered

    return sum(await asyncio.gather(*(ask() for _ in range(CONNECTIONS))))


@contextmanager
def service(variant: str, upstream: str) -> Iterator[tuple[str, int]]:
    """A variant, with the telemetry that a run switches on; its URL and process."""
    words = ["-m", "app_under_test", variant, "--upstream", upstream, "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        env={**os.environ, "BROWNOUT_TELEMETRY": f"127.0.0.1:{a_free_port()}/soak"},
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"], process.pid
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--only", choices=["ui", "requests"])
    arguments = parser.parse_args()
    seconds = 60 * arguments.minutes
    rows = []
    if arguments.only != "requests":
        rows += soak_ui(seconds)
    if arguments.only != "ui":
        rows += soak_requests(int(USERS * seconds))
    sys.exit(not judged(rows))


if __name__ == "__main__":
    main()
