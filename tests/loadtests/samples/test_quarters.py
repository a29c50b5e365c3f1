"""What cores and processes do is looked at each quarter second, threads included."""

import os
import sys
import time

import pytest

from loadtests.samples.quarters import Quarters

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="of /proc and its clocks")


def test_the_use_of_a_process_between_two_readings_has_its_name():
    quarters = Quarters()
    quarters.watch({"me": [os.getpid()], "nobody": []})
    quarters.look()
    assert quarters.take() == []
    begin, used = time.monotonic(), time.process_time()
    while time.process_time() < used + 0.03:
        pass
    quarters.look()
    elapsed = time.monotonic() - begin
    (seen,) = quarters.take()
    assert seen["used"]["me"] * elapsed >= 0.02
    assert seen["used"]["nobody"] == seen["waited"]["nobody"] == 0
    assert seen["waited"]["me"] >= 0
    assert len(seen["worked"]) == len(seen["stolen"]) == os.cpu_count()
    assert all(n <= w for n, w in zip(seen.get("niced", ()), seen["worked"], strict=False))
    assert quarters.take() == []


def test_a_process_that_is_gone_is_left_out():
    quarters = Quarters()
    quarters.watch({"gone": [2**22 - 1]})
    quarters.look()
    quarters.look()
    assert quarters.take() == []
