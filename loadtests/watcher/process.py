"""The watching process as its starter sees it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from loadtests.processes.groups import uninterrupted

ENDING = 2.0  # seconds that it may take to end
_ROOT = str(Path(__file__).resolve().parents[2])
_CODE = "import sys; sys.path.append(sys.argv.pop(1)); from loadtests.watcher import child; " + (
    "child.main(sys.argv[1:])"
)


class Watcher:
    """
    Starts a process that looks at the threads of the deployment that is measured, 100 times a
    second, and does the canary's work once a second on each core.

    It ends with the block, and also when this process is killed: its input ends then. It takes one
    to two hundredths of a core, niced, where the thread that enters may run.
    """

    def __init__(
        self, processes: Callable[[], Mapping[str, Collection[int]]], cores: Collection[int] = ()
    ) -> None:
        """
        Args:
            processes: gives the process ids by name.
            cores: of the canary; empty where threads cannot be pinned.
        """
        self._named = processes
        self._cores = cores
        self._process: subprocess.Popen[bytes] | None = None
        self._writing = threading.Lock()
        self._deployment = ""
        self._last: dict[str, Any] = {}
        self._unread = b""
        self._failure = ""
        self._early = False

    def __enter__(self) -> Self:
        flags = ["-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]  # -I hides the variable
        words = [sys.executable, *flags, "-c", _CODE, _ROOT, *map(str, sorted(self._cores))]
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._failure, self._early = str(error), True
            return self
        assert self._process.stdin
        assert self._process.stdout
        for pipe in (self._process.stdin, self._process.stdout):
            os.set_blocking(pipe.fileno(), False)
        return self

    def __exit__(self, *_: object) -> None:
        if (process := self._process) is None:
            return
        self._early = process.poll() is not None
        with uninterrupted(), process:
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(ENDING)
            except subprocess.TimeoutExpired:
                process.kill()

    @property
    def pids(self) -> list[int]:
        """The watcher's process id, as a list; empty: the process could not be started."""
        return [self._process.pid] if self._process else []

    def watch(self, deployment: str) -> None:
        """Look at this deployment, of which nothing is asked at this moment."""
        self._deployment = deployment
        self._order(rest=True)

    def take(self) -> dict[str, Any]:
        """
        Return what was seen since the last call, for a sample; look at its new processes, too.

            {"threads": [{"at": monotonic seconds, "deployment": name, "processes": {id:
                          {"main": {state: looks}, "sweeps": looks at all the others,
                           "others": {state: threads, summed over the sweeps},
                           "most": busy ones in one sweep}}}],
             "canary": [{"at", "core": number or null, "seconds": of CPU}],
             "denied": [{"denied": what cannot be read, and why, "instead": what is, or ""}]}
        """
        if self._deployment:
            self._order(rest=False)
        found: dict[str, Any] = {}
        for line in self._lines():
            try:
                result = json.loads(line)
                kind = next(key for key in _KINDS if key in result)
            except (ValueError, TypeError, StopIteration):
                self._failure = line.decode(errors="replace")  # the last line says what it was
                continue
            found.setdefault(_KINDS[kind], []).append(result)
        return found

    def problem(self) -> str | None:
        """The reason why the watcher ended too early, valid after the block; None: it did not."""
        if not self._early:
            return None
        return (
            "The threads of the services were not watched to the end: the process that looks at "
            f"them has ended{f' ({self._failure})' if self._failure else ''}."
        )

    def _order(self, *, rest: bool) -> None:
        order = {
            "deployment": self._deployment,
            "processes": sorted(self._named().get(self._deployment, ())),
        }
        with self._writing:
            if self._process is None or (order == self._last and not rest):
                return
            assert self._process.stdin
            line = json.dumps(order | {"rest": rest}).encode() + b"\n"
            with suppress(OSError):  # it has ended, or is too busy to read
                os.write(self._process.stdin.fileno(), line)
                self._last = order

    def _lines(self) -> list[bytes]:
        if self._process is None or self._process.stdout is None or self._process.stdout.closed:
            return []
        with suppress(BlockingIOError):
            while data := os.read(self._process.stdout.fileno(), 65536):
                self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        return lines


_KINDS = {"processes": "threads", "core": "canary", "denied": "denied"}
