"""
Wake at an absolute time, to a tenth of a millisecond, and never early.

Event loops cannot: uvloop rounds timers to whole milliseconds (and may fire up to one early),
asyncio's epoll rounds up by one or two when idle and by less when busy, so a mock built on
their timers would get faster as the load rises. One timerfd for all deadlines has no such bias.
Times are those of `time.monotonic()`, in seconds.
"""

import asyncio
import ctypes
import heapq
import os
import struct
import sys
import time
from collections.abc import Callable
from functools import cache
from itertools import count

EXACT = sys.platform == "linux"
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
        self._fd = _timerfd_create()
        self._loop.add_reader(self._fd, self._read)

    def set(self, when: float) -> None:
        # Zero would disarm it; a time in the past rings at once.
        _timerfd_settime(self._fd, max(int(when * 1e9), 1))

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


if sys.version_info >= (3, 13):

    def _timerfd_create() -> int:
        return os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

    def _timerfd_settime(fd: int, nanoseconds: int) -> None:
        os.timerfd_settime_ns(fd, flags=os.TFD_TIMER_ABSTIME, initial=nanoseconds)

else:
    _TFD_TIMER_ABSTIME = 1

    @cache
    def _libc() -> ctypes.CDLL:
        return ctypes.CDLL(None, use_errno=True)

    def _timerfd_create() -> int:
        fd: int = _libc().timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        return fd

    def _timerfd_settime(fd: int, nanoseconds: int) -> None:
        # struct itimerspec: no interval, then the time; `long` has the machine's width.
        new = struct.pack("llll", 0, 0, *divmod(nanoseconds, 1_000_000_000))
        if _libc().timerfd_settime(fd, _TFD_TIMER_ABSTIME, new, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")
