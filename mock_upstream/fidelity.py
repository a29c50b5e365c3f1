"""Whether the mock keeps up with what it is asked: if not, it is the bottleneck and says so."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mock_upstream.deadlines import Deadlines
from mock_upstream.fields import PositiveDuration

_TICK = 0.1  # seconds
_TICKS = 10  # a verdict each second


class Budget(BaseModel):
    """From where on the mock is no longer the upstream that its profile describes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    late: PositiveDuration = 0.005
    """Of a hundred answers in a second, one may be later than this."""
    lag: PositiveDuration = 0.05
    """Longest that the event loop may be away."""
    cpu: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Of the one core that the process can use."""


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

    def clear(self) -> None:
        self.fidelity = Fidelity([], self.fidelity.lag, self.fidelity.cpu, 0)

    async def run(self) -> None:
        """Until cancelled."""
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
        if overdue * 100 > answers:
            reasons.append(
                f"{overdue} of {answers} answers were more than {budget.late * 1e3:g} ms late"
            )
        if lag > budget.lag:
            reasons.append(f"the event loop was away for {lag * 1e3:.0f} ms")
        if cpu > budget.cpu:
            reasons.append(f"the process used {cpu:.2f} of a core")
        return reasons
