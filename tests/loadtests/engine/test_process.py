"""The controller's end of the line: the engine gets through, whatever else connects."""

import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager

import pytest

from loadtests.recording import messages
from loadtests.run import engine_process
from loadtests.run.engine_process import ControllerSocket, EngineFailed
from tests.support.servers import eventually

pytestmark = pytest.mark.processes  # it waits by the real clock


def caller(line):
    host, port = line.address.split(":")
    return closing(socket.create_connection((host, int(port)), timeout=30))


def hello(token):
    return messages.encode(messages.Hello(token=token, pid=1, web=False))


@contextmanager
def accepting(line):
    """Accepts meanwhile; the list gets what `accept` returns or raises."""
    results = []

    def accept():
        try:
            results.append(line.accept())
        except EngineFailed as error:
            results.append(error)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield results
    finally:
        thread.join(60)
        assert not thread.is_alive()


def test_callers_that_say_nothing_or_little_do_not_keep_the_engine_waiting():
    with ControllerSocket() as line, ExitStack() as strangers:
        # More than are waited for, each of them silent or in the middle of a line.
        for number in range(engine_process.MOST_CALLERS + 4):
            stranger = strangers.enter_context(caller(line))
            stranger.sendall(b"{" * (number % 2))
        with accepting(line) as results, caller(line) as engine:
            engine.sendall(hello(line.token)[:20])
            engine.sendall(hello(line.token)[20:])
        assert [result.token for result in results] == [line.token]


@pytest.mark.parametrize(
    "words",
    [b"\n", b"{}\n", b"\xff\xfe\n", b'{"type": "hello"}\n', hello("another"), hello("")],
)
def test_a_caller_without_the_token_is_dismissed(words):
    with ControllerSocket() as line, accepting(line) as results:
        with caller(line) as stranger:
            stranger.sendall(words)
            assert stranger.recv(1) == b""
        with caller(line) as engine:
            engine.sendall(hello(line.token))
            eventually(lambda: results)
    assert isinstance(results[0], messages.Hello)


def test_a_first_line_without_an_end_is_not_kept():
    with ControllerSocket() as line, accepting(line) as results:
        with caller(line) as stranger, pytest.raises(ConnectionError):
            stranger.sendall(bytes(100_000_000))
        with caller(line) as engine:
            engine.sendall(hello(line.token))
            eventually(lambda: results)
    assert isinstance(results[0], messages.Hello)


def test_the_deadline_holds_while_a_caller_dribbles(monkeypatch):
    monkeypatch.setattr(engine_process, "CONNECTING", 0.5)
    with ControllerSocket() as line, caller(line) as stranger, accepting(line) as results:
        while not results:
            stranger.sendall(b" ")
            time.sleep(0.01)  # a dribble, and no flood
    assert "did not come up" in str(results[0])


def test_bytes_after_the_first_line_are_kept():
    with ControllerSocket() as line, accepting(line) as results, caller(line) as engine:
        engine.sendall(hello(line.token) + messages.encode(messages.Stopped()))
        eventually(lambda: results)
        assert line.receive(10) == messages.Stopped()
