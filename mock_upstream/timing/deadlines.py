"""
Wake at an absolute time, to a tenth of a millisecond, and never early.

Event loops cannot: uvloop rounds timers to whole milliseconds (and may fire up to one early),
asyncio's epoll rounds up by one or two when idle and by less when busy, so a mock built on
their timers would get faster as the load rises. One timerfd for all deadlines has no such bias.
Times are those of `time.monotonic()`, in seconds.
"""

import asyncio
import heapq
import os
import time
from collections.abc import Callable
from itertools import count

from mock_upstream.timing import timerfd

EXACT = timerfd.AVAILABLE
"""Whether deadlines are kept by timerfd; elsewhere by the event loop's own, coarser timers."""


class Deadlines:
    """All that is waited for on one event loop; made and used on that loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()  # breaks ties: futures have no order
        self._alarm: _TimerFd | _LoopTimer = (_TimerFd if EXACT else _LoopTimer)(self._due)
        self._armed = float("inf")
        self._called_off = 0

    def at(self, when: float) -> asyncio.Future[None]:
        """A future that is done once `when` has passed; setting it earlier calls the wait off."""
        future = self._loop.create_future()
        heapq.heappush(self._heap, (when, next(self._order), future))
        if when < self._armed:
            self._armed = when
            self._alarm.set(when)
        return future

    def call_at(self, when: float, function: Callable[[], None]) -> None:
        """Call `function` once `when` has passed."""
        self.at(when).add_done_callback(lambda _: function())

    def called_off(self) -> None:
        """One that `at` gave was done early: its place is kept until most places are such."""
        self._called_off += 1
        if self._called_off > 1000 and 2 * self._called_off > len(self._heap):
            self._called_off = 0
            self._heap = [entry for entry in self._heap if not entry[2].done()]
            heapq.heapify(self._heap)

    def close(self) -> None:
        self._alarm.close()

    def _due(self) -> None:
        heap, now = self._heap, time.monotonic()
        while heap and heap[0][0] <= now:
            future = heapq.heappop(heap)[2]
            if not future.done():
                future.set_result(None)
        self._armed = heap[0][0] if heap else float("inf")
        if heap:
            self._alarm.set(self._armed)


class _TimerFd:
    """One timerfd, watched by the loop."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._fd = timerfd.create()
        self._loop.add_reader(self._fd, self._read)

    def set(self, when: float) -> None:
        timerfd.set_to(self._fd, when)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _read(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # set again between the loop's poll and this call
            return
        self._ring()


class _LoopTimer:
    """The event loop's timer; `_due` sets it again where it fired early."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        self.close()
        # A whole millisecond at least: uvloop takes less for "now" and would spin.
        delay = max(when - time.monotonic(), 0.001)
        self._handle = self._loop.call_later(delay, self._ring)

    def close(self) -> None:
        if self._handle:
            self._handle.cancel()
