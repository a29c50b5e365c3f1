"""Throughput of a level, by what its users' time went to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from loadtests.analysis.inputs.windows import Quarter, Window
from loadtests.recording.messages import Stage

_SCATTER = 3.0  # standard errors
_MUCH = 0.25  # of the users' time
_LONGER = 1.25  # times; a queue that builds up has its short answers first


@dataclass(frozen=True, slots=True)
class Rate:
    """
    Throughput as a ratio of sums over pieces, for `intervals.ratio`: successes a second are
    sum(successes) / sum(seconds).
    """

    successes: Sequence[float]
    seconds: Sequence[float]

    @property
    def value(self) -> float:
        """Successes a second; 0 where nothing was measured."""
        total = math.fsum(self.seconds)
        return math.fsum(self.successes) / total if total else 0.0


@dataclass(frozen=True)
class UserTime:
    """
    The time of a level's users, and the cycles that account for it.

    In the closed model each of N users takes a cycle for each request: the answer, then a pause.
    So N / (R + Z), with the mean answer R and the mean pause Z, is the throughput (Little's law;
    Glynn and Whitt, Indirect estimation via L = lambda W, Operations Research 1989). It differs
    from counting by what the window's two ends cut off, which is much where all answer at the same
    time: windows of 1.25 s hold two or three whole waves of answers of 0.5 s. Where the two differ
    by more than the ends can cut off, some users had no part in what started in the window (they
    hang), or few very long answers reach far out of it, and the successes are counted. So they are
    where quick answers overtake the others, in the open model, and where users of an own locustfile
    pause as they like.

    Args:
        stage: one of those that were measured; `level`, `think_time` and the model are read.
        quarters: of all requests, in order.
        windows: those that the quarters are of.
    """

    stage: Stage
    quarters: Sequence[Quarter]
    windows: Sequence[Window] = ()

    def throughput(self, quarters: Sequence[Quarter]) -> Rate:
        """
        Successes a second of the stage, or of several of one level.

        Args:
            quarters: the same quarters, of all requests or of one kind.
        """
        if self._known and abs(self._missing) <= self._cut_off and not self.unaccounted:
            level = self.stage.level
            return Rate([one.ok.count for one in quarters], [each / level for each in self._cycles])
        return Rate([one.succeeded for one in quarters], [one.seconds for one in quarters])

    @cached_property
    def unaccounted(self) -> float:
        """
        The share of the users' time that what started in a window leaves out, where that is more
        than the ends of the window cut off; 0 otherwise.

        A request that began before the window and took most of it is in no number, and those that
        began in the window are the quick ones. One that failed would be in no response time anyway.
        A window of fewer than two cycles can be cut off by as much as it has; there, requests that
        began before it and took much longer show that they were overtaken.
        """
        if not self._known or any(one.hung or one.unanswered for one in self.windows):
            return 0.0
        missing = self._missing - math.fsum(one.failing for one in self.windows)
        share = missing / self._whole
        if share > _MUCH and (missing > self._cut_off or self._overtakes()):
            return share
        return 0.0

    def _overtakes(self) -> bool:
        count = sum(one.ok.count for one in self.quarters)
        earlier = sum(one.before[0] for one in self.windows)
        if not count or not earlier or count >= 2 * self.stage.level * len(self.windows):
            return False
        before = math.fsum(one.before[1] for one in self.windows) / earlier
        return before > _LONGER * math.fsum(one.ok.total() for one in self.quarters) / count

    @property
    def _known(self) -> bool:
        """Whether it is known what a cycle is."""
        closed = self.stage.model == "closed" and not self.stage.own_tasks
        return closed and any(one.started for one in self.quarters)

    @cached_property
    def _cycles(self) -> list[float]:
        """Seconds that the cycles take which started in each quarter, all users together."""
        followed = sum(one.followed for one in self.quarters)
        idle = sum(one.idle for one in self.quarters)
        pause = idle / followed if followed else self.stage.think_time
        return [one.ok.total() + one.failed.total() + pause * one.started for one in self.quarters]

    @property
    def _whole(self) -> float:
        """The seconds of all users."""
        return self.stage.level * math.fsum(one.seconds for one in self.quarters)

    @property
    def _missing(self) -> float:
        """Seconds of users in no cycle; negative where cycles reach out of the windows."""
        return self._whole - math.fsum(self._cycles)

    @property
    def _cut_off(self) -> float:
        """
        Seconds of users by which the ends of windows can make cycles and time differ.

        Where all users answer at the same time that is one cycle of each. Where they do not, the
        rests at the two ends differ by chance: 2 N of them, each of a cycle in the mean and as
        variable.
        """
        level = self.stage.level
        cycle = math.fsum(self._cycles) / sum(one.started for one in self.quarters)
        stretches = sum(one.stretches for one in self.windows) or 1
        return stretches * cycle * max(level, _SCATTER * math.sqrt(2 * level))
