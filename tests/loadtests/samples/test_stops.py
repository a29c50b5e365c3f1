"""A stopped process is seen while it is stopped, and no longer."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from loadtests.samples.stops import LOOK, Stops
from tests.support.servers import eventually

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.platform != "linux", reason="the states of processes are in /proc"),
]


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def test_the_time_of_a_stop_is_known(sleeper):
    stops, never = Stops(), threading.Event()
    stops.watch({"service": [os.getpid(), sleeper], "other": [os.getpid()]})
    stops.wait(never, 3 * LOOK)
    assert stops.take() == {}
    before = time.monotonic()
    os.kill(sleeper, signal.SIGSTOP)
    stops.wait(never, 5 * LOOK)
    os.kill(sleeper, signal.SIGCONT)
    after = time.monotonic()
    stops.wait(never, 3 * LOOK)
    [(name, [(begin, end)])] = stops.take().items()
    assert name == "service"
    assert before - LOOK <= begin < end <= after
    assert stops.take() == {}


def test_a_wait_ends_with_its_event_and_survives_a_process_that_ended(sleeper):
    stops, event = Stops(), threading.Event()
    os.kill(sleeper, signal.SIGKILL)
    os.waitpid(sleeper, 0)
    stops.watch({"service": [sleeper]})
    assert not stops.wait(event, 2 * LOOK)
    threading.Timer(LOOK, event.set).start()
    assert stops.wait(event, 60)
    eventually(event.is_set)
    assert stops.take() == {}
