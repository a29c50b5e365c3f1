"""What the load generator sends when no answer comes; in a process of its own, for gevent."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

SCRIPT = """
import gevent.monkey
gevent.monkey.patch_all()
import socket
import gevent
from locust.env import Environment
from loadtests.engine.recorder import kind_of
from loadtests.engine.sending import send, session
from loadtests.stages import RequestSpec

listener = socket.create_server(("127.0.0.1", 0))
accepted = []

def accept():
    while True:
        accepted.append(listener.accept())

gevent.spawn(accept)
events = Environment().events
events.request.add_listener(
    lambda response_time, exception, **_: print(
        kind_of(exception, None), 500 <= response_time < 1900
    )
)
request = RequestSpec(name="stuck", method="POST", path="/stuck", weight=1, timeout=0.5)
address = "http://127.0.0.1:%d" % listener.getsockname()[1]
send(session(events.request, request.timeout), address, request)
gevent.sleep(0.2)
print(len(accepted))
"""


def test_a_request_without_an_answer_is_sent_once_and_fails_by_its_timeout():
    words = [sys.executable, "-c", SCRIPT]
    found = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.split() == ["timeout", "True", "1"]
