"""Whether the mock keeps up with what it is asked: if not, it is the bottleneck and says so."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from mock_upstream.profiles.budget import Budget
from mock_upstream.timing.deadlines import Deadlines

_TICK = 0.1  # seconds
_TICKS = 10  # a verdict each second
_LATE_SHARE = 0.01  # of the answers
_CHANCE = 0.001
_SECONDS = 10  # in which lateness is seen that a single second of few answers cannot show


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The last full second."""

    reasons: list[str]
    """Why the mock did not keep up in it; empty if it did."""
    lag: float
    """Longest absence of the event loop, in seconds."""
    cpu: float
    """Cores used by the process."""
    not_ok_seconds: int
    """Seconds with a reason, of all."""


class Watch:
    """Judges each second. `answers` gives how many there ever were, and how many overdue."""

    def __init__(self, deadlines: Deadlines, answers: Callable[[], tuple[int, int]]) -> None:
        self.budget = Budget()
        self.fidelity = Fidelity([], 0.0, 0.0, 0)
        self._deadlines = deadlines
        self._answers = answers
        self._punctuality = Punctuality()

    def clear(self) -> None:
        self.fidelity = Fidelity([], self.fidelity.lag, self.fidelity.cpu, 0)
        self._punctuality.clear()

    async def run(self) -> None:
        """Keep the counts of each second, until cancelled."""
        while True:
            await self._second()

    async def _second(self) -> None:
        began, used = time.monotonic(), time.process_time()
        answers, overdue = self._answers()
        lag = 0.0
        for tick in range(1, _TICKS + 1):
            planned = began + tick * _TICK
            await self._deadlines.at(planned)
            lag = max(lag, time.monotonic() - planned)
        cpu = (time.process_time() - used) / (time.monotonic() - began)
        now_answers, now_overdue = self._answers()
        reasons = self._reasons(now_answers - answers, now_overdue - overdue, lag, cpu)
        self.fidelity = Fidelity(reasons, lag, cpu, self.fidelity.not_ok_seconds + bool(reasons))

    def _reasons(self, answers: int, overdue: int, lag: float, cpu: float) -> list[str]:
        budget = self.budget
        reasons = []
        if late := self._punctuality.late(answers, overdue):
            reasons.append(f"{late} answers were more than {budget.late * 1e3:g} ms late")
        if lag > budget.lag:
            reasons.append(f"the event loop was away for {lag * 1e3:.0f} ms")
        if cpu > budget.cpu:
            reasons.append(f"the process used {cpu:.2f} of a core")
        return reasons


class Punctuality:
    """Judges each second by how many of its answers were overdue, and by the seconds before it."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, int]] = deque(maxlen=_SECONDS - 1)
        """Answers, and how many were overdue, of the last seconds that were not too late."""

    def clear(self) -> None:
        self._recent.clear()

    def late(self, answers: int, overdue: int) -> str:
        """
        "3 of 40", where the answers of the last second were too late; empty where they were not.

        One late answer of fifty is chance, and so are two; many seconds with one of fifty are not.
        """
        if overdue > _LATE_SHARE * answers:
            if _too_many(overdue, answers):
                return f"{overdue} of {answers}"
            all_answers = answers + sum(before for before, _ in self._recent)
            all_overdue = overdue + sum(late for _, late in self._recent)
            if _too_many(all_overdue, all_answers):
                return f"{all_overdue} of the last {all_answers}"
        self._recent.append((answers, overdue))
        return ""


def _too_many(overdue: int, answers: int) -> bool:
    """
    Whether more answers were late than _LATE_SHARE and chance explain.

    By Chernoff's bound on the binomial tail (Hoeffding, Probability inequalities for sums of
    bounded random variables, JASA 1963, eq. 2.1): it is never smaller than the probability itself.
    """
    share, allowed = overdue / answers, _LATE_SHARE
    if share <= allowed:
        return False
    distance = share * math.log(share / allowed)
    if share < 1:
        distance += (1 - share) * math.log((1 - share) / (1 - allowed))
    return math.exp(-answers * distance) < _CHANCE
