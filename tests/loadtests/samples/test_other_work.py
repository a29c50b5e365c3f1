"""Processes that are not ours are named with what they used, and with nothing that is secret."""

import os
import subprocess
import sys
import time
from typing import Any

import pytest

from loadtests.analysis.checks.other_work import OtherProcess, named
from loadtests.samples import Sampler, other_work, sampler
from loadtests.samples.other_work import OtherWork
from tests.support.servers import eventually

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
HARNESS = 50


class Machine:
    """A folder like /proc, and what `OtherWork` makes of it."""

    def __init__(self, folder):
        self.folder, self.work, self.now = folder, OtherWork(folder), 100.0
        (folder / "cpuinfo").write_text("none of them\n", encoding="utf-8")

    def runs(self, pid, name, cpu, *, children=0.0, parent=1, started=7, core=1, nice=0, policy=0):
        file = self.folder / str(pid) / "stat"
        file.parent.mkdir(exist_ok=True)
        times = [round(cpu * TICKS), 0, round(children * TICKS), 0]
        words = ["R", parent, *[0] * 9, *times, 20, nice, 1, 0, started, *[0] * 16, core, 0, policy]
        file.write_text(f"{pid} ({name}) {' '.join(map(str, words))}\n", encoding="utf-8")
        (file.parent / "cmdline").write_text("python\0--password=hunter2\0", encoding="utf-8")

    def ends(self, pid):
        (self.folder / str(pid) / "stat").unlink()

    def look(self, taken=0.9, seconds=1.0, cores=(1,)):
        return [*self.sees(taken, seconds, cores).named]

    def sees(self, taken=0.9, seconds=1.0, cores=(1,)):
        self.now += seconds
        return self.work.look(taken, {HARNESS}, set(cores), self.now, 1.0)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_the_largest_process_is_named_without_its_arguments(machine):
    machine.runs(7, "make", 3.0)
    machine.runs(8, "python3", 40.0)
    machine.runs(9, "idle", 70.0)
    assert machine.look() == []  # the first look has nothing to compare with
    machine.runs(7, "make", 3.12)
    machine.runs(8, "python3", 40.45)
    found = machine.look()
    assert found == [
        {"name": "python3", "pid": 8, "cpu": 0.45, "core": 1},
        {"name": "make", "pid": 7, "cpu": 0.12, "core": 1},
    ]
    assert "hunter2" not in str(found)


def test_the_part_of_processes_of_a_lower_priority_is_counted_by_core(machine, monkeypatch):
    monkeypatch.setattr(other_work, "_LOWER", False)  # whatever this test's own is

    def all_run(seconds):
        machine.runs(7, "make", seconds, nice=10)
        machine.runs(8, "backup", seconds, policy=other_work.SCHED_IDLE)
        machine.runs(9, "python3", seconds)
        machine.runs(10, "other core", seconds, core=0)
        return machine.sees(cores=(0, 1)).gave_way

    assert all_run(1.0) == {}
    assert all_run(1.3) == {1: pytest.approx(2 / 3, abs=0.001), 0: 0.0}


def test_a_name_that_a_process_chose_cannot_hold_markup(machine):
    machine.runs(8, "a) (<b>`\x1b[1m|", 1.0)
    machine.look()
    machine.runs(8, "a) (<b>`\x1b[1m|", 1.5)
    assert [one["name"] for one in machine.look()] == ["a) (?b????1m?"]


def test_own_processes_and_those_on_other_cores_are_not_named(machine):
    def all_run(cpu):
        machine.runs(HARNESS, "brownout", cpu)
        machine.runs(51, "supervisor", cpu, parent=HARNESS)
        machine.runs(52, "service", cpu, parent=51)
        machine.runs(60, "elsewhere", cpu, core=3)
        machine.runs(61, "other", cpu)

    all_run(1.0)
    machine.look()
    all_run(1.3)
    assert [one["name"] for one in machine.look()] == ["other"]


def test_children_that_ended_count_for_their_parent_once(machine):
    machine.runs(7, "make", 1.0)
    machine.runs(70, "cc1", 5.0, parent=7)
    machine.look()
    machine.ends(70)
    machine.runs(7, "make", 1.0, children=5.0 + 0.3 + 0.2)  # and one that came and went
    assert machine.look() == [{"name": "make", "pid": 7, "cpu": 0.5, "core": 1}]


def test_a_process_id_that_is_used_again_is_another_process(machine):
    machine.runs(7, "first", 100.0)
    machine.look()
    machine.runs(7, "second", 0.4, started=9999)
    assert machine.look() == [{"name": "second", "pid": 7, "cpu": 0.4, "core": 1}]


def test_on_a_quiet_machine_processes_are_read_rarely_and_their_use_is_spread(machine):
    machine.runs(7, "steady", 1.0)
    machine.runs(8, "burst", 1.0)
    machine.look(taken=0.01)
    for second in range(5):
        machine.runs(7, "steady", 1.0 + 0.03 * second)
        assert machine.look(taken=0.03) == []
    machine.runs(7, "steady", 1.2)
    machine.runs(8, "burst", 1.6)
    found = machine.look(taken=0.4)
    assert [one["name"] for one in found] == ["burst", "steady"]
    assert sum(one["cpu"] for one in found) == pytest.approx(0.4, abs=0.01)


def test_expensive_readings_are_made_less_often(machine, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(time, "thread_time", lambda: 0.03 * next(clock))
    machine.runs(7, "busy", 1.0)
    machine.look()
    machine.runs(7, "busy", 4.0)
    assert [machine.look(), machine.look()] == [[], []]
    assert [one["name"] for one in machine.look()] == ["busy"]


def test_a_sentence_names_the_mean_of_the_windows():
    python = OtherProcess(name="python3", pid=123, cpu=0.9, core=1)
    make = OtherProcess(name="make", pid=9, cpu=0.24, core=1)
    elsewhere = OtherProcess(name="x", pid=1, cpu=0.9, core=0)
    seen = [(python, make), (elsewhere,)]
    assert named(seen, {1}) == "python3 (pid 123) used 45 % of core 1, make (pid 9) 12 %"
    assert named(seen[:1], {1, 2}).startswith("python3 (pid 123) used 90 % of a core, make")
    assert named([(), ()], {1}) == ""


# A grandchild whose parent has ended is not a descendant of this process.
ORPHAN = """
import subprocess, sys
busy = [sys.executable, "-c", "while True: pass"]
print(subprocess.Popen(busy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)
"""


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_a_busy_process_that_is_not_ours_is_in_the_samples(monkeypatch):
    monkeypatch.setattr(sampler, "INTERVAL", 0.1)
    monkeypatch.setattr(other_work, "MOST", 1000)  # whatever else this machine does
    found: list[dict[str, Any]] = []
    started = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, check=True)
    pid = int(started.stdout)
    try:
        with Sampler(lambda: {"myself": [os.getpid()]}, None, found.append):
            eventually(
                lambda: [one for s in found for one in s.get("others", ()) if one["pid"] == pid]
            )
    finally:
        os.kill(pid, 9)
    [one, *_] = [one for s in found for one in s.get("others", ()) if one["pid"] == pid]
    assert one["name"].startswith("python")
    assert 0 < one["cpu"] <= 1.5
    assert set(one) == {"name", "pid", "cpu", "core"}
