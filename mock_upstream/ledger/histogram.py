"""Delays, counted to three digits: what a ledger can afford for every request."""

from collections import defaultdict
from dataclasses import dataclass

_MICROSECONDS = 1_000_000
_BITS = 11  # of a value's that are kept: one part in 1024 at worst
_HALF = _BITS - 1


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds, to three digits or a microsecond; null where there is nothing to tell."""

    count: int
    total: float
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class DelayHistogram:
    """
    The delays of one kind, as counts of buckets that widen with the value.

    The buckets are HdrHistogram's of three digits and microseconds; those that are empty take
    no room, and a value is counted in a fifth of the time.
    """

    __slots__ = ("_counts", "_most", "count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        """Seconds."""
        self._counts: defaultdict[int, int] = defaultdict(int)
        self._most = 0.0

    def record(self, seconds: float) -> None:
        self.count += 1
        self.total += seconds
        if seconds > self._most:
            self._most = seconds
        value = int(seconds * _MICROSECONDS)
        shift = value.bit_length() - _BITS
        if shift > 0:
            value = (shift << _HALF) + (value >> shift)
        self._counts[value] += 1

    def copy(self) -> "DelayHistogram":
        copy = DelayHistogram()
        copy.count, copy.total, copy._most = self.count, self.total, self._most
        copy._counts = self._counts.copy()
        return copy

    def delays(self) -> Delays:
        """Takes a millisecond or two; of a copy, it may be asked for in another thread."""
        if not self.count:
            return Delays(count=0, total=0.0, p50=None, p95=None, p99=None, max=None)
        p50, p95, p99 = self._quantiles(0.5, 0.95, 0.99)
        return Delays(self.count, self.total, p50, p95, p99, self._most)

    def _quantiles(self, *shares: float) -> list[float]:
        """Rising shares in; of each, the end of its bucket, in seconds."""
        counts, wanted = self._counts, [share * self.count for share in shares]
        found: list[float] = []
        seen = 0
        # In steps of bytecode, and not by one long sort, so that another thread gets its turn.
        for bucket in range(max(counts) + 1):
            if bucket in counts:
                seen += counts[bucket]
                while len(found) < len(wanted) and seen >= wanted[len(found)]:
                    found.append(min(_end(bucket), self._most))
        return found


def _end(bucket: int) -> float:
    """The end of a bucket, in seconds."""
    shift = max((bucket >> _HALF) - 1, 0)
    value = bucket - (shift << _HALF)
    return ((value + 1) << shift) / _MICROSECONDS
