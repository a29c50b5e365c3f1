"""
Charts as SVG and PNG, drawn by a process of its own: see `vega`.

The engine that draws aborts its process where memory is short, and on some texts. That must cost a
picture, and not the report. The process starts with the first picture and ends with this one.
"""

import atexit
import base64
import json
import socket
import subprocess
import sys
import threading
from functools import lru_cache
from typing import Any

from loadtests.characters import for_xml

TIMEOUT = 60.0  # seconds for one picture
_ENDING = 2.0  # seconds that the process may take to end once nobody asks any more


class PictureFailed(Exception):
    """A picture could not be drawn; the message says why."""


class _Drawer:
    """The process that draws, started when it is asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, str]:
        """Return what `vega.answer` does. Raises PictureFailed."""
        with self._lock:
            if self._line is None:
                self._start()
            try:
                return self._asked(json.dumps(request).encode())
            except (OSError, ValueError) as error:
                raise PictureFailed(self._end(error)) from None

    def close(self) -> None:
        with self._lock:
            self._end()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            module = "loadtests.report.charts.vega"
            words = [sys.executable, "-P", "-m", module, str(theirs.fileno())]
            try:
                self._process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C of a terminal is not for it
                )
            except BaseException as error:
                ours.close()
                if not isinstance(error, OSError):
                    raise
                raise PictureFailed(f"the process that draws cannot be started: {error}") from None
        ours.settimeout(TIMEOUT)
        self._line = ours

    def _asked(self, request: bytes) -> dict[str, str]:
        assert self._line is not None
        self._line.sendall(request + b"\n")
        received = bytearray()
        while not received.endswith(b"\n"):
            part = self._line.recv(1 << 20)
            if not part:
                raise ConnectionResetError
            received += part
        answer: dict[str, str] = json.loads(received)
        return answer

    def _end(self, error: Exception | None = None) -> str:
        """End the process; why it did not answer, in words."""
        process, self._process = self._process, None
        line, self._line = self._line, None
        if process is None or line is None:
            return ""
        line.close()
        try:
            if isinstance(error, TimeoutError):
                process.kill()
            code = process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if isinstance(error, TimeoutError):
            return f"the process that draws did not answer in {TIMEOUT:g} s"
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"the process that draws {how}"


_drawer = _Drawer()
atexit.register(_drawer.close)


def svg(chart: dict[str, Any], config: dict[str, Any]) -> str:
    """
    Return a Vega-Lite chart as an SVG, with no browser and no network.

    Raises:
        PictureFailed: it cannot be drawn.
    """
    return _svg(json.dumps(_cleaned(chart)), json.dumps(config))


@lru_cache(maxsize=1)  # a run's picture is wanted twice, as lines and as dots
def _svg(chart: str, config: str) -> str:
    return _asked({"chart": chart, "config": json.loads(config)}, "svg")


def png(svg: str, scale: float) -> bytes:
    """
    Return an SVG as a PNG.

    Raises:
        PictureFailed: it cannot be drawn.
    """
    return base64.b64decode(_asked({"svg": svg, "scale": scale}, "png"))


def close() -> None:
    """End the process that draws; the next picture starts another one."""
    _svg.cache_clear()
    _drawer.close()


def _asked(request: dict[str, Any], wanted: str) -> str:
    answer = _drawer.ask(request)
    if "error" in answer:
        raise PictureFailed(answer["error"])
    return answer[wanted]


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return for_xml(value)
        case dict():
            return {for_xml(key): _cleaned(item) for key, item in value.items()}
        case list() | tuple():
            return [_cleaned(item) for item in value]
        case _:
            return value
