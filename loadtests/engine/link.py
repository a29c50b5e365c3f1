"""The engine's end of the line to the controller."""

import json
import os
import shlex
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from gevent.lock import RLock

from loadtests import stages
from loadtests.environment import COMMAND

LINK, TOKEN = "BROWNOUT_LINK", "BROWNOUT_TOKEN"


class Link:
    """JSON lines over a loopback socket; safe to use from several greenlets."""

    def __init__(self, address: str, token: str) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._socket.settimeout(None)
        self._lines = self._socket.makefile("rb")
        self._sending = RLock()
        self.controller: subprocess.Popen[bytes] | None = None
        self.send(stages.Hello(token=token, pid=os.getpid()))

    def send(self, message: stages.Message) -> None:
        """Raises OSError when the controller is gone."""
        with self._sending:
            self._socket.sendall(stages.encode(message))

    def receive(self) -> Any:
        """The next message, or None when the controller is gone."""
        try:
            line = self._lines.readline()
        except OSError:
            return None
        return stages.decode(line) if line else None

    def close(self) -> int | None:
        """Hang up. Returns the exit code of a controller that this engine started."""
        with suppress(OSError):  # the controller may have hung up first
            # Closing alone would leave it open: the reader holds the descriptor, too.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        return self.controller.wait() if self.controller else None


def connect(plan: Path, out: Path) -> Link:
    """
    The line to the controller that started this engine, or to one started here.

    Plain `locust -f loadtests/locustfile.py` has no controller yet; it gets one of its own, which
    brings up mock and deployments and writes the run's folder.

    Raises:
        ControllerFailed: a controller could not be started; it has said why on standard error.
    """
    if LINK in os.environ:
        return Link(os.environ[LINK], os.environ[TOKEN])
    reads, writes = os.pipe()
    command = [sys.executable, "-m", "loadtests", "control", str(plan)]
    command += ["--out", str(out), "--announce", str(writes)]
    environment = {**os.environ, COMMAND: shlex.join(["locust", *sys.argv[1:]])}
    controller = subprocess.Popen(
        command, env=environment, pass_fds=[writes], start_new_session=True
    )
    os.close(writes)
    with os.fdopen(reads) as announced:
        line = announced.readline()
    if not line:
        raise ControllerFailed(controller.wait())
    where = json.loads(line)
    link = Link(where["link"], where["token"])
    link.controller = controller
    return link


class ControllerFailed(Exception):
    """The controller ended before it was ready; `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the controller ended with {code}")
        self.code = code
