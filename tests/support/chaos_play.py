"""Play a trial of the chaos campaign: start the command, disturb one process, wait for the end."""

import resource
import signal
import socket
import subprocess
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from loadtests.analysis.inputs import records
from loadtests.analysis.inputs.records import Record
from loadtests.results import UnreadableRun
from tests.support.brownout_runs import Invocation, marked, started
from tests.support.chaos_surroundings import Listeners, clock, disk, fill, step, temporary
from tests.support.chaos_trials import FOLDER, Trial, words, write_plan

ENDING = 120.0  # seconds that a command may take longer than it usually does
LEAVING = 25.0  # seconds in which supervisors end what a killed controller leaves
STARTED_UP = 1.0  # seconds in which an interpreter has read its modules
LOSING = 0.3  # seconds of a window in which a worker is lost; others take its users then


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What was done: to which process, and from when to when, in monotonic seconds."""

    target: str
    begin: float
    end: float
    saved: tuple[int, ...] = ()  # numbers of the stages that were complete and on disk before it


@dataclass(frozen=True, slots=True)
class Played:
    """
    What came of a trial; `left`, `listening` and `files` are what it left behind.

    `code` is negative for a signal, None if it did not end. `disturbance` is None if the command
    ended before the moment had come.
    """

    trial: Trial
    folder: Path
    code: int | None
    output: str
    took: float
    disturbance: Disturbance | None
    left: list[str]
    listening: list[int]
    files: list[str]

    @property
    def runs(self) -> list[Path]:
        """The folders of its runs, the oldest first."""
        return sorted(path for path in (self.folder / "runs").glob("*/") if path.is_dir())


def play(trial: Trial, folder: Path, life: float) -> Played:
    """
    Play a trial in an empty folder.

    Args:
        life: seconds that the command takes when nothing is done to it.
    """
    for name in ("runs", "tmp"):
        (folder / name).mkdir()
    write_plan(folder)
    env = {"TMPDIR": str(folder / "tmp")}
    if trial.act == "clock":
        env |= clock(folder)
    port = _free_port()
    with (
        disk(folder / "runs", trial.act == "disk"),
        started(words(trial.command, port), folder, **env) as invocation,
    ):
        began = time.monotonic()
        stopped = trial.seconds if trial.act == "stop" else 0.0
        user = threading.Thread(target=_use, args=(invocation, port, folder, life + stopped))
        if trial.command == "ui":
            user.start()
        listeners = Listeners(invocation)
        disturbance = None
        if trial.act != "none" and _lives_until(invocation, began + trial.when * life):
            listeners.look()
            disturbance = _disturb(trial, invocation, folder)
        code = _ended(invocation, began + life + stopped + ENDING)
        took = time.monotonic() - began
        left = _left(invocation)
        listening = listeners.left()
        if trial.command == "ui":
            user.join()
        files = [str(path.relative_to(folder)) for path in temporary(folder)]
        output = invocation.output
    return Played(trial, folder, code, output, took, disturbance, left, listening, files)


def _left(invocation: Invocation) -> list[str]:
    """What is left of the command after some time, in words; it is ended here."""
    _patiently(lambda: not invocation.left_behind(), LEAVING)
    found = invocation.left_behind()
    described = [_described(process) for process in found]
    for process in found:
        with suppress(psutil.Error):
            process.kill()
    invocation.close()
    return described


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _lives_until(invocation: Invocation, moment: float) -> bool:
    while invocation.process.poll() is None:
        if time.monotonic() >= moment:
            return True
        time.sleep(min(0.02, max(moment - time.monotonic(), 0.0)))
    return False


def _ended(invocation: Invocation, deadline: float) -> int | None:
    """The exit code; None if it does not end in time, and is killed."""
    try:
        return invocation.process.wait(max(deadline - time.monotonic(), 1.0))
    except subprocess.TimeoutExpired:
        invocation.process.kill()
        return None


def _patiently(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return held


# Who is who.


def processes_of(invocation: Invocation) -> dict[str, list[psutil.Process]]:
    """Return the running processes of a command by the names of chaos_trials.PROCESSES."""
    found = defaultdict(list)
    for process in marked(invocation.mark):
        with suppress(psutil.Error):
            if name := _name(process, invocation.process.pid):
                found[name].append(process)
    return found


def _name(process: psutil.Process, first: int) -> str | None:
    line, parent = process.cmdline(), process.parent()
    above = parent.cmdline() if parent else []

    def has(*ends: str) -> bool:
        return any(word.endswith(ends) for word in line)

    if has("/supervisor.py"):
        return "supervisor"
    if "control" in line:  # of plain Locust
        return "controller"
    if has("/locustfile.py"):
        # A process that was forked and has not become another program yet looks like its parent.
        worker = "--processes" in line and line == above
        return "worker" if worker else "engine" if line != above else None
    if process.pid == first:
        return "controller"
    if "mock_upstream" in line:
        return "mock"
    if "app_under_test" in line:
        return "child" if above and above[0].endswith("sh") else "deployment"
    if line and line[0].endswith("sh") and any("app_under_test" in word for word in line):
        return "shell"
    return None


# What is done.


def _disturb(trial: Trial, invocation: Invocation, folder: Path) -> Disturbance | None:
    if trial.target == FOLDER:
        saved = _saved(folder)
        begin = time.monotonic()
        fill(folder / "runs", processes_of(invocation)["controller"])
        return Disturbance(FOLDER, begin, float("inf"), saved)
    chosen = _chosen(trial, invocation)
    if chosen is None:
        return None
    target, process = chosen
    saved = _saved(folder)
    begin = time.monotonic()
    try:
        end = _done(trial, process, folder)
    except psutil.NoSuchProcess:
        return None
    return Disturbance(target, begin, end, saved)


def _chosen(trial: Trial, invocation: Invocation) -> tuple[str, psutil.Process] | None:
    """
    The process that the trial names, as soon as there is one.

    The others end before the controller: in the second half, where they are gone, it is taken.
    """
    while invocation.process.poll() is None:
        there = processes_of(invocation)
        ending = trial.when > 0.5 and not there["engine"]
        for name in (trial.target, *(["controller"] if ending else [])):
            found = [process for process in there[name] if _is_up(trial, process)]
            if found:
                return name, found[trial.number % len(found)]
        time.sleep(0.005)
    return None


def _is_up(trial: Trial, process: psutil.Process) -> bool:
    """A Python that has no descriptors for its own modules ends as it likes: not our matter."""
    return trial.act != "descriptors" or time.time() - process.create_time() > STARTED_UP


def _done(trial: Trial, process: psutil.Process, folder: Path) -> float:
    """Do it, and undo it after its time; returns when it was over."""
    match trial.act:
        case "kill" | "term":
            process.send_signal(signal.SIGKILL if trial.act == "kill" else signal.SIGTERM)
            if trial.target == "worker":
                return time.monotonic() + LOSING
        case "stop":
            process.send_signal(signal.SIGSTOP)
            _while_it_runs(process, trial.seconds)
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
            return time.monotonic()
        case "descriptors":
            before = process.rlimit(resource.RLIMIT_NOFILE)
            used = process.num_fds()
            # A hard limit may be raised again by privileged processes alone.
            hard = used if trial.seconds == float("inf") else before[1]
            process.rlimit(resource.RLIMIT_NOFILE, (used, hard))
            if trial.seconds < float("inf"):
                _while_it_runs(process, trial.seconds)
                with suppress(psutil.Error):
                    process.rlimit(resource.RLIMIT_NOFILE, before)
                return time.monotonic()
        case "clock":
            step(folder, process.pid, int(trial.seconds))
    return float("inf")


def _while_it_runs(process: psutil.Process, seconds: float) -> None:
    # Not `process.wait`: it would take the exit code from who started the process.
    deadline = time.monotonic() + seconds
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.02)


def _saved(folder: Path) -> tuple[int, ...]:
    """The numbers of the stages that are complete on disk, of the run that is being written."""
    record = latest(folder)
    return tuple(one.stage.number for one in record.stages if one.complete) if record else ()


def latest(folder: Path) -> Record | None:
    """The record of the latest run in `runs`; None if nothing was written."""
    for path in sorted((folder / "runs").glob("*/slices.jsonl"), reverse=True):
        with suppress(UnreadableRun):
            return records.read(path.parent)
    return None


def _described(process: psutil.Process) -> str:
    try:
        return f"{process.pid} ({process.status()}): {' '.join(process.cmdline())[:160]}"
    except psutil.Error:
        return str(process.pid)


# The one who sits before the web UI.

FORM = {"levels": "1, 4", "settle": "0s", "measure": "1s", "deployments": "direct,shell"}


def _use(invocation: Invocation, port: int, folder: Path, seconds: float) -> None:
    """Start a test as soon as the web UI is there, wait for its end, and press Ctrl-C."""
    alive = lambda: invocation.process.poll() is None  # noqa: E731
    _patiently(lambda: "Locust's web UI" in invocation.output or not alive(), 60)
    if not alive():
        return
    with suppress(httpx.HTTPError):
        httpx.post(f"http://127.0.0.1:{port}/swarm", data=FORM, timeout=30, trust_env=False)
    reports = lambda: list((folder / "runs").glob("*/report.html"))  # noqa: E731
    full = lambda: "cannot be written" in invocation.output  # noqa: E731
    _patiently(lambda: reports() or full() or not alive(), seconds + ENDING / 2)
    if alive():
        time.sleep(0.5)
        invocation.interrupt()
