"""Where the time of responses went, as an instrumented service tells: sums by latency.

Kept by latency, since the slow requests spend their time elsewhere than the mean one: where the p95
requests spend theirs can be asked when the run is over. The bins are coarse (a tenth wide), and
additive as everything in a slice.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

NAMES = ("pre_app", "thread_wait", "pool_wait", "connect", "upstream", "loop_wait", "own")
"""
The phases of a response, in the order in which they are drawn; they add up to its time.

Before the app was called; waiting for a thread; for a connection of the pool; connecting; the
upstream at work; ready but not running, for want of the event loop, the interpreter lock or a core;
the service's own CPU.
"""
PER_DOUBLING = 8  # bins
_MICRO = 1e6
_LEAST = 1e-6  # seconds; anything faster is in the first bin


@dataclass(frozen=True, slots=True)
class Bin:
    """Responses of nearly the same service time. All sums in seconds, `phases` as NAMES."""

    low: float
    high: float
    count: int
    total: float
    phases: tuple[float, ...]


class PhaseSums:
    """Sums of phases for responses of a like latency. Adding two loses nothing."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[int, list[float]] = {}  # bin -> count, total, phases as NAMES

    def record(self, seconds: float, phases: Sequence[float]) -> None:
        """Count one response, `seconds` long; `phases` in seconds, as many as NAMES."""
        place = int(math.log2(max(seconds, _LEAST) / _LEAST) * PER_DOUBLING)
        sums = self._sums.get(place)
        if sums is None:
            sums = self._sums[place] = [0.0] * (2 + len(NAMES))
        sums[0] += 1
        sums[1] += seconds
        for index, part in enumerate(phases, 2):
            sums[index] += part

    def add(self, other: "PhaseSums") -> None:
        for place, sums in other._sums.items():
            mine = self._sums.get(place)
            if mine is None:
                self._sums[place] = list(sums)
            else:
                for index, value in enumerate(sums):
                    mine[index] += value

    def bins(self) -> Iterator[Bin]:
        """The bins in use, by rising latency."""
        for place, (count, total, *phases) in sorted(self._sums.items()):
            low, high = (_LEAST * 2 ** (edge / PER_DOUBLING) for edge in (place, place + 1))
            yield Bin(low, high, int(count), total, tuple(phases))

    def encode(self) -> dict[int, tuple[int, ...]]:
        """By bin: the count, then the sums in microseconds."""
        return {
            place: (int(sums[0]), *(round(value * _MICRO) for value in sums[1:]))
            for place, sums in self._sums.items()
        }

    @classmethod
    def decode(cls, encoded: Mapping[int, Sequence[int]]) -> "PhaseSums":
        """
        What `encode` wrote.

        Raises:
            ValueError: it is something else.
        """
        made = cls()
        for place, numbers in encoded.items():
            if len(numbers) != 2 + len(NAMES) or min(numbers) < 0 or not 0 <= place < 1000:
                raise ValueError(f"not sums of phases: {place}: {numbers!r}")
            made._sums[place] = [float(numbers[0]), *(value / _MICRO for value in numbers[1:])]
        return made

    def __bool__(self) -> bool:
        return bool(self._sums)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhaseSums) and self.encode() == other.encode()

    __hash__ = None  # type: ignore[assignment]  # it changes with each recording
