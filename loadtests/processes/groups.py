"""
A process with all that it starts, below a supervisor: ended without leftovers, whatever happens.
"""

import ctypes
import errno
import logging
import marshal
import os
import re
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from loadtests import private_files, redaction
from loadtests.characters import readable
from loadtests.processes import leftovers, open_files, supervisor
from loadtests.processes.pids import descendants, described, runs, session
from loadtests.processes.supervisor import CLEANING, GIVING_UP

TIMEOUT = 5.0  # seconds between asking to end and forcing
STARTING = 30.0  # seconds that a supervisor may take to start; they are usually 0.03
LAST_WORDS = 5  # lines
_TAIL = 1 << 17  # bytes of a log in which they are looked for
_WIDTH = 300  # characters of a line that are shown
SCRIPT = os.path.abspath(supervisor.__file__)

_EXCEPTION = re.compile(
    r"\s*(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Timeout|Refused|Interrupt|Group)(?::| *$)", re.ASCII
)
"""The line of a Python traceback that names the exception."""
_ROUTINE = re.compile(r'(?:INFO|DEBUG)\b|\{"ready": true')  # lines of a log that say nothing new
_LIBRARY = re.compile(r"[/\\](?:site-packages|dist-packages|lib[/\\]python3\.\d+)[/\\]|<frozen ")

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
if sys.platform == "linux":
    _prctl = ctypes.CDLL(None).prctl

_log = logging.getLogger("brownout")


class ProcessGroup:
    """
    A running process and its descendants. What they print goes to the log.

    The command's parent is a process of `loadtests.processes.supervisor`. It ends them all when
    `stop` asks for it, and also when this process is killed and cannot ask. The command leads a
    session of its own and may have as many open files as it needs, where the system permits. A
    SIGINT or SIGHUP that this process ignores is not ignored in it.

    While the group runs, NAME.pid next to the log has what `leftovers` needs to find it again.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str | None],
        cwd: Path | None,
        log: Path,
        descriptors: Sequence[int] = (),
        stop: Sequence[str] = (),
    ) -> None:
        """
        Start it. Where one core is wanted, pin the thread that calls.

        Args:
            env: in addition to this process's own; None takes a variable away.
            descriptors: of this process, which it inherits under the same numbers.
            stop: a command that is run once the group has ended; empty: none.

        Raises:
            OSError: there is no such program, or it cannot be run.
        """
        self.log = log
        self.pid = 0
        self._argv, self._env, self._cwd, self._stop = argv, env, cwd, stop
        self._pid_file = log.with_suffix(".pid")
        self._how: str | None = None  # it ended, in words
        self._refused: int | None = None  # the error number, if it could not be started
        self._left: list[int] = []  # process ids
        self._cleaned = ""  # how the stop command ended, in words
        self._unread = b""
        self._reading = threading.Lock()
        self._over = self._done = False  # no report will come; all that was to do is done
        self._finished = False
        order_read, self._pipe = os.pipe()
        self._reports, reports_write = os.pipe()
        os.set_blocking(self._reports, False)
        try:
            self._supervise(order_read, reports_write, descriptors)
        except BaseException:
            os.close(self._pipe)
            os.close(self._reports)
            raise
        finally:
            os.close(order_read)
            os.close(reports_write)
        self._await_start()

    def _supervise(self, order_read: int, reports_write: int, descriptors: Sequence[int]) -> None:
        """Start the supervisor and give it its order."""
        with open(self.log, "ab", opener=private_files.opener) as output:
            pipes = str(order_read), str(reports_write)
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", SCRIPT, *pipes],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(self._env),
                cwd=self._cwd,
                start_new_session=True,
                preexec_fn=_prepare(),
                pass_fds=(*descriptors, order_read, reports_write),
            )
        order: supervisor.Order = {
            "argv": [os.fsencode(word) for word in self._argv],
            "stop": [os.fsencode(word) for word in self._stop],
            "timeout": TIMEOUT,
            "descriptors": list(descriptors),
            "pid_file": os.fsencode(self._pid_file.absolute()),
        }
        with suppress(BrokenPipeError), open(self._pipe, "wb", closefd=False) as pipe:
            pipe.write(marshal.dumps(dict(order)))

    def _await_start(self) -> None:
        deadline = time.monotonic() + STARTING
        while not self._read() and not self.pid and (left := deadline - time.monotonic()) > 0:
            self._poll(left)
        if self.pid:
            shown = redaction.words(self._stop)
            leftovers.write(self._pid_file, self.pid, self._supervisor.pid, shown)
            return
        os.close(self._pipe)
        self._supervisor.kill()
        self._supervisor.wait()
        os.close(self._reports)
        number = self._refused or errno.EIO
        why = os.strerror(number) if self._refused else f"no supervisor came up; see {self.log}"
        raise OSError(number, why, self._argv[0])

    def ended(self) -> str | None:
        """How it ended, in words; None while it runs."""
        self._read()
        return self._how

    def wait(self, seconds: float) -> str | None:
        """Wait until the process has ended, for `seconds` at most; return as `ended` does."""
        deadline = time.monotonic() + seconds
        while (how := self.ended()) is None and (left := deadline - time.monotonic()) > 0:
            self._poll(left)
        return how

    def last_words(self) -> str:
        """
        The end of its log and where the whole is, for a message; begins with a line end.

        Many a program ends when it cannot write its log, and cannot say why: a full disk is named.
        """
        lines = [line for line in self._end_of_log(_TAIL) if line.strip()][-LAST_WORDS:]
        said = _quoted("Its last words", lines)
        disk = os.statvfs(self.log)
        full = "\nIts disk is full: make room, or choose another folder with --out."
        return f"{said}\nThe whole log: {self.log}{full if not disk.f_bavail else ''}"

    def said(self, mark: str) -> str:
        """Return the last line of its log that begins with the mark, without it; else empty."""
        lines = (line for line in self._end_of_log(_TAIL) if line.startswith(mark))
        return next((line.removeprefix(mark) for line in reversed(list(lines))), "")

    def failure_words(self, *, exceptions_only: bool = False) -> str:
        """
        Return the last exception in its log with the lines of its own code that led there, and
        where the whole log is; without one, its last words but for those about any start and
        request. Begins with a line end; empty where nothing is left.

        Args:
            exceptions_only: empty without an exception.
        """
        lines = self._end_of_log(1 << 16)
        found = [number for number, line in enumerate(lines) if _EXCEPTION.match(line)]
        if found:
            title = "The last error in its log"
            there = [*_own_frames(lines[: found[-1]]), lines[found[-1]]]
        else:
            title = "Its last words"
            there = [line for line in lines if not _ROUTINE.match(line)][-LAST_WORDS:]
            there = [] if exceptions_only else there
        return f"{_quoted(title, there)}\nThe whole log: {self.log}" if there else ""

    def _end_of_log(self, size: int) -> list[str]:
        """The lines of the last bytes of the log, without secrets."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - size))
            words = readable(redaction.text(log.read().decode(errors="replace")))
        return [_cut(line) for line in words.strip().splitlines()]

    def descendants(self) -> set[int]:
        """Return the ids of its processes, also of those that have a session of their own."""
        return descendants(self._supervisor.pid)

    def hang_up(self) -> None:
        """Ask the supervisor to end everything; returns at once."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
            self._supervisor.send_signal(signal.SIGCONT)  # it may have been stopped

    def finish(self) -> None:
        """Wait until everything has ended, and log what could not be done."""
        if self._finished:
            return
        self._finished = True
        ending = TIMEOUT + GIVING_UP
        deadline = time.monotonic() + 2 * ending + (CLEANING + ending if self._stop else 0)
        while not self._read() and (left := deadline - time.monotonic()) > 0:
            self._poll(left)
        if not self._over:
            self._supervisor.kill()
        self._supervisor.wait()
        self._read()
        os.close(self._reports)
        if not self._done:
            self._finish_alone()
        name = self.log.stem.partition("~")[0]
        if self._cleaned not in ("", "ended with exit code 0"):
            _log.warning("the stop command of %s %s.%s", name, self._cleaned, self.last_words())
        if self._left:
            pids = " ".join(map(str, self._left))
            _log.warning(
                "%s: processes could not be ended: %s. End them with: sudo kill -KILL %s",
                name,
                ", ".join(map(described, self._left)),
                pids,
            )
        else:
            with suppress(OSError):
                self._pid_file.unlink(missing_ok=True)

    def _finish_alone(self) -> None:
        """Do what a supervisor that was killed has not done; only the session is known."""
        for number, seconds in ((signal.SIGTERM, TIMEOUT), (signal.SIGKILL, GIVING_UP)):
            deadline = time.monotonic() + seconds
            signalled = set[int]()
            while (pids := self._session()) and time.monotonic() < deadline:
                for pid in pids - signalled:
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
                signalled |= pids
                time.sleep(0.01)
        self._left = sorted(self._session())
        if self._stop and not self._cleaned:
            try:
                group = ProcessGroup(self._stop, self._env, self._cwd, self.log)
            except OSError as error:
                self._cleaned = f"cannot be run: {error.strerror}"
                return
            self._cleaned = group.wait(CLEANING) or f"was not done in {CLEANING:g} s"
            stop([group])

    def _session(self) -> set[int]:
        return {pid for pid in members([self])[self.pid] if runs(pid)}

    def _read(self) -> bool:
        """Read the reports of the supervisor; returns whether that was all."""
        with self._reading:
            while not self._over:
                try:
                    data = os.read(self._reports, 4096)
                except BlockingIOError:
                    return False
                *lines, self._unread = (self._unread + data).split(b"\n")
                for line in lines:
                    self._take(*line.decode().split())
                if not data:
                    self._over = True
                    self._how = self._how or "lost its supervisor, which was killed"
            return True

    def _take(self, what: str, *values: str) -> None:
        """Store one report of the supervisor; they are listed at `Supervisor`."""
        numbers = [int(value) for value in values]
        match what:
            case "started":
                [self.pid] = numbers
            case "refused":
                [self._refused] = numbers
            case "ended":
                [code] = numbers
                self._how = _in_words(code)
            case "left":
                self._left = numbers
            case "cleaned":
                [code] = numbers
                self._cleaned = _in_words(code)
            case "unclean":
                [number] = numbers
                self._cleaned = f"cannot be run: {os.strerror(number)}"
            case "unfinished":
                self._cleaned = f"was not done in {CLEANING:g} s"
            case "done":
                self._done = True

    def _poll(self, seconds: float) -> None:
        """Wait until there is a report, for this time at most."""
        poll = select.poll()
        poll.register(self._reports, select.POLLIN)
        poll.poll(seconds * 1000)


def _own_frames(lines: Sequence[str]) -> list[str]:
    """
    Return the last frames, outside of libraries, of a Python traceback that ends these lines.

    Args:
        lines: the exception's own is not among them.
    """
    begin = len(lines)
    while begin and (lines[begin - 1].startswith(" ") or not lines[begin - 1].strip()):
        begin -= 1
    frames: list[list[str]] = []
    for line in lines[begin:]:
        if line.strip().startswith('File "'):
            frames.append([])
        if frames:
            frames[-1].append(line)
    own = [frame for frame in frames if not _LIBRARY.search(frame[0])]
    return [line for frame in own[-2:] for line in frame[:2]]


def _quoted(title: str, lines: Sequence[str]) -> str:
    return f"\n{title}:" + "".join(f"\n  {line}" for line in lines) if lines else ""


def ended_with(code: int) -> str:
    """How `ended` says that a group has ended with this exit code."""
    return f"ended with exit code {code}"


def _cut(line: str) -> str:
    """Return the line, cut where it is too long to be read."""
    return line if len(line) <= _WIDTH else f"{line[:_WIDTH]}..."


def _in_words(code: int) -> str:
    if code >= 0:
        return ended_with(code)
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # most real-time signals have no name
        return f"was killed by signal {-code}"


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    changed = {**os.environ, "PYTHONUNBUFFERED": "1", **changes}
    return {name: value for name, value in changed.items() if value is not None}


def _prepare() -> Callable[[], None]:
    """Return what a new supervisor does first; its command inherits the limit of open files."""
    files = open_files.limits()

    # Between fork and exec: nothing here may take a lock that another thread could hold.
    def prepare() -> None:
        if sys.platform != "linux":
            return
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    return prepare


def members(groups: Iterable[ProcessGroup]) -> dict[int, list[int]]:
    """The process ids of each group, by the id of its first process; one look at the system."""
    found: dict[int, list[int]] = {group.pid: [] for group in groups}
    for pid in psutil.pids():
        if (leader := session(pid)) in found:
            found[leader].append(pid)
    return found


def stop(groups: Iterable[ProcessGroup]) -> None:
    """
    Ask all of them to end at once, force those that have not within 5 s, and run their stop
    commands. What could not be done is logged; it keeps no other group from its end.
    """
    ending = list(groups)
    for group in ending:
        group.hang_up()
    for group in ending:
        group.finish()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """
    Signals that would raise in the middle of the block do so at its end: no process is started and
    forgotten, and a second Ctrl-C does not cut short the stopping.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals do not come here
        return
    came: list[tuple[int, FrameType | None]] = []

    def remember(number: int, frame: FrameType | None) -> None:
        came.append((number, frame))

    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: dict[int, Any] = {number: signal.getsignal(number) for number in ends}
    try:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, remember)
        yield
    finally:
        for number, handler in reversed(before.items()):  # last SIGINT's, which may raise
            if callable(handler):
                signal.signal(number, handler)
        if came:
            first, frame = came[0]
            before[first](first, frame)
