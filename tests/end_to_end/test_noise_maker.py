"""Noise has the share that was asked for, stops no stranger, and ends with its starter."""

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from tests.support import noise_maker
from tests.support.noise_maker import noise, planned
from tests.support.recorded_noise import QUARTER, recordings
from tests.support.servers import eventually

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="it pins its processes"),
]
ROOT = Path(noise_maker.__file__).parents[2]


def makers(parent):
    """The processes that make noise for a process."""
    return [
        child
        for child in psutil.Process(parent).children()
        if noise_maker.__file__ in child.cmdline()
    ]


def test_bursts_are_on_their_core_and_are_listed_afterwards():
    core = min(os.sched_getaffinity(0))
    with noise(0.9, 3, cores={core}) as made:
        eventually(lambda: makers(os.getpid()))
        [maker] = makers(os.getpid())
        eventually(lambda: maker.cpu_affinity() == [core])
        eventually(lambda: maker.cpu_times().user > 0.3)
    assert not maker.is_running()
    assert {one[0] for one in made.bursts} == {core}
    assert all(begin < end and 0 <= cpu <= end - begin + 0.01 for _, begin, end, cpu in made.bursts)
    assert all(one[2] <= other[1] for one, other in pairwise(made.bursts))


def test_the_processes_below_one_are_stopped_and_continued():
    line = (
        "import sys, subprocess; subprocess.run([sys.executable, '-c', 'input()', 'mock_upstream'])"
    )
    with subprocess.Popen([sys.executable, "-c", line], stdin=subprocess.PIPE) as parent:
        eventually(lambda: psutil.Process(parent.pid).children())
        [child] = psutil.Process(parent.pid).children()
        with noise(0.99, 1, below=parent.pid) as made:
            eventually(lambda: child.status() == psutil.STATUS_STOPPED)
        assert child.status() != psutil.STATUS_STOPPED
        parent.stdin.close()
        parent.wait(10)
    assert {name for name, *_ in made.stops} == {"mock"}


def test_nothing_is_left_of_a_starter_that_is_killed():
    code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n"
    code += "from tests.support import noise_maker\n"
    code += "with noise_maker.noise(0.5, 1, below=os.getpid()): print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        starter.stdout.readline()
        eventually(lambda: len(makers(starter.pid)) > 1)
        children = makers(starter.pid)
        starter.send_signal(signal.SIGKILL)
    eventually(lambda: not any(child.is_running() for child in children))


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_planned_bursts_have_their_share_of_the_time(share):
    bursts = planned(share, 5, 0, 1000.0)
    assert bursts == planned(share, 5, 0, 1000.0) != planned(share, 6, 0, 1000.0)
    assert sum(end - begin for begin, end in bursts) == pytest.approx(1000 * share, rel=0.1)
    assert {0.02 <= end - begin <= 0.5 for begin, end in bursts[:-1]} == {True}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.3])
def test_recorded_noise_is_kept_for_each_share(share):
    kept = recordings(share)
    assert kept
    for one in kept:
        for core in set(one.roles.values()):
            present, taken = one.present(core), one.taken(core)
            assert len(present) == len(taken) == int(one.seconds / QUARTER)
            assert all(0 <= quarter <= 1 for quarter in present + taken)
            assert (max(present) > 0) == (share > 0)


def test_without_noise_nothing_is_started():
    with noise(0.0, 1, below=os.getpid()) as made:
        assert makers(os.getpid()) == []
    assert (made.bursts, made.stops) == ([], [])
