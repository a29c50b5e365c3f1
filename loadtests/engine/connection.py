"""
Requests and answers of HTTP/1.1 (RFC 9112) on one kept connection.

No layer builds objects that nobody asks for: a request is one write, one wait, and one read.
"""

from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol
from urllib.parse import urlsplit

import gevent
import gevent.socket
import gevent.ssl

from loadtests import tls
from loadtests.engine.answers import AnswerParser, Sink
from loadtests.engine.failures import RequestFailed
from loadtests.engine.wires import Plain, Secured, Wire
from loadtests.recording.messages import Trust


@dataclass(slots=True)
class Reconnections:
    """
    Kept connections of this process that turned out closed and were opened again, and requests that
    were sent a second time since the first one was lost with its connection.
    """

    reopened: int = 0
    resent: int = 0


RECONNECTIONS = Reconnections()


class Endpoint:
    """
    Where a stage's requests go: name and addresses are looked up once.

    `reopened` counts kept connections that turned out closed and were opened again.

    Args:
        target: URL of a deployment; a path in it comes before each request's path.
        trust: whether, and with what, its certificate is checked.
    """

    def __init__(self, target: str, trust: Trust = Trust()) -> None:  # noqa: B008
        parts = urlsplit(target)
        self.target = target
        self.prefix = parts.path.rstrip("/")
        self.authority = parts.netloc
        if not self.authority.isascii():
            with suppress(UnicodeError):  # then `resolve` fails, too
                self.authority = self.authority.encode("idna").decode("ascii")
        self.reopened = 0
        self._origin = parts.scheme, parts.netloc
        self._host = parts.hostname or ""
        secured = parts.scheme == "https"
        self._tls = tls.context(trust.verify, trust.ca, gevent.ssl) if secured else None
        self._port = parts.port or (443 if self._tls else 80)
        self._found: list[Any] | OSError = []

    def resolve(self) -> None:
        """Look the name up; what fails here fails each request that needs a connection."""
        try:
            self._host.encode("idna")  # here, for gevent prints what fails in its thread
            self._found = gevent.socket.getaddrinfo(
                self._host, self._port, type=gevent.socket.SOCK_STREAM
            )
        except OSError as error:
            self._found = error
        except UnicodeError as error:  # a label that is too long, say
            self._found = gevent.socket.gaierror(f"{self._host!r:.99} is not a host name: {error}")

    def holds(self, url: str) -> bool:
        """Whether a URL is one of this scheme, host and port."""
        parts = urlsplit(url)
        return (parts.scheme, parts.netloc) == self._origin

    def connect(self, deadline: float) -> Wire:
        """
        A new connection to the first address that accepts one.

        Args:
            deadline: for all addresses together, TLS included; seconds, `perf_counter`.

        Raises:
            OSError: none does.
        """
        if isinstance(self._found, OSError):
            raise self._found
        refused: OSError = OSError("the host has no address")
        for family, kind, protocol, _, address in self._found:
            made = gevent.socket.socket(family, kind, protocol)
            try:
                made.settimeout(max(deadline - perf_counter(), 0.001))
                made.connect(address)
                made.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
                if self._tls is None:
                    return Plain(made.detach())
                made.settimeout(max(deadline - perf_counter(), 0.001))
                secured = self._tls.wrap_socket(made, server_hostname=self._host)
                secured.settimeout(None)
                return Secured(secured)
            except OSError as error:
                refused = error
                made.close()
            except BaseException:
                made.close()
                raise
        raise refused


class PreparedRequest(Protocol):
    """
    What is sent, again and again.

    `timeout`: seconds until its answer must be complete. A connection is made within them;
    `Connection.expire` must be called for the rest.
    `safe`: it can be sent twice.
    `bodiless`: its answer has no body, whatever the headers say: HEAD.
    """

    timeout: float
    safe: bool
    bodiless: bool

    def data(self) -> bytes:
        """The whole request, to be sent now."""

    def sink(self, answer: AnswerParser) -> Sink | None:
        """What takes the body of the answer; None: nothing does."""


class ClientConnection:
    """
    Sends one request at a time, and is opened when it is needed.

    A kept connection that turns out closed is opened again. The request is sent once more only if
    not a byte of its answer came and its method is safe (RFC 9110, 9.2.1).
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.answered = 0.0
        """When the last answer was complete (seconds, `perf_counter`)."""
        self._wire: Wire | None = None
        self._answer = AnswerParser()
        self._late = False

    def exchange(self, request: PreparedRequest) -> AnswerParser:
        """
        Send a request and read its answer, which is valid until the next call.

        Raises:
            RequestFailed, OSError: there was no answer.
        """
        self._late = False
        deadline = perf_counter() + request.timeout
        if self._wire is not None and self._wire.readable():
            # It was closed, or holds what no request asked for, which is not to be taken for an
            # answer of this one.
            self.close()
            self.endpoint.reopened += 1
            RECONNECTIONS.reopened += 1
        kept = self._wire is not None
        while True:
            try:
                return self._exchange(request, deadline)
            except (RequestFailed, OSError) as error:
                self.close()
                if self._late:
                    raise TimeoutError("no complete answer in time") from error
                if not (kept and request.safe and self._answer.untouched):
                    raise
            except BaseException:
                self.close()  # killed in the middle
                raise
            kept = False
            self.endpoint.reopened += 1
            RECONNECTIONS.reopened += 1
            RECONNECTIONS.resent += 1

    def _exchange(self, request: PreparedRequest, deadline: float) -> AnswerParser:
        wire, answer = self._wire, self._answer
        if wire is None:
            answer = self._answer = AnswerParser()
            try:
                wire = self._wire = self.endpoint.connect(deadline)
            except OSError:
                gevent.sleep(0)  # what fails without any wait must let others run
                raise
        elif answer.bodiless:
            answer = self._answer = AnswerParser()  # its parser still waits for the body of a HEAD
        answer.begin(request.bodiless, request.sink(answer))
        rest: bytes | memoryview = request.data()
        refused = False
        while not answer.done:
            if rest and not refused:
                try:
                    rest = wire.send(rest)
                except OSError:
                    refused = True  # there can be an answer that says why
            came = wire.receive()
            if came:
                answer.feed(came)
            elif self._late:
                raise TimeoutError
            else:
                answer.end()
        if rest or not answer.reusable:
            self.close()
        return answer

    def expire(self) -> None:
        """Let the request that is on its way fail as one that took too long."""
        self._late = True
        if self._wire is not None:
            self._wire.abort()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None
