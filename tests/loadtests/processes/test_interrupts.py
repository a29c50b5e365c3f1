"""Signals that end commands: the first one ends a run, and no other costs its report.

Ctrl-C ends commands that a script started in its background, where SIGINT is ignored from birth.

`started` has every command begin so; here are those that no other test interrupts.
"""

import errno
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from loadtests import results
from loadtests.analysis import runs
from loadtests.analysis.inputs import records
from loadtests.outcomes import Outcome
from loadtests.plans import Plan
from loadtests.processes import interrupts
from loadtests.processes.affinity import Cores
from loadtests.processes.interrupts import held, interruptible
from loadtests.recording.messages import Hello, Stage, Started
from loadtests.report.charts import pictures
from loadtests.run.deployments import Fleet
from loadtests.run.engine_process import EngineFailed
from loadtests.run.starter import RunningMock
from loadtests.run_recorder import RunRecorder
from loadtests.samples import sampler
from loadtests.storage import run_folder
from tests.support.brownout_runs import COMMAND, LOCUST, PLAN, started
from tests.support.servers import eventually
from tests.support.simulated_engine import SimulatedEngine, constant, threads

SLOS = '[slos]\nsure = "errors < 50% at 4"\n'
CASES = {
    "capacity": ([*COMMAND, "capacity", "plan.toml"], "app_under_test"),
    "verify": (
        [sys.executable, "-m", "mock_upstream", "verify", "--latency", "5ms"],
        "mock_upstream.child",
    ),
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
        if command == "capacity":
            assert invocation.insist() == 130, invocation.output
        else:
            invocation.interrupt()
            assert invocation.end() == 130, invocation.output
    assert "Traceback" not in invocation.output


@pytest.mark.usefixtures("no_collections")
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


@pytest.mark.usefixtures("no_collections")
def test_a_session_ends_at_ctrl_c_in_a_program_that_ignores_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


class Engine:
    """Begins a test, plays its first stage, and is silent in the second one."""

    def __init__(self) -> None:
        self.silent = threading.Event()
        self._said: list[Any] = [Started()]
        self._engine = SimulatedEngine({"there": threads(4, constant(0.05))}, clock=monotonic())

    def send(self, message: Any) -> None:
        if isinstance(message, Stage) and message.number == 0:
            self._said += self._engine.play(message)

    def receive(self, timeout: float | None) -> Any:
        if self._said:
            return self._said.pop(0)
        self.silent.set()
        time.sleep(60)
        raise AssertionError("nobody interrupted it")


def recorded(folder: Path, observer: Any, engine: Engine) -> RunRecorder:
    plan = Plan.model_validate(
        {
            "name": "short",
            "deployments": {"there": {"url": "http://127.0.0.1:1"}},
            "requests": [{"path": "/"}],
            "load": {"levels": [1, 2], "settle": "0s", "measure": "1s"},
        }
    )
    mock = RunningMock("http://127.0.0.1:1", "http://127.0.0.1:1", os.getpid())
    cores = Cores.among([0], pinned=False)
    fleet = Fleet(mock, {}, cores, None, {}, dict)
    hello = Hello(token="", pid=os.getpid())
    made = run_folder.make(folder, plan.name)
    return RunRecorder(plan, folder, made, fleet, engine, observer, hello)


class Silent:
    def begins(self, *_: Any) -> None: ...

    def measured(self, _: Any) -> None: ...

    def problem(self, _: str) -> None: ...


class Undrawn:
    """Pictures take a second of a core each time, and are not what is tested."""

    def ask(self, request: dict[str, Any]) -> dict[str, str]:
        return {"svg": "<svg/>", "png": ""}

    def close(self) -> None: ...


def interrupted_twice(folder: Path, distance: float) -> tuple[Outcome, float]:
    """The outcome of a run with two signals at this distance, and how long its ending took."""
    engine = Engine()
    pair = random.Random(distance).choices((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), k=2)

    def send() -> None:
        engine.silent.wait(20)
        for number, pause in zip(pair, (distance, 0.0), strict=True):
            os.kill(os.getpid(), number)
            time.sleep(pause)

    sender = threading.Thread(target=send)
    sender.start()
    with interruptible():
        outcome = recorded(folder, Silent(), engine).next()
        ended = monotonic()
        sender.join()
    assert outcome is not None
    return outcome, ended


@pytest.mark.usefixtures("no_collections")
@pytest.mark.processes
def test_two_signals_lose_no_measurement(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sampler, "INTERVAL", 0.1)
    monkeypatch.setattr(pictures, "_drawer", Undrawn())
    before = monotonic()
    interrupted_twice(tmp_path, 0.0)
    took = monotonic() - before
    for distance in random.Random(14).choices([one / 100 for one in range(2, 120)], k=20):
        outcome, _ = interrupted_twice(tmp_path, distance * took)
        assert outcome.interrupted
        assert outcome.run.status == "interrupted"
        assert next((p.request, p.level) for p in outcome.run.points) == ("all", 1)
        assert results.read(outcome.folder) == outcome.run
        assert records.read(outcome.folder).problems == []
        assert (outcome.folder / "report.html").exists()
        last = (outcome.folder / "slices.jsonl").read_text(encoding="utf-8").splitlines()[-1]
        assert json.loads(last) == {"type": "end", "status": "interrupted"}


@pytest.mark.processes
def test_a_run_whose_files_cannot_be_opened_again_is_reported(tmp_path, monkeypatch) -> None:
    class Lost(Engine):
        def receive(self, timeout: float | None) -> Any:
            if not self._said:
                raise EngineFailed("it is gone")
            return super().receive(timeout)

    def exhausted(_: Path) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(pictures, "_drawer", Undrawn())
    monkeypatch.setattr(runs, "analyse", exhausted)
    outcome = recorded(tmp_path, Silent(), Lost()).next()
    assert outcome is not None
    assert [p.level for p in results.read(outcome.folder).points if p.request == "all"] == [1]
    assert (outcome.folder / "report.html").exists()


def test_a_protected_block_ends_and_reports_the_signal() -> None:
    reached = []
    with held() as block:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        reached.append("the end")
    assert (reached, block.came) == (["the end"], True)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_first_signal_raises_where_it_is_released_and_no_other_does() -> None:
    caught = 0
    with held() as block:
        for _ in range(2):
            try:
                with block.released():
                    signal.raise_signal(signal.SIGTERM)
            except KeyboardInterrupt:
                caught += 1
                signal.raise_signal(signal.SIGTERM)
    assert (caught, block.came) == (2, True)  # the second block does not begin


def test_a_signal_that_came_while_held_ends_what_would_be_released() -> None:
    with held() as block:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), block.released():
            raise AssertionError("it must not begin")


def test_an_error_that_an_interrupt_made_is_the_interrupt() -> None:
    def serialize() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ValueError("cannot be serialized") from error

    with held() as block, pytest.raises(KeyboardInterrupt), block.released():
        serialize()


def test_a_signal_raises_again_when_the_first_was_lost(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(interrupts, "monotonic", lambda: now[0])
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        now[0] += interrupts.LOST
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_signals_after_the_last_block_do_not_change_the_exit_code() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(KeyboardInterrupt), interruptible(until_exit=True):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_signal_at_the_edge_of_a_block_raises_and_the_handlers_are_restored(monkeypatch) -> None:
    before = signal.getsignal(signal.SIGHUP)
    install = signal.signal

    def interrupted(number: int, handler: Any) -> Any:
        if number == signal.SIGTERM and (handler is at_the_end) is ending:
            signal.raise_signal(signal.SIGINT)
        return install(number, handler)

    at_the_end = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signal, "signal", interrupted)
    for ending in (False, True):
        with pytest.raises(KeyboardInterrupt), interruptible():
            assert ending, "the block began"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is at_the_end
        assert signal.getsignal(signal.SIGHUP) is before
