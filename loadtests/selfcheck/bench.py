"""Plays checks as `brownout run` plays a plan; the mock takes the place of a service."""

import json
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from loadtests import session
from loadtests.analysis.inputs import records
from loadtests.analysis.inputs.records import Record
from loadtests.plans import Plan
from loadtests.processes.listeners import stranger
from loadtests.processes.pids import descendants
from loadtests.results import Point, Run
from loadtests.run.controller import Observer
from loadtests.schedules import Step
from mock_upstream.client import Control, ControlError, serving


class RunFailed(Exception):
    """A run came to nothing; the message says why."""


class PlayedRun:
    """A run that is over."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder, self.run = folder, run

    def point(self, deployment: str, level: int | None = None) -> Point:
        """
        All requests of a deployment together, at a level or at the only one.

        Raises:
            NotMeasured: there is no such point.
        """
        for point in self.run.of(deployment):
            if level in (None, point.level):
                return point
        reasons = "; ".join(self.run.problems) or "no stage of it came to an end"
        raise RunFailed(f"{deployment}: {reasons}; see {self.folder}")

    def record(self) -> Record:
        return records.read(self.folder)


class Bench:
    """Plays plans; their runs are put into `out` and stay."""

    def __init__(self, out: Path, observer: Observer) -> None:
        self._out, self._observer = out, observer

    def play(
        self,
        plan: Plan,
        begins: Callable[[Step], None] = lambda _: None,
        measured: Callable[[Point], None] = lambda _: None,
    ) -> PlayedRun:
        """
        Args:
            begins: called right before each stage, when everything is up.
            measured: called right after it.

        Raises:
            KeyboardInterrupt: Ctrl-C ended the run.
            DeploymentFailed, EngineFailed: nothing was measured.
        """
        outcome = session.run(plan, self._out, _Watching(self._observer, begins, measured), [])
        if outcome.interrupted:
            raise KeyboardInterrupt
        return PlayedRun(outcome.folder, outcome.run)


class _Watching:
    """An observer that calls two functions, too."""

    def __init__(
        self,
        observer: Observer,
        begins: Callable[[Step], None],
        measured: Callable[[Point], None],
    ) -> None:
        self._observer, self._begins, self._measured = observer, begins, measured

    def begins(self, step: Step, number: int, of: int, seconds_left: float) -> None:
        self._observer.begins(step, number, of, seconds_left)
        self._begins(step)

    def measured(self, point: Point) -> None:
        self._observer.measured(point)
        self._measured(point)

    def problem(self, text: str) -> None:
        self._observer.problem(text)


class Target:
    """
    The mock as the service under test: what it does is known from its own ledger.

    Args:
        flags: for `python -m mock_upstream serve`.
    """

    def __init__(self, *flags: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port: int = listener.getsockname()[1]
        self._token = secrets.token_hex(8)
        self._flags = flags

    @property
    def deployment(self) -> dict[str, Any]:
        """The deployment as a plan has it."""
        ports = "--port", "{port}", "--control-port", str(self._port)
        return {
            "command": ["python", *serving(*self._flags, *ports)[1:]],
            "env": {"MOCK_UPSTREAM_CONTROL_TOKEN": self._token},
        }

    def reset(self) -> None:
        """Let its ledger begin again."""
        self._ask("POST", "/reset")

    def ledger(self) -> dict[str, Any]:
        """What it did since."""
        return self._ask("GET", "/ledger")

    def process(self) -> psutil.Process:
        """Its process, while it runs."""
        for pid in descendants(os.getpid()):
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                if str(self._port) in process.cmdline():
                    return process
        raise RunFailed("the mock upstream is gone")

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        """Raises NotMeasured: it does not answer, or another process, without the token, does."""
        if other := stranger("127.0.0.1", self._port, [self.process().pid]):
            raise RunFailed(f"{other} listens on the mock upstream's control port; start again")
        control = Control(f"http://127.0.0.1:{self._port}", token=self._token)
        try:
            found: dict[str, Any] = json.loads(control.ask(method, path))
        except ControlError as error:
            raise RunFailed(f"the mock upstream answers no {method} {path}: {error}") from None
        return found


def plan(name: str, deployments: dict[str, Any], load: dict[str, Any], latency: str = "") -> Plan:
    """A plan of GETs; `latency` is that of the upstream behind the deployments."""
    tables = {
        "name": f"selfcheck-{name}",
        "seed": 1,
        "deployments": deployments,
        "requests": [{"path": "/external-data"}],
        "load": load,
    }
    if latency:
        tables["upstream"] = {"latency": latency}
    return Plan.model_validate(tables)


def invalid(points: Sequence[Point]) -> str | None:
    """What, above all, makes one of the points worthless, if anything."""
    for point in points:
        if not point.valid:
            return f"{point.deployment} is not valid: {next(iter(point.problems), '')}"
    return None
