"""Which requests are stamped, so that the service traces them: a few a second."""

import random
from collections import deque
from time import perf_counter

from loadtests.engine.arrivals import GeneratorShare
from loadtests.recording.messages import RequestSpec, Stage
from loadtests.recording.server_timing import SENT
from loadtests.recording.slices import LENGTH

TARGET = 30.0
"""
Requests to stamp in a second, of all generators together. To trace one takes a service 0.3 ms at
most, so this is 1 % of a core; and from 600 requests a second on it is 5 % of them or less.
"""
RECENT = 1.0  # seconds over which the rate of requests is taken
GROWTH = 2.0  # times the share before: after a pause a crowd is not stamped as if it were few
_FIRST = LENGTH / 64  # seconds to the first look at the rate, of which nothing is known before


class Coin:
    """
    Says of each request, before it is sent, whether it is stamped.

    The chance follows the rate at which this generator sends, and never what was answered: traced
    requests are a sample of all. It changes with the quarter seconds of the stage, so that within
    one slice it is the same for all.

    `share` is the chance now.
    """

    __slots__ = ("_draw", "_due", "_looks", "_origin", "_target", "_tossed", "share")

    def __init__(self, stage: Stage, share: GeneratorShare) -> None:
        self._draw = random.Random(
            f"stamps/{stage.seed}/{stage.number}/{share.index}/{share.of}"
        ).random
        self._target = TARGET / share.of
        self.begin(perf_counter())

    def begin(self, at: float) -> None:
        """Start the stage `at` (seconds, `perf_counter`)."""
        self._origin = at
        self._due = at + _FIRST
        self._tossed = 0
        self._looks = deque([(at, 0)])
        self.share = 1.0

    def toss(self, now: float) -> bool:
        """Whether the request that is sent `now` (`perf_counter`) is stamped."""
        if now >= self._due:
            self._look(now)
        self._tossed += 1
        return self._draw() < self.share

    def _look(self, now: float) -> None:
        looks = self._looks
        while len(looks) > 1 and looks[1][0] <= now - RECENT:
            looks.popleft()
        then, tossed = looks[0]
        rate = (self._tossed - tossed) / (now - then)
        looks.append((now, self._tossed))
        usual = self._target / rate if rate else 1.0
        self.share = min(1.0, GROWTH * self.share, usual)
        passed = now - self._origin
        if passed >= LENGTH:
            self._due = self._origin + (passed // LENGTH + 1) * LENGTH
        else:
            self._due = self._origin + min(2 * max(passed, _FIRST), LENGTH)


def left_alone(request: RequestSpec) -> bool:
    """Whether a request has a stamp of its own."""
    return any(name.lower() == SENT for name in request.headers)
