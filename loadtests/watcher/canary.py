"""
A fixed piece of work, in which CPU time can be counted: a core that does it slower does all slower.

The same loop took 1.25 to 1.85 ms within minutes on a core that was shared; clock, neighbours and
the other thread of a physical core make such a difference. It is comparable between runs of the
same version of Python.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress

TURNS = 10_000  # of the loop, about a millisecond; results of another number are not comparable
EVERY = 1.0  # seconds between two on the same core
MOST = 32  # cores


class Canary:
    """Does the work on each core in turn, and then goes back to where this thread ran before."""

    def __init__(self, cores: Sequence[int]) -> None:
        """
        Args:
            cores: those that are of interest; empty where a thread cannot choose one.
        """
        self._cores: list[int | None] = [*cores[:MOST]] or [None]
        self._next = 0
        for _ in range(3):  # the interpreter specialises what it runs often
            work()

    @property
    def interval(self) -> float:
        """Seconds from one core to the next."""
        return EVERY / len(self._cores)

    def lap(self) -> tuple[int | None, float]:
        """Return the core and the seconds of CPU that the work took there."""
        core = self._cores[self._next % len(self._cores)]
        self._next += 1
        if core is None:
            return None, work()
        before = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {core})
        except OSError:  # it was taken from this process meanwhile
            return None, work()
        try:
            return core, work()
        finally:
            with suppress(OSError):
                os.sched_setaffinity(0, before)


def work() -> float:
    """Return the seconds of CPU, not of the clock, that the work takes."""
    begin = time.thread_time_ns()
    value = 0
    for turn in range(TURNS):
        value = (value * 31 + turn) & 0xFFFFFF
    return (time.thread_time_ns() - begin) / 1e9
