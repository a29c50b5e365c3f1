"""Ctrl-C ends commands that a script started in its background, where SIGINT is ignored from birth.

`started` has every command begin so; here are those that no other test interrupts.
"""

import os
import signal
import sys
from pathlib import Path

import pytest

from loadtests.interrupts import interruptible
from tests.brownout_runs import COMMAND, LOCUST, PLAN, started
from tests.servers import eventually

SLOS = '[slos]\nsure = "errors < 50% at 4"\n'
CASES = {
    "capacity": ([*COMMAND, "capacity", "plan.toml"], "app_under_test"),
    "verify": ([sys.executable, "-m", "mock_upstream", "verify", "--latency", "5ms"], "tethered"),
    "locust": ([*LOCUST, "--headless", "--plan", "plan.toml"], "app_under_test"),
}


@pytest.mark.processes
@pytest.mark.parametrize("command", CASES)
def test_ctrl_c_ends_a_command_that_was_started_with_it_ignored(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "plan.toml").write_text(PLAN + SLOS, encoding="utf-8")
    words, child = CASES[command]
    with started(words, tmp_path) as invocation:
        eventually(
            lambda: any(child in " ".join(one.cmdline()) for one in invocation.left_behind()), 60
        )
        invocation.interrupt()
        assert invocation.end() == 130, invocation.output
    assert "Traceback" not in invocation.output


def test_a_session_goes_on_after_a_hangup_under_nohup_and_ends_at_one_elsewhere() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with pytest.raises(KeyboardInterrupt), interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_session_ends_at_ctrl_c_in_a_program_that_ignores_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
