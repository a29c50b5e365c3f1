"""How long a stage may last, where a plan leaves that to what is measured.

A run has a bound, which is shared as it goes: each stage gets what its quantiles need first, and
what remains goes to those that are farthest from their goal. What a stage needs tells what those
to come will need, since a level that is n times as high makes its requests n times as fast.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtests.recording.slices import LENGTH, whole_slices

LEAST, LONGEST = 3.0, 20.0  # seconds that a stage measures; with less its state cannot be told
USUAL = 5.0  # seconds that each stage of a run may measure, on average
SMALL = 90.0  # seconds that a run may measure, however few its stages are
RESERVE = 0.08  # of it, for stages that have to be played again


@dataclass(frozen=True, slots=True)
class Need:
    """
    The seconds that a stage must measure: `counts` until its quantiles have the requests that they
    take, `goal` until its numbers are as narrow as they are wanted.
    """

    counts: float
    goal: float

    def times(self, factor: float) -> "Need":
        return Need(_between(self.counts * factor), _between(self.goal * factor))


@dataclass(frozen=True, slots=True)
class Pace:
    """
    The seconds that are `left` for what this stage and those to come measure.

    Args:
        ahead: the levels of the stages to come.
        least: seconds that this stage measures at least.
        usual: seconds that it measures for its goal, at most.
    """

    left: float
    ahead: Sequence[int] = ()
    least: float = LEAST
    usual: float = LONGEST

    @property
    def longest(self) -> float:
        """The longest that this stage can last, so that each of the others has its least."""
        left = self.left - LEAST * len(self.ahead)
        return max(math.floor(min(left, LONGEST) / LENGTH) * LENGTH, self.least)

    def measure(self, level: int, need: Need) -> float:
        """Seconds that this stage at `level` measures, in whole slices."""
        mine = need.times(1)
        needs = [mine, *(need.times(level / other) for other in self.ahead)]
        counts = [one.counts for one in needs]
        if sum(counts) >= self.left:
            wanted = _shared(self.left, lambda part: [min(one, part) for one in counts])
            seconds = min(mine.counts, wanted)
        else:
            wanted = _shared(
                self.left, lambda part: [max(one.counts, min(one.goal, part)) for one in needs]
            )
            seconds = max(mine.counts, min(mine.goal, wanted, self.usual))
        return min(max(whole_slices(seconds), self.least), self.longest)


def bound(stages: int, each: float) -> float:
    """
    The most seconds that a run of `stages` stages takes.

    Args:
        each: seconds that a stage takes in addition to what it measures.
    """
    return stages * each + max(USUAL * stages, SMALL)


def _shared(left: float, lengths: Callable[[float], Sequence[float]]) -> float:
    """The largest part up to LONGEST with which all lengths together are no more than `left`."""
    low, high = 0.0, LONGEST
    if sum(lengths(high)) <= left:
        return high
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(lengths(middle)) <= left else (low, middle)
    return low


def _between(seconds: float) -> float:
    return min(max(seconds, LEAST), LONGEST)
