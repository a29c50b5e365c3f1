"""
A small open-loop driver: requests leave at their times, whatever the answers do.

Each waits on a connection of its own, kept for the next one, so that no answer delays a request.
"""

import asyncio
import gc
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from random import Random
from time import monotonic
from typing import cast
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

from mock_upstream.timing.deadlines import Deadlines
from mock_upstream.timing.event_loop import allow_connections, new_event_loop


@dataclass(slots=True)
class DriverCounts:
    """One request as its client saw it; all times are monotonic seconds."""

    question: int
    """Which of the questions it was."""
    intended: float
    sent: float = float("nan")
    ended: float = float("nan")
    """When the answer was there, to its last byte."""
    status: int = 0
    """0: no whole answer came."""
    server_timing: bytes = b""

    def timing(self) -> dict[str, float]:
        """Seconds by name, of the answer's Server-Timing header."""
        found = {}
        for metric in self.server_timing.split(b","):
            name, *parameters = metric.strip().split(b";")
            for parameter in parameters:
                if parameter.startswith(b"dur="):
                    found[name.decode()] = float(parameter[4:]) / 1e3
        return found


def question(address: str, method: str, path: str) -> bytes:
    """A request without a body, as bytes."""
    return f"{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\n\r\n".encode()


def drive(
    url: str,
    questions: Sequence[bytes],
    rate: float,
    seconds: float,
    *,
    connections: int,
    timeout: float,
) -> list[DriverCounts]:
    """
    Ask the questions in turns at Poisson arrivals of the same seed, and wait for the answers.

    Args:
        rate: requests per second.
        connections: opened before the first request; more are opened when these do not suffice.
        timeout: seconds to wait for answers after the last request; those that come later are
            given up, and their connections closed.
    """
    allow_connections()
    gc.collect()
    gc.disable()  # what one run keeps is bounded, and a collection would make requests late
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(_Driver(url, questions).drive(rate, seconds, connections, timeout))
    finally:
        gc.enable()


class _Driver:
    def __init__(self, url: str, questions: Sequence[bytes]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._questions = questions
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._owed = 0
        self._all_answered = asyncio.Event()

    async def drive(
        self, rate: float, seconds: float, connections: int, timeout: float
    ) -> list[DriverCounts]:
        deadlines = Deadlines()
        with suppress(OSError):  # more than the system allows; those beyond will be missed
            for _ in range(connections):
                self._idle.append(await self._connect())
        random, turns = Random(0), cycle(range(len(self._questions)))
        seen = []
        opening = set()
        now = monotonic()
        when, last = now, now + seconds
        while (when := when + random.expovariate(rate)) < last:
            # Behind its times it goes on at once, but lets answers in.
            await (deadlines.at(when) if when > monotonic() else asyncio.sleep(0))
            one = DriverCounts(next(turns), when)
            seen.append(one)
            self._owed += 1
            if self._idle:
                self._idle.pop().ask(one, self._questions[one.question])
            else:
                task = asyncio.create_task(self._ask_again(one))
                opening.add(task)
                task.add_done_callback(opening.discard)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._owed:
                    self._all_answered.clear()
                    await self._all_answered.wait()
        for task in opening:
            task.cancel()
        for connection in list(self._open):
            connection.close()
        deadlines.close()
        return seen

    async def _ask_again(self, one: DriverCounts) -> None:
        try:
            connection = await self._connect()
        except OSError:
            self.settled()
        else:
            connection.ask(one, self._questions[one.question])

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self), self._host, self._port
        )
        return connection

    def opened(self, connection: "_Connection") -> None:
        self._open.add(connection)

    def closed(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def settled(self, idle: "_Connection | None" = None) -> None:
        """A request has its answer, or will never have one."""
        self._owed -= 1
        if idle:
            self._idle.append(idle)
        if not self._owed:
            self._all_answered.set()


class _Connection(asyncio.Protocol):
    """One request at a time; calls itself back from httptools."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver
        self._asking: DriverCounts | None = None
        self._transport: asyncio.Transport
        self._parser: HttpResponseParser

    def ask(self, one: DriverCounts, data: bytes) -> None:
        self._asking = one
        self._parser = HttpResponseParser(self)
        one.sent = monotonic()
        self._transport.write(data)

    def close(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._driver.opened(self)

    def data_received(self, data: bytes) -> None:
        if not self._asking:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._driver.closed(self)
        if self._asking:
            self._asking = None
            self._driver.settled()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"server-timing" and self._asking:
            self._asking.server_timing = value

    def on_message_complete(self) -> None:
        one = self._asking
        if one:
            one.ended = monotonic()
            one.status = self._parser.get_status_code()
            self._asking = None
            keep = self._parser.should_keep_alive()
            self._driver.settled(self if keep else None)
            if not keep:
                self.close()
