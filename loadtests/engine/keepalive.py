"""Kept connections of Locust's own FastHttpUser above 1023 descriptors."""

import select
from typing import Any

import gevent.monkey
from geventhttpclient.connectionpool import ConnectionPool

from loadtests.processes import open_files

# gevent's own poll would yield to other users in the middle of a request.
_poll = gevent.monkey.get_original("select", "poll")


def _is_socket_alive(self: ConnectionPool, sock: Any) -> bool:
    if sock is None or sock.fileno() < 0:
        return False
    poll = _poll()
    poll.register(sock.fileno(), select.POLLIN)
    # An idle connection has nothing to say: readable means closed, or an answer nobody asked for.
    return not poll.poll(0)


def install() -> None:
    """
    Let connections be reused above 1023 descriptors, and allow as many as a level may need.

    geventhttpclient 2.6.1 asks `select` whether a kept connection is alive; `select` knows no
    descriptor above 1023, the error counts as "dead", and every request opens a new connection.
    """
    ConnectionPool._is_socket_alive = _is_socket_alive  # type: ignore[method-assign]
    open_files.raise_limit()
