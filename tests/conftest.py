"""What several tests need."""

import socket

import pytest


@pytest.fixture
def free_port() -> int:
    """A loopback port that nobody listens on."""
    return a_free_port()


@pytest.fixture
def other_port() -> int:
    """Another one."""
    return a_free_port()


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
