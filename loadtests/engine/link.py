"""The engine's end of the line to the controller."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.lock import RLock
from gevent.queue import Queue

from loadtests.environment import COMMAND, PASSWORD
from loadtests.exit_codes import INTERRUPTED, NOT_MEASURABLE
from loadtests.recording import messages

LINK, TOKEN = "BROWNOUT_LINK", "BROWNOUT_TOKEN"
ANSWERING = 30.0  # seconds that the controller may take to answer; it analyses a run meanwhile
_GONE = "the controller is gone: see what the terminal says, and start brownout again"


class EngineSocket:
    """JSON lines over a loopback socket; safe to use from several greenlets."""

    def __init__(self, address: str, token: str, web: bool, notes: Sequence[str] = ()) -> None:
        """
        Args:
            web: there is a web UI, whose pages get their content through `shown`.
            notes: what the reader of the run has to know.
        """
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._socket.settimeout(None)
        self._lines = self._socket.makefile("rb")
        self._sending = RLock()
        self._to_play: Queue[Any] = Queue()  # None: the controller is gone
        self._numbers = count()
        self._asked: dict[int, AsyncResult[str | None]] = {}
        self.shown: Callable[[messages.PageContent], None] = lambda _: None
        self.enough: Callable[[messages.Enough], None] = lambda _: None
        self.gone = False
        self.controller: subprocess.Popen[bytes] | None = None
        self.send(messages.Hello(token=token, pid=os.getpid(), web=web, notes=tuple(notes)))

    def listen(self) -> None:
        """Begin to take what the controller sends."""
        gevent.spawn(self._read)

    def send(self, message: messages.Message) -> None:
        """Raises OSError when the controller is gone."""
        with self._sending:
            self._socket.sendall(messages.encode(message))

    def receive(self) -> Any:
        """The next message for who plays stages, or None when the controller is gone."""
        message = self._to_play.get()
        if message is None:
            self._to_play.put(None)
        return message

    def forget(self) -> None:
        """Drop what was sent for a test that is over."""
        while not self._to_play.empty() and self._to_play.peek() is not None:
            self._to_play.get()

    def ask(self, what: str, values: dict[str, Any]) -> str | None:
        """Have the controller do something; returns why it cannot be done, None: it is."""
        number = next(self._numbers)
        answer = self._asked[number] = AsyncResult()
        try:
            if self.gone:
                return _GONE
            self.send(messages.PageCommand(number=number, what=what, values=values))
            problem: str | None = answer.get(timeout=ANSWERING)
            return problem
        except gevent.Timeout:
            return f"the controller did not answer within {ANSWERING:.0f} s; try again"
        except OSError:
            return _GONE
        except ValueError as error:  # half of a surrogate pair, say
            return f"it cannot be passed on: {error}"
        finally:
            del self._asked[number]

    def close(self) -> int | None:
        """Hang up. Returns the exit code of a controller that this engine started."""
        with suppress(OSError):  # the controller may have hung up first
            # Closing alone would leave it open: the reader holds the descriptor, too.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        return _code_of(self.controller) if self.controller else None

    def _read(self) -> None:
        with suppress(OSError):
            for line in self._lines:
                match message := messages.decode(line):
                    case messages.PageContent():
                        self.shown(message)
                    case messages.Enough():
                        self.enough(message)
                    case messages.CommandResult():
                        if answer := self._asked.get(message.number):
                            answer.set(message.problem)
                    case _:
                        self._to_play.put(message)
        self.gone = True
        self._to_play.put(None)
        for answer in self._asked.values():
            answer.set(_GONE)


def connect(plan: Path, out: Path, web: bool, notes: Sequence[str] = ()) -> EngineSocket:
    """
    The line to the controller that started this engine, or to one started here.

    Plain `locust -f loadtests/locustfile.py` has no controller yet; it gets one of its own, which
    brings up mock and deployments and writes the run's folder.

    Raises:
        ControllerFailed: a controller could not be started, and has said why on standard error;
            or Ctrl-C ended the wait for it.
    """
    if LINK in os.environ:
        return EngineSocket(os.environ[LINK], os.environ[TOKEN], web, notes)
    reads, writes = os.pipe()
    command = [sys.executable, "-P", "-m", "loadtests", "control", str(plan)]
    command += ["--out", str(out), "--announce", str(writes)]
    environment = {**os.environ, COMMAND: shlex.join(["locust", *sys.argv[1:]])}
    environment.pop(PASSWORD, None)  # the web UI is here
    controller = subprocess.Popen(
        command, env=environment, pass_fds=[writes], start_new_session=True
    )
    # Not os.close: gevent puts that off until other greenlets run, and none does in the wait for a
    # line, which would never end with a controller that has ended.
    os.fdopen(writes, "wb").close()
    try:
        with os.fdopen(reads, encoding="utf-8") as announced:
            line = announced.readline()
    except KeyboardInterrupt:
        controller.terminate()  # it has a session of its own, which Ctrl-C does not reach
        controller.wait()
        raise ControllerFailed(INTERRUPTED) from None
    if not line:
        raise ControllerFailed(_code_of(controller))
    where = json.loads(line)
    link = EngineSocket(where["link"], where["token"], web, notes)
    link.controller = controller
    return link


def _code_of(controller: subprocess.Popen[bytes]) -> int:
    """Wait for its exit code; one that was killed could neither say why nor give one."""
    code: int = controller.wait()
    if code >= 0:
        return code
    print(f"the controller was killed by {signal.Signals(-code).name}", file=sys.stderr)
    return NOT_MEASURABLE


class ControllerFailed(Exception):
    """The controller ended before it was ready; `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the controller ended with {code}")
        self.code = code
