"""Linux's timer that is a file: any event loop can wait for it, to some microseconds."""

import ctypes
import os
import struct
import sys
import time
from functools import cache

AVAILABLE = sys.platform == "linux"

if sys.version_info >= (3, 13):

    def create() -> int:
        """The descriptor of a timer that is not set; it does not block. Raises OSError."""
        return os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

    def _settime(fd: int, nanoseconds: int) -> None:
        os.timerfd_settime_ns(fd, flags=os.TFD_TIMER_ABSTIME, initial=nanoseconds)

else:
    _TFD_TIMER_ABSTIME = 1

    @cache
    def _libc() -> ctypes.CDLL:
        return ctypes.CDLL(None, use_errno=True)

    def create() -> int:
        """The descriptor of a timer that is not set; it does not block. Raises OSError."""
        fd: int = _libc().timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        return fd

    def _settime(fd: int, nanoseconds: int) -> None:
        # struct itimerspec: no interval, then the time; `long` has the machine's width.
        new = struct.pack("llll", 0, 0, *divmod(nanoseconds, 1_000_000_000))
        if _libc().timerfd_settime(fd, _TFD_TIMER_ABSTIME, new, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")


def set_to(fd: int, when: float) -> None:
    """
    Let the descriptor become readable at `when` (seconds, `time.monotonic()`), never before.

    Until then it is not, even if it was.
    """
    # Zero would disarm it; a time in the past rings at once.
    _settime(fd, max(int(when * 1e9), 1))
