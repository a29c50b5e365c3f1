"""The command as a user starts it: a process, its output, its run folder, what it leaves behind."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from loadtests import results
from loadtests.analysis import points
from loadtests.analysis.checks import disturbances, generator, host
from loadtests.analysis.checks.disturbances import TakenTime
from loadtests.analysis.checks.noise import Noise
from loadtests.analysis.steady import Steadiness
from loadtests.analysis.verdicts import blocks
from loadtests.cli import commands
from loadtests.report.charts import pictures
from tests.support.servers import LONGEST_WAIT, eventually, ignore_interrupts

COMMAND = [sys.executable, "-m", "loadtests"]
LOCUST = [sys.executable, "-m", "locust", "-f", str(Path("loadtests/locustfile.py").absolute())]

# A window of a second is all of it slow if the machine was for a moment: that is for other tests.
BUDGET = 'budget = { late = "1m", lag = "1m", cpu = 1.0 }'
PAIR = """
[deployments.threads]
variant = "blocking-requests"
[deployments.async]
variant = "async-aiohttp"
[[requests]]
path = "/external-data"
"""
LOAD = """
[load]
levels = [1, 4]
settle = "0s"
measure = "1s"
"""
PLAN = f"""
name = "tiny"
[upstream]
latency = "20ms"
{BUDGET}
{PAIR}{LOAD}"""


# Of what is started here; the summary is that of the job that runs these tests.
NO_PICTURES = str(Path(__file__).with_name("no_pictures"))
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "GITHUB_STEP_SUMMARY": "", "PYTHONPATH": NO_PICTURES}
PICTURES = {"PYTHONPATH": ""}  # over it: charts are drawn
MARK = "BROWNOUT_TEST"  # a variable that all inherit which a command starts


def marked(mark: str) -> list[psutil.Process]:
    """The processes that have inherited the mark and still run."""

    def is_ours(process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == mark
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if is_ours(process)]


class Invocation:
    """A running command. `lines` grows as it prints (standard output and error together)."""

    def __init__(self, words: list[str], cwd: Path, env: dict[str, str]) -> None:
        self.cwd = cwd
        self.mark = f"{id(self)}-{os.getpid()}"
        self.process = subprocess.Popen(
            words,
            cwd=cwd,
            env={**os.environ, **ENVIRONMENT, **env, MARK: self.mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            preexec_fn=ignore_interrupts,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with self.process.stdout as printed:
            self.lines.extend(iter(printed.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def until(self, text: str, seconds: float = LONGEST_WAIT) -> None:
        """Waits until it has printed the text."""
        eventually(lambda: text in self.output or self.process.poll() is not None, seconds)
        assert text in self.output, self.output

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def insist(self, seconds: float = LONGEST_WAIT) -> int:
        """Interrupt it again and again, by every signal that ends it; its exit code, as `end`."""
        for number in cycle((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)):
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
                break
        return self.end(seconds)

    def end(self, seconds: float = LONGEST_WAIT) -> int:
        """Its exit code; nothing that it started is left."""
        code = self.process.wait(seconds)
        self._reader.join()
        eventually(lambda: not self.left_behind())
        return code

    def close(self) -> None:
        self._reader.join()

    def left_behind(self) -> list[psutil.Process]:
        return marked(self.mark)

    def part(self, word: str) -> psutil.Process:
        """One of the processes that it started, by a word of its command. Soon found."""
        parts = psutil.Process(self.process.pid).children(recursive=True)
        return next(process for process in parts if word in " ".join(process.cmdline()))

    def run(self) -> results.Run:
        """The run whose folder it printed last."""
        return results.read(self.cwd / self.lines[-1].strip())


@contextmanager
def started(words: list[str], cwd: Path, **env: str) -> Iterator[Invocation]:
    invocation = Invocation(words, cwd, env)
    try:
        yield invocation
    finally:
        for process in invocation.left_behind():
            process.kill()
        invocation.process.wait(10)
        invocation.close()


def brownout(*words: str, cwd: Path, **env: str):
    return started([*COMMAND, *words], cwd, **env)


def finished(*words: str, cwd: Path, **env: str) -> tuple[int, Invocation]:
    """The exit code and what was printed."""
    with brownout(*words, cwd=cwd, **env) as invocation:
        return invocation.end(), invocation


@contextmanager
def calm(*, stops: bool = False) -> Iterator[None]:
    """
    Whatever else runs on this machine, and a mock that it holds up, is not what is tested.

    Args:
        stops: noise counts as far as processes were stopped by a signal.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module, names in (
            (host, ("OTHERS", "BUSY")),
            (disturbances, ("LARGE",)),
            (generator, ("LEAST_LATE", "BUSY")),
        ):
            for name in names:
                patch.setattr(module, name, math.inf)
        for module in (blocks, points):
            if not stops:
                patch.setattr(module, "noise", lambda *_, **__: Noise())
        patch.setattr(disturbances.Look, "taken", lambda look, _: TakenTime(look.start, look.end))
        # Long windows alone are asked whether response times jump, as they do on a busy machine.
        patch.setattr(points, "steadiness", lambda *_: Steadiness("steady"))
        patch.setattr(points, "fall", lambda *_: None)
        yield


@dataclass(frozen=True)
class Called:
    """What a command printed that ran in this process."""

    cwd: Path
    output: str

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()

    def run(self) -> results.Run:
        """The run whose folder it printed last."""
        return results.read(self.cwd / self.lines[-1].strip())


def called(*words: str, cwd: Path) -> tuple[int, Called]:
    """
    Run a command as `finished` does, but in this process: two seconds sooner.

    For what a command finds and says; not where it matters that it is a process of its own. All
    that it starts are processes, and none of them is left.
    """
    mark = f"{cwd}-{os.getpid()}"
    _start_drawer()
    with contextlib.chdir(cwd), pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "close", pictures._svg.cache_clear)  # at the end of each run
        ended = CliRunner().invoke(commands.app, words, env={**ENVIRONMENT, MARK: mark})
    if ended.exception and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    eventually(lambda: not marked(mark))
    return ended.exit_code, Called(cwd, ended.output)


def _start_drawer() -> None:
    """
    Start the process that draws, unless it runs: all calls of this process share it, since its
    start takes more CPU than the pictures of a run. It ends with this process.
    """
    if not isinstance(pictures._drawer, pictures._Drawer):  # tests that start no process
        return
    process = pictures._drawer._process
    if process is None or process.poll() is not None:
        pictures.close()
        pictures._drawer._start()
