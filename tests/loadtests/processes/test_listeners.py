"""The process that takes the connections to a port: this one, or another."""

import os
import socket
import subprocess
import sys

import pytest

from loadtests.processes import listeners
from loadtests.processes.listeners import stranger

HERE = os.getpid()
LISTEN = """
import socket, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
time.sleep(600)
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_listener_of_an_own_process_is_not_foreign(host):
    with socket.create_server((host, 0)) as listener:
        port = listener.getsockname()[1]
        assert stranger("127.0.0.1", port, [HERE]) is None
        assert stranger("127.0.0.1", port, [os.getppid(), HERE]) is None


@linux
def test_a_listener_of_another_process_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert stranger("127.0.0.1", port, []).startswith(f"process {HERE} (")
        assert stranger("127.0.0.1", port, [os.getppid()]).startswith(f"process {HERE} (")


def test_a_port_at_which_nothing_is_seen_belongs_to_no_own_process():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        for one in (port, bound.getsockname()[1]):
            assert stranger("127.0.0.1", one, [HERE]) == "no process that brownout can see"


@linux
def test_without_a_list_of_sockets_no_listener_is_foreign(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert stranger("127.0.0.1", port, []) is not None
        monkeypatch.setattr(listeners, "_listening", lambda *_: set())
        assert stranger("127.0.0.1", port, []) is None
        monkeypatch.undo()
        monkeypatch.setattr(listeners, "open_sockets", lambda _: set())
        assert stranger("127.0.0.1", port, []) is None


@linux
@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_a_listener_of_all_ipv6_addresses_takes_those_of_ipv4_unless_one_is_closer():
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        assert stranger("127.0.0.1", port, [HERE]) is None
        assert stranger("::1", port, [HERE]) is None
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6) as six,
        socket.create_server(("127.0.0.1", six.getsockname()[1])) as four,
    ):
        inodes = {one: {str(os.fstat(one.fileno()).st_ino)} for one in (four, six)}
        assert listeners._listening("127.0.0.1", six.getsockname()[1]) == inodes[four]
        assert listeners._listening("::1", six.getsockname()[1]) == inodes[six]


@linux
def test_of_several_listeners_that_share_a_port_all_must_be_own():
    def shared(port: int) -> socket.socket:
        return socket.create_server(("127.0.0.1", port), reuse_port=True)

    with shared(0) as one:
        port = one.getsockname()[1]
        with shared(port):
            assert len(listeners._listening("127.0.0.1", port)) == 2
            assert stranger("127.0.0.1", port, [HERE]) is None
            assert stranger("127.0.0.1", port, [os.getppid()]) is not None


@pytest.mark.processes
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_child_that_listens_is_found_on_every_platform(monkeypatch, platform):
    if platform == "linux" != sys.platform:
        pytest.skip("reads /proc")
    monkeypatch.setattr(sys, "platform", platform)
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN], stdout=subprocess.PIPE, encoding="utf-8"
    ) as one:
        try:
            port = int(one.stdout.readline())
            assert stranger("127.0.0.1", port, [one.pid]) is None
            assert stranger("127.0.0.1", port, [HERE]) is not None
            assert stranger("127.0.0.1", port, [HERE, one.pid]) is None
        finally:
            one.kill()
