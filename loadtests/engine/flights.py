"""The requests that are on their way, and the end of those that take too long."""

from time import perf_counter

import gevent
from gevent.event import Event

from loadtests.engine.connection import ClientConnection

TICK = 0.02  # seconds between two looks at who is late: a timeout is at most so much longer


Flight = tuple[str, float, ClientConnection, float, float]
"""
Name of the request; its start, which is the intended one in the open model; connection; departure
(these two in seconds, `perf_counter`); timeout in seconds.
"""


class Flights:
    """
    Every request from its departure to its return.

    One look at all of them takes the place of a timer for each: a timer costs more than the rest
    of what is done for a request.
    """

    def __init__(self) -> None:
        self._flying: dict[int, Flight] = {}  # the oldest first
        self._departed = 0
        self._shortest = 0.0  # seconds, the least timeout of a request
        self._landed = Event()
        self._landed.set()
        self._watching: gevent.Greenlet[..., None] | None = None

    def __len__(self) -> int:
        return len(self._flying)

    def watch(self, shortest: float) -> None:
        """
        End what takes too long, until `unwatch`.

        Args:
            shortest: the least timeout of the requests to come; seconds.
        """
        self.unwatch()
        self._shortest = shortest
        self._watching = gevent.spawn(self._watch)

    def unwatch(self) -> None:
        if self._watching is not None:
            self._watching.kill()
            self._watching = None

    def departs(self, name: str, start: float, connection: ClientConnection, timeout: float) -> int:
        """Returns the number that `returns` takes when the request has ended."""
        self._departed = number = self._departed + 1
        self._flying[number] = (name, start, connection, perf_counter(), timeout)
        self._landed.clear()
        return number

    def returns(self, number: int) -> None:
        del self._flying[number]
        if not self._flying:
            self._landed.set()

    def wait(self, timeout: float) -> None:
        """Wait `timeout` seconds for the last one."""
        self._landed.wait(timeout)

    def within(self, begin: float, end: float) -> list[Flight]:
        """The flights that started in [begin, end); seconds, `perf_counter`."""
        return [one for one in self._flying.values() if begin <= one[1] < end]

    def _watch(self) -> None:
        while True:
            gevent.sleep(TICK)
            now = perf_counter()
            for _, _, connection, departed, timeout in self._flying.values():
                if departed + self._shortest > now:
                    break  # all others departed later
                if departed + timeout <= now:
                    connection.expire()
