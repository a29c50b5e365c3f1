"""The controller's end of the line: the engine as a process, its messages as a stream."""

import json
import secrets
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Protocol, Self

from loadtests.environment import LOCUST_WORDS, SAID
from loadtests.exit_codes import NOT_MEASURABLE, USAGE, Failure
from loadtests.processes.affinity import Cores
from loadtests.processes.groups import ProcessGroup, ended_with, stop, uninterrupted
from loadtests.recording import messages

CONNECTING = 120.0  # seconds that Locust may take to start; one that fails ends, and is seen
ENDING = 1.0  # seconds between the end of its connection and that of its process
POLL = 0.2  # seconds between two looks at whether it is alive
SENDING = 10.0  # seconds that the engine may take to read what is sent
LONGEST_HELLO = 1 << 16  # bytes
MOST_CALLERS = 16  # that have not sent their first line yet


class Engine(Protocol):
    """What plays stages: Locust over a socket, or a simulation with known truth."""

    def send(self, message: messages.Message) -> None: ...

    def receive(self, timeout: float | None) -> Any:
        """
        The next message. Raises EngineFailed when none comes in `timeout` seconds (None: wait for
        ever), or when the engine is gone.
        """


class LocustfileError(Failure):
    """The user's locustfile cannot be played; the message says why, and where."""

    exit_code = USAGE


class EngineFailed(Failure):
    """The engine ended, fell silent or never came up; the message says which and where to look."""

    exit_code = NOT_MEASURABLE


class ControllerSocket:
    """A loopback socket at which exactly one engine, with the token, may call."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._caller: socket.socket | None = None
        self._buffer = b""
        self._sending = threading.Lock()
        self.ended: Callable[[], str | None] = lambda: None
        """How the process at the other end has ended; None: it has not, or that is not known."""

    @property
    def address(self) -> str:
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def accept(self, alive: Callable[[], bool] = lambda: True) -> messages.Hello:
        """
        Wait for the engine to call; returns what it says of itself.

        Raises:
            EngineFailed: it is no longer alive, or did not call in time.
        """
        deadline = monotonic() + CONNECTING
        self._listener.settimeout(POLL)  # a caller may be gone before it is accepted
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            try:
                while monotonic() < deadline and alive():
                    for key, _ in selector.select(POLL):
                        if key.fileobj is self._listener:
                            self._admit(selector)
                        elif key not in selector.get_map().values():
                            continue  # it was dismissed for another
                        elif hello := self._heard(selector, key):
                            return hello
            finally:
                for caller in _callers(selector):
                    _dismiss(selector, caller)
        raise self._lost("the load generator did not come up", 0.0)

    def _admit(self, selector: selectors.BaseSelector) -> None:
        """Accept one more caller; when there are too many, the first one is dismissed."""
        try:
            caller, _ = self._listener.accept()
        except (TimeoutError, ConnectionError):
            return
        waiting = _callers(selector)
        if len(waiting) >= MOST_CALLERS:
            _dismiss(selector, waiting[0])
        caller.settimeout(0)
        selector.register(caller, selectors.EVENT_READ, bytearray())

    def _heard(
        self, selector: selectors.BaseSelector, key: selectors.SelectorKey
    ) -> messages.Hello | None:
        """
        Read from a caller. Returns the Hello of the engine, which has the token; a caller that
        sends anything else is dismissed.
        """
        caller, heard = key.fileobj, key.data
        assert isinstance(caller, socket.socket)
        with suppress(OSError):
            received = caller.recv(LONGEST_HELLO)
            heard += received
            if received and len(heard) <= LONGEST_HELLO and b"\n" not in heard:
                return None
        line, end, rest = bytes(heard).partition(b"\n")
        hello = None
        with suppress(ValueError):
            hello = messages.decode(line)
        if not end or not isinstance(hello, messages.Hello) or not self._is_engine(hello):
            _dismiss(selector, caller)
            return None
        selector.unregister(caller)
        caller.settimeout(SENDING)
        self._caller, self._buffer = caller, rest
        return hello

    def _is_engine(self, hello: messages.Hello) -> bool:
        return secrets.compare_digest(hello.token.encode(), self.token.encode())

    def send(self, message: messages.Message) -> None:
        assert self._caller is not None
        try:
            with self._sending:
                self._caller.sendall(messages.encode(message))
        except OSError as error:
            raise self._lost("the load generator is gone") from error

    def _lost(self, text: str, seconds: float = ENDING) -> EngineFailed:
        """The text with how the process ended, if it has, or does within some seconds."""
        deadline = monotonic() + seconds
        while (how := self.ended()) is None and monotonic() < deadline:
            sleep(POLL / 4)
        return EngineFailed(f"{text}{f': it {how}' if how else ''}")

    def receive(self, timeout: float | None) -> Any:
        assert self._caller is not None
        while b"\n" not in self._buffer:
            self._caller.settimeout(timeout)
            try:
                received = self._caller.recv(1 << 16)
            except TimeoutError:
                raise EngineFailed(
                    f"the load generator has been silent for {timeout or 0:.0f} s"
                ) from None
            except OSError:
                received = b""
            if not received:
                raise self._lost("the load generator is gone")
            self._buffer += received
        line, self._buffer = self._buffer.split(b"\n", 1)
        return messages.decode(line)

    def close(self) -> None:
        if self._caller is not None:
            self._caller.close()
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _callers(selector: selectors.BaseSelector) -> list[socket.socket]:
    """Return the callers that have not sent their first line yet, in the order of connection."""
    keys = selector.get_map().values()
    return [key.fileobj for key in keys if key.data is not None]  # type: ignore[misc]


def _dismiss(selector: selectors.BaseSelector, caller: socket.socket) -> None:
    selector.unregister(caller)
    caller.close()


@contextmanager
def engine(
    line: ControllerSocket,
    plan: Path,
    log: Path,
    cores: Cores,
    arguments: Sequence[str],
    more: Sequence[str] = (),
) -> Iterator[Callable[[], messages.Hello]]:
    """
    Locust with our locustfile, for the length of the block.

    Args:
        plan: the resolved plan that it plays.
        log: takes what it prints.
        arguments: Locust's own, such as --headless.
        more: words of its command line that may be secret.

    Yields:
        A function that waits until it is connected to the line, and returns what it says of itself.

    Raises:
        EngineFailed: it did not come up, or is lost; the message has its last words.
        LocustfileFailed: it did not come up, and has said what is wrong with the locustfile or its
            options.
    """
    locustfile = Path(__file__).parents[1] / "locustfile.py"
    words = [sys.executable, "-P", "-m", "loadtests.engine", "-f", str(locustfile), *arguments]
    env = {
        "BROWNOUT_LINK": line.address,
        "BROWNOUT_TOKEN": line.token,
        "BROWNOUT_PLAN": str(plan),
        LOCUST_WORDS: json.dumps(list(more)),
    }
    groups: list[ProcessGroup] = []
    hello: messages.Hello | None = None

    def connected() -> messages.Hello:
        nonlocal hello
        hello = line.accept(lambda: group.ended() is None)
        return hello

    try:
        # A signal that comes meanwhile raises at the end of the block, when the group is known.
        with uninterrupted(), cores.pinned_to(cores.generator):
            group = ProcessGroup(words, env, None, log)
            groups.append(group)
            line.ended = group.ended
        yield connected
    except EngineFailed as error:
        if hello is None and group.ended() == ended_with(USAGE):
            if said := group.said(SAID):
                raise LocustfileError(f"{said}\nThe whole log: {log}") from error
            raise LocustfileError(
                f"Locust cannot play this locustfile with these options.{group.last_words()}"
            ) from error
        raise EngineFailed(f"{error}.{group.last_words()}") from error
    finally:
        with uninterrupted():
            stop(groups)
