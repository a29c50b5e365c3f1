"""Work between two stages, while every user is parked: the upstream empties, CPU is read."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from loadtests.recording.messages import Stage, Usage
from loadtests.samples.meter import Meter
from loadtests.samples.mock import LedgerReader
from loadtests.samples.taken import Takers

EMPTYING = 30.0  # seconds that the upstream may take to answer what is left of a stage
STILL = 2.0  # seconds without progress after which it is left as it is: such calls hang
LOOK = 0.02  # seconds between two looks


class Barrier:
    """
    Keeps what one stage leaves behind out of the next one, and reads what each stage used.

    Calls can still wait at the upstream after the last answer: of users that gave up, where the
    profile keeps their work (`on_disconnect = "keep"`), and of services that do not give up.
    """

    def __init__(
        self,
        processes: Callable[[], Mapping[str, list[int]]],
        control_url: str | None,
        ours: Callable[[], Mapping[str, list[int]]] | None = None,
    ) -> None:
        """
        Args:
            processes: gives the process ids of the mock and of the deployments by name.
            control_url: of the mock's control API.
            ours: the same with those of the load generator, so that what others take of the cores
                can be told; None: it is not.
        """
        self._meter = Meter(processes)
        self._takers = Takers(ours) if ours else None
        self._ledger = LedgerReader(control_url) if control_url else None
        self._left: int | None = None
        self._carried: int | None = None
        self._counts: _Counts | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ledger:
            self._ledger.close()

    def before(self) -> None:
        """Read before a stage, with every deployment up."""
        self._carried = self._left
        self._counts = self._counted()
        self._meter.begin()
        if self._takers:
            self._takers.begin()

    def after(self, stage: Stage) -> Usage:
        """Wait until the upstream has answered what the stage left, then read."""
        taken = self._takers.end() if self._takers else ()
        self._left = self._emptied()
        usage = self._meter.end(stage.number, stage.deployment, self._carried)
        found: dict[str, Any] = {"taken": taken}
        begin, end = self._counts, self._counted()
        if begin and end and begin.which == end.which:
            found["calls"] = end.arrivals - begin.arrivals
            found["late"] = (end.late - begin.late) / max(end.answers - begin.answers, 1)
        return usage.model_copy(update=found)

    def _counted(self) -> "_Counts | None":
        """What the mock has counted so far; None: not known."""
        account = self._ledger.read() if self._ledger else None
        if not isinstance(account, dict):
            return None
        try:
            return _Counts(
                f"{account['epoch']}/{account['generation']}",
                int(account["arrivals"]),
                int(account["late"]["count"]),
                float(account["late"]["total"]),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def _emptied(self) -> int | None:
        """How many calls its servers have yet to serve after the wait; None: not known."""
        begin = moved = time.monotonic()
        least: int | None = None
        while (calls := self._calls()) is not None:
            in_flight, queued = calls
            now = time.monotonic()
            left = max(in_flight, queued)
            if least is None or left < least or queued:  # what servers work on comes to an end
                least, moved = left, now
            if not left or now - moved > STILL or now - begin > EMPTYING:
                return queued
            time.sleep(LOOK)
        return None

    def _calls(self) -> tuple[int, int] | None:
        """
        Calls in flight, and those at its servers, which can be more: their client may have gone.

        None where the mock does not answer, or in another version's words.
        """
        account: Any = self._ledger.read() if self._ledger else None
        try:
            queue = account["queue"]
            queued = int(queue["busy"]) + int(queue["waiting"]) if queue else 0
            return int(account["in_flight"]["now"]), queued
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class _Counts:
    """`which` tells counts that began again from those before; `late`: seconds of all answers."""

    which: str
    arrivals: int
    answers: int
    late: float
