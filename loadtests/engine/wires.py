"""Bytes to and from a peer: TCP by watchers that live as long as the connection, and TLS."""

from contextlib import suppress
from typing import Any, Protocol

import gevent.socket
from gevent import getcurrent
from gevent.hub import get_hub
from gevent.monkey import get_original

_Socket: Any = get_original("socket", "socket")  # waits for nothing: the watchers here do
_Poll: Any = get_original("select", "poll")
_READ, _WRITE = 1, 2  # libev's EV_READ and EV_WRITE
_POLLIN = 1
_CHUNK = 65_536  # bytes that are read at a time


class Wire(Protocol):
    """A connection; `send` and `receive` let other greenlets run, and raise OSError."""

    def send(self, data: bytes | memoryview) -> bytes | memoryview:
        """
        Send, and return what is left.

        Something is left only if bytes came before all was sent: a peer can answer early.
        """

    def receive(self) -> bytes:
        """The next bytes; none at the end of the stream."""

    def readable(self) -> bool:
        """Whether bytes or the end of the stream have come, which nobody waited for."""

    def abort(self) -> None:
        """End the stream for the greenlet that waits on it."""

    def close(self) -> None: ...


class Plain:
    """
    TCP.

    Args:
        descriptor: of a connected socket, which this object takes over.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = _Socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._hub: Any = get_hub()
        self._reading = self._hub.loop.io(descriptor, _READ)
        self._send, self._receive = self._socket.send, self._socket.recv
        self._poll = _poll_of(descriptor)

    def send(self, data: bytes | memoryview) -> bytes | memoryview:
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        return b"" if sent == len(data) else self._send_rest(memoryview(data)[sent:])

    def _send_rest(self, rest: memoryview) -> memoryview:
        watcher = self._hub.loop.io(self._socket.fileno(), _READ | _WRITE)
        try:
            while rest:
                self._wait(watcher)
                try:
                    rest = rest[self._send(rest) :]
                except BlockingIOError:
                    if self.readable():
                        break
            return rest
        finally:
            watcher.close()

    def receive(self) -> bytes:
        while True:
            # An answer is hardly ever there already: asking first would cost an exception.
            self._wait(self._reading)
            try:
                came: bytes = self._receive(_CHUNK)
            except BlockingIOError:
                continue
            return came

    def _wait(self, watcher: Any) -> None:
        watcher.start(getcurrent().switch)
        try:
            self._hub.switch()
        finally:
            watcher.stop()

    def readable(self) -> bool:
        return bool(self._poll(0))

    def abort(self) -> None:
        _shut(self._socket)

    def close(self) -> None:
        self._reading.close()
        self._socket.close()


class Secured:
    """
    TLS, by gevent's own sockets, which cost more.

    Args:
        connected: a gevent.ssl.SSLSocket after its handshake.
    """

    def __init__(self, connected: Any) -> None:
        self._socket = connected
        self._poll = _poll_of(connected.fileno())

    def send(self, data: bytes | memoryview) -> bytes:
        self._socket.sendall(data)
        return b""

    def receive(self) -> bytes:
        came: bytes = self._socket.recv(_CHUNK)
        return came

    def readable(self) -> bool:
        return self._socket.pending() > 0 or bool(self._poll(0))

    def abort(self) -> None:
        _shut(self._socket)

    def close(self) -> None:
        self._socket.close()


def _poll_of(descriptor: int) -> Any:
    poll = _Poll()
    poll.register(descriptor, _POLLIN)
    return poll.poll


def _shut(made: Any) -> None:
    with suppress(OSError):  # the peer was faster
        made.shutdown(gevent.socket.SHUT_RDWR)
