"""The command as a user starts it: a process, its output, its run folder, what it leaves behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from loadtests import results
from tests.servers import eventually

COMMAND = [sys.executable, "-m", "loadtests"]
LOCUST = [sys.executable, "-m", "locust", "-f", str(Path("loadtests/locustfile.py").absolute())]

# A window of a second is all of it slow if the machine was for a moment: that is for other tests.
BUDGET = 'budget = { late = "1m", lag = "1m", cpu = 1.0 }'
PLAN = f"""
name = "tiny"
[upstream]
latency = "20ms"
{BUDGET}
[deployments.threads]
variant = "blocking-requests"
[deployments.async]
variant = "async-aiohttp"
[[requests]]
path = "/external-data"
[load]
levels = [1, 4]
settle = "250ms"
measure = "1s"
"""


class Invocation:
    """A running command. `lines` grows as it prints (standard output and error together)."""

    def __init__(self, words: list[str], cwd: Path, env: dict[str, str]) -> None:
        self.cwd = cwd
        self.mark = f"{id(self)}-{os.getpid()}"  # inherited by all that it starts
        self.process = subprocess.Popen(
            words,
            cwd=cwd,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "GITHUB_STEP_SUMMARY": "",  # that of the job that runs these tests
                **env,
                "BROWNOUT_TEST": self.mark,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
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

    def until(self, text: str, seconds: float = 60) -> None:
        """Waits until it has printed the text."""
        eventually(lambda: text in self.output or self.process.poll() is not None, seconds)
        assert text in self.output, self.output

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self, seconds: float = 90) -> int:
        """Its exit code; nothing that it started is left."""
        code = self.process.wait(seconds)
        self._reader.join()
        eventually(lambda: not self.left_behind())
        return code

    def close(self) -> None:
        self._reader.join()

    def left_behind(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def part(self, word: str) -> psutil.Process:
        """One of the processes that it started, by a word of its command. Soon found."""
        parts = psutil.Process(self.process.pid).children(recursive=True)
        return next(process for process in parts if word in " ".join(process.cmdline()))

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("BROWNOUT_TEST") == self.mark
        except psutil.Error:
            return False

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
