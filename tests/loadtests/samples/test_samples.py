"""Samples: what processes used, of processes that come and go."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from loadtests.processes import pids
from loadtests.samples import Sampler, processes
from loadtests.samples import sampler as sampling_loop
from tests.support.servers import answers, callers, eventually, mock_upstream

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(sampling_loop, "INTERVAL", 0.1)


@contextmanager
def python(code: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_busy_process_uses_a_core_and_an_idle_one_none():
    found: list[dict[str, Any]] = []
    with python("while True: pass") as busy, python("import time; time.sleep(60)") as idle:
        pids = {"busy": [busy.pid], "both": [busy.pid, idle.pid], "idle": [idle.pid]}

        def used(name: str) -> float:
            return sum(sample["processes"][name]["cpu"] for sample in found)

        with Sampler(lambda: pids, None, found.append):
            eventually(lambda: len(found) >= 5 and used("busy") > used("idle"))
    names = [set(sample["processes"]) for sample in found]
    assert names == [{"busy", "both", "idle"}] * len(found)
    # Loose at the edges of the clock's ticks; a second core is out of reach for one thread.
    assert used("busy") / len(found) < 1.5
    for sample in found:
        assert sample["type"] == "sample"
        assert "mock" not in sample
        assert all(0 <= share <= 1 for share in sample["cores"])
        both, one = sample["processes"]["both"], sample["processes"]["busy"]
        assert both["rss"] > one["rss"] > 1e6
        assert (one["threads"], both["threads"]) == (1, 2)
        assert both["descriptors"] > one["descriptors"] >= 3
    times = [sample["at"] for sample in found]
    assert times == sorted(times)
    assert times[-1] - times[0] >= 0.09 * (len(times) - 1)  # never early


def test_a_process_that_vanished_is_left_out():
    found: list[dict[str, Any]] = []
    with python("import time; time.sleep(60)") as mortal:
        pids = {"mortal": [mortal.pid], "myself": [os.getpid()]}
        with Sampler(lambda: pids, None, found.append):
            eventually(lambda: any("mortal" in sample["processes"] for sample in found))
            mortal.kill()
            mortal.wait()
            seen = len(found)
            eventually(lambda: len(found) >= seen + 3)
    assert set(found[-1]["processes"]) == {"myself"}


def test_a_process_that_is_new_is_left_out_until_its_use_is_known():
    found: list[dict[str, Any]] = []
    pids: dict[str, list[int]] = {}
    with Sampler(lambda: pids, None, found.append):
        eventually(lambda: len(found) >= 2)
        pids["late"] = [os.getpid()]
        eventually(lambda: "late" in found[-1]["processes"])
    first = next(n for n, sample in enumerate(found) if "late" in sample["processes"])
    assert first > 2
    assert found[first]["processes"]["late"]["cpu"] < os.cpu_count() + 1


def test_the_ledger_of_the_mock_is_in_each_sample_as_long_as_there_is_one():
    found: list[dict[str, Any]] = []
    with mock_upstream("--latency", "1ms") as mock:
        with Sampler(dict, mock.control, found.append):
            eventually(lambda: len(found) >= 3)
        assert [sample["mock"]["arrivals"] for sample in found] == [0] * len(found)
        assert found[-1]["mock"]["in_flight"]["now"] == 0
    found.clear()
    with Sampler(dict, mock.control, found.append):
        eventually(lambda: len(found) >= 2)
    assert found[-1]["mock"] is None


def test_the_peak_of_the_mock_is_that_of_the_time_since_the_sample_before():
    found: list[dict[str, Any]] = []
    with mock_upstream("--latency", "1ms") as mock, Sampler(dict, mock.control, found.append):
        eventually(lambda: found)  # what comes before the first sample is in none
        with callers(mock.url) as users:
            answers(users.start("/", times=5))
        eventually(lambda: found[-1]["mock"]["arrivals"] == 5)
        seen = len(found)
        eventually(lambda: len(found) >= seen + 2)
    peaks = [sample["mock"]["in_flight"]["peak"] for sample in found]
    assert max(peaks) >= 1
    assert peaks[-1] == 0


def test_gauges_of_services_are_in_each_sample_after_the_first_second():
    found: list[dict[str, Any]] = []
    told = iter(range(1000))
    with Sampler(dict, None, found.append, lambda: {"shop": {"1": {"at": next(told)}}}):
        eventually(lambda: len(found) >= 3)
    # What was told before the first is of another time.
    assert [sample["gauges"]["shop"]["1"]["at"] for sample in found[:3]] == [1, 2, 3]


SWITCHING = """
import threading, time
def work():
    while True: time.sleep(0.01)
for _ in range(5): threading.Thread(target=work, daemon=True).start()
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_context_switches_are_those_of_all_threads(monkeypatch):
    found: list[dict[str, Any]] = []
    with python(SWITCHING) as process:
        pids = {"one": [process.pid], "twice": [process.pid, process.pid]}

        def switches(name: str) -> list[float]:
            told = (sample["processes"].get(name, {}).get("switches") for sample in found)
            return [one["voluntary"] for one in told if one]

        with Sampler(lambda: pids, None, found.append):
            # The main thread alone, which sleeps, has none.
            eventually(lambda: len(switches("one")) >= 3 and switches("one")[-1] > 50)
            monkeypatch.setattr(processes, "MOST_THREADS", 3)
            eventually(lambda: "switches" not in found[-1]["processes"]["one"])
    assert all(one < 5 * 150 for one in switches("one"))
    assert found[0]["harness"]["switches"]["voluntary"] > 0  # the sampler itself waits


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_sockets_are_counted_by_state():
    found: list[dict[str, Any]] = []

    def held() -> int:
        return found[-1]["sockets"]["established"]

    with Sampler(dict, None, found.append), socket.create_server(("127.0.0.1", 0)) as listener:
        eventually(lambda: found)
        before = held()
        several = [socket.create_connection(listener.getsockname()) for _ in range(30)]
        eventually(lambda: held() >= before + 30)
        for one in several:
            one.close()
    assert all(sample["sockets"]["time_wait"] == sample["ports"]["time_wait"] for sample in found)


def test_a_mock_that_does_not_let_the_harness_in_has_no_ledger():
    found: list[dict[str, Any]] = []
    with (
        mock_upstream("--control-token", "for-others") as mock,
        Sampler(dict, mock.control, found.append),
    ):
        eventually(lambda: len(found) >= 2)
    assert [sample["mock"] for sample in found] == [None] * len(found)


def test_a_last_sample_covers_the_time_before_the_end(monkeypatch):
    monkeypatch.setattr(sampling_loop, "INTERVAL", 0.3)
    found: list[dict[str, Any]] = []
    with Sampler(dict, None, found.append):
        eventually(lambda: found)
        before, end = len(found), time.monotonic()
    assert len(found) > before
    assert found[-1]["at"] >= end
    assert found[-1]["at"] - found[-2]["at"] >= 0.29


def test_a_sample_that_fails_does_not_end_the_others_and_is_counted():
    found: list[dict[str, Any]] = []
    failing = False

    def pids() -> dict[str, list[int]]:
        if failing:
            raise OSError(24, "Too many open files", "/proc")
        return {"myself": [os.getpid()]}

    with Sampler(pids, None, found.append) as sampler:
        eventually(lambda: len(found) >= 2)
        assert sampler.problem() is None
        failing = True
        eventually(lambda: (sampler.problem() or "").startswith("3 samples"))
        failing = False
        seen = len(found)
        eventually(lambda: len(found) >= seen + 3)
    problem = sampler.problem()
    assert "samples of the machine and the processes could not be taken" in problem
    assert "the first because of OSError: [Errno 24] Too many open files: '/proc'" in problem
    # The one after the gap covers all of it, and no second counts twice.
    gap = found[seen]["at"] - found[seen - 1]["at"]
    assert gap >= 0.39
    assert all(sample["processes"]["myself"]["cpu"] <= os.cpu_count() for sample in found)


def test_a_first_sample_that_fails_is_made_up_for_by_the_next():
    found: list[dict[str, Any]] = []
    calls = iter(range(1000))

    def pids() -> dict[str, list[int]]:
        if next(calls) == 0:
            raise RuntimeError
        return {"myself": [os.getpid()]}

    with Sampler(pids, None, found.append) as sampler:
        eventually(lambda: len(found) >= 2)
    assert sampler.problem().endswith("the first because of RuntimeError")
    assert all(sample["cores"] and "myself" in sample["processes"] for sample in found)


def test_a_sample_that_cannot_be_written_does_not_end_the_others():
    found: list[dict[str, Any]] = []

    def write(sample: dict[str, Any]) -> None:
        found.append(sample)
        if len(found) == 1:
            raise ValueError("not JSON")

    with Sampler(dict, None, write) as sampler:
        eventually(lambda: len(found) >= 3)
    assert sampler.problem().startswith("1 sample of")


def test_the_processes_below_one_are_found_where_those_of_others_may_not_be_read(monkeypatch):
    with python("import subprocess, sys; subprocess.run(['sleep', '60'])") as parent:

        def hidden(self, recursive=False):
            raise psutil.AccessDenied(1)

        monkeypatch.setattr(psutil.Process, "children", hidden)
        eventually(lambda: pids.descendants(parent.pid))
        [child] = pids.descendants(parent.pid)
        os.kill(child, 9)
        parent.wait(10)
        assert pids.descendants(parent.pid) == set()


def test_nothing_is_written_after_the_end():
    found: list[dict[str, Any]] = []
    with Sampler(dict, None, found.append) as sampler:
        eventually(lambda: found)
        sampler.stop()
        written = len(found)
        assert not [t for t in threading.enumerate() if t.name == "sampler"]
    assert len(found) == written


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_a_process_that_shares_a_busy_core_waits_for_it():
    core = min(os.sched_getaffinity(0))
    found: list[dict[str, Any]] = []
    with python("while True: pass") as one, python("while True: pass") as other:
        for process in (one, other):
            os.sched_setaffinity(process.pid, {core})
        with Sampler(lambda: {"one": [one.pid], "both": [one.pid, other.pid]}, None, found.append):
            eventually(lambda: len(found) >= 8)
    last = found[2:]  # what they did before they were pinned is past
    assert all(sample["processes"]["one"]["affinity"] == [core] for sample in last)

    def total(name, what):
        # Linux counts a wait when it ends: a sample in which a process never ran has none.
        return sum(sample["processes"][name].get(what, 0.0) for sample in last)

    assert total("one", "cpu") + total("one", "wait") > 0.7 * len(last)  # always ready to run
    waited = {name: total(name, "wait") for name in ("one", "both")}
    assert waited["one"] > 0.25 * len(last)
    # Of several, the one that waited most; the same process is looked at twice, not at one moment.
    assert waited["both"] > waited["one"] - 0.2
    assert sum(sample["worked"][core] for sample in last) > 0.8 * len(last)


def test_samples_split_core_time_by_user():
    found: list[dict[str, Any]] = []
    with Sampler(dict, None, found.append):
        eventually(lambda: len(found) >= 3)
    for sample in found:
        for busy, worked, stolen in zip(
            sample["cores"], sample["worked"], sample["stolen"], strict=True
        ):
            assert 0 <= worked + stolen <= busy + 0.002
        assert sample["harness"]["cpu"] < os.cpu_count() + 1
        assert sample["harness"]["rss"] > 1e6
        if sys.platform == "linux":
            assert sample["ports"]["time_wait"] >= 0
            assert sample["ports"]["of"] > 1000
