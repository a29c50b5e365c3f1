"""
Runs one command and ends everything that it started, even when the process that asked is killed.

`groups` starts this file as a script, with the standard library alone, so that it is up in
a few hundredths of a second. It sleeps until a child ends, it gets a SIGTERM, or a pipe closes:
its starter closes that pipe, or the system does when the starter is gone. Then it sends SIGTERM to
all that descends from the command, after a while SIGKILL, and runs the stop command.

On Linux it is a subreaper: a process whose parent has ended becomes its child, so nothing escapes,
not even by a session of its own. Elsewhere it knows the command's process group alone.
"""

import marshal
import os
import select
import signal
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False  # `typing` would take half of the time in which this starts
if TYPE_CHECKING:
    from typing import TypedDict

    class Order(TypedDict):
        """What a supervisor is asked to do; it comes through the pipe, as `marshal` writes it."""

        argv: list[bytes]
        stop: list[bytes]
        """The stop command, run in the command's environment and folder; empty: there is none."""
        timeout: float
        """Seconds between SIGTERM and SIGKILL."""
        descriptors: list[int]
        """Those that the command inherits, and that the supervisor must not keep open."""
        pid_file: bytes
        """Removed when nothing is left."""


GIVING_UP = 5.0  # seconds that processes may take to end after SIGKILL
CLEANING = 30.0  # seconds that a stop command may take
_LOOK = 0.01  # seconds between two looks while something ends


class Supervisor:
    """
    Runs the command of an order.

    It reports lines to its starter: `started PID` or `refused ERRNO`; `ended CODE`, negative for a
    signal; then `left PID...` where processes could not be ended, `cleaned CODE`, `unclean ERRNO`
    or `unfinished` for the stop command, and `done`.
    """

    def __init__(self, pipe: int, reports: int) -> None:
        """
        Args:
            pipe: the descriptor that gives the order, and ends with the starter.
            reports: the one that takes the reports.
        """
        self._pipe, self._reports = pipe, reports
        for descriptor in (pipe, reports):
            os.set_inheritable(descriptor, False)
        self._woken, wake = os.pipe()
        for descriptor in (self._woken, wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._waking = select.poll()
        self._waking.register(self._woken, select.POLLIN)
        self._terminated = False
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler, so that it wakes
        self._main = 0  # the process id of what was spawned last
        self._code: int | None = None  # its exit code, once it has ended

    def run(self) -> None:
        """Read the order and carry it out; returns when everything has ended."""
        try:
            with open(self._pipe, "rb", closefd=False) as pipe:
                order: Order = marshal.load(pipe)
            self._spawn(order["argv"])
        except EOFError:  # the starter is gone already
            return
        except OSError as error:
            self._report(f"refused {error.errno}")
            return
        for descriptor in order["descriptors"]:
            os.close(descriptor)
        self._report(f"started {self._main}")
        self._watch()
        left = self._end(order["timeout"])
        if left:
            self._report(f"left {' '.join(map(str, left))}")
        clean = not order["stop"] or self._clean_up(order["stop"], order["timeout"])
        if clean and not left:
            with suppress(OSError):
                os.unlink(order["pid_file"])
        self._report("done")

    def _spawn(self, argv: list[bytes]) -> None:
        default = [signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ]
        self._code = None
        self._main = os.posix_spawnp(argv[0], argv, os.environ, setsid=True, setsigdef=default)

    def _watch(self) -> None:
        """Wait until the starter is gone or asks for the end, or a SIGTERM comes."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(self._pipe, select.POLLIN)
        while not self._terminated:
            for descriptor, _ in poll.poll():
                if descriptor == self._pipe and not os.read(self._pipe, 1024):
                    return
            self._drain()
            self._reap(report=True)

    def _end(self, timeout: float, *, report: bool = True) -> list[int]:
        """End all processes below this one. Returns the ids of those that could not be ended."""
        asked = self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process gets its SIGTERM only when it continues
        deadline = time.monotonic() + timeout
        while asked and self._alive(report) and time.monotonic() < deadline:
            self._sleep()
        # Again and again: a process may start another one while it is being forced.
        deadline = time.monotonic() + GIVING_UP
        while self._alive(report) and time.monotonic() < deadline:
            if not self._signal(signal.SIGKILL):
                break
            self._sleep()
        return (self._below() or [self._main]) if self._alive(report) else []

    def _clean_up(self, stop: list[bytes], timeout: float) -> bool:
        """Run the stop command; returns whether it succeeded."""
        try:
            self._spawn(stop)
        except OSError as error:
            self._report(f"unclean {error.errno}")
            return False
        deadline = time.monotonic() + CLEANING
        while self._code is None and time.monotonic() < deadline:
            self._sleep()
            self._reap()
        code = self._code
        self._end(timeout, report=False)
        self._report("unfinished" if code is None else f"cleaned {code}")
        return code == 0

    def _reap(self, *, report: bool = False) -> bool:
        """Collect the exit codes of children that ended; returns whether one still runs."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                self._code = os.waitstatus_to_exitcode(status)
                if report:
                    self._report(f"ended {self._code}")

    def _alive(self, report: bool) -> bool:
        """Return whether anything runs: a subreaper without children has no descendants either."""
        if self._reap(report=report):
            return True
        if sys.platform == "linux":
            return False
        try:
            os.killpg(self._main, 0)
        except (ProcessLookupError, PermissionError):  # macOS: of a group of zombies
            return False
        return True

    def _below(self) -> list[int]:
        return descendants(os.getpid())

    def _signal(self, number: int) -> bool:
        """Send a signal to all processes below; returns False where each of them refuses it."""
        refused, sent = False, False
        targets = [(os.kill, pid) for pid in self._below()]
        if sys.platform != "linux":
            targets.append((os.killpg, self._main))
        for send, pid in targets:
            try:
                send(pid, number)
                sent = True
            except PermissionError:
                refused = True
            except ProcessLookupError:
                pass  # it has ended meanwhile
        return sent or not refused

    def _sleep(self) -> None:
        """Wait for a moment, or until a child ends."""
        self._waking.poll(_LOOK * 1000)
        self._drain()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._woken, 1024):
                pass

    def _terminate(self, *_: object) -> None:
        self._terminated = True

    def _report(self, line: str) -> None:
        with suppress(OSError):  # the starter is gone
            os.write(self._reports, line.encode() + b"\n")


def descendants(pid: int) -> list[int]:
    """
    Return the ids of the processes below one, without those that have ended.

    Read from /proc: where there is none, or it hides a process, that is missing.
    """
    children: dict[int, list[int]] = {}
    ended = set()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # After the program's name, in parentheses and of any content; proc_pid_stat(5).
                fields = file.read().rpartition(b")")[2].split()
            state, parent, threads = fields[0], fields[1], int(fields[17])
        except (OSError, ValueError, IndexError):
            continue
        # A process whose first thread has ended is a zombie in name while its others run.
        if state == b"X" or (state == b"Z" and threads <= 1):
            ended.add(int(name))
        children.setdefault(int(parent), []).append(int(name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return [one for one in found[1:] if one not in ended]


if __name__ == "__main__":
    Supervisor(int(sys.argv[1]), int(sys.argv[2])).run()
