"""How late timers wake: what a generator that is busy, or held up, adds to response times."""

from time import perf_counter

import gevent

from loadtests.recording.histograms import Histogram
from loadtests.recording.messages import TICK, Lateness
from loadtests.recording.slices import LENGTH


class Lag:
    """Looks at a timer every TICK seconds of a stage; `times` holds how late it was each time."""

    def __init__(self, at: float) -> None:
        """
        Args:
            at: when the stage began (seconds, this process's `perf_counter`).
        """
        self.times = Histogram()
        self._at = at
        self._quarters: dict[int, tuple[float, float]] = {}

    def watch(self) -> None:
        """Measure the lag of the loop until the greenlet is killed."""
        while True:
            due = perf_counter() + TICK
            gevent.sleep(TICK)
            self.record(due, perf_counter() - due)

    def record(self, due: float, late: float) -> None:
        self.times.record(late)
        index = max(int((due - self._at) / LENGTH), 0)
        total, worst = self._quarters.get(index, (0.0, 0.0))
        self._quarters[index] = total + max(late, 0.0), max(worst, late)

    def quarters(self) -> tuple[Lateness, ...]:
        """What each quarter second of the stage showed, in order."""
        return tuple(
            Lateness(index=index, late=round(late, 6), worst=round(worst, 6))
            for index, (late, worst) in sorted(self._quarters.items())
        )
