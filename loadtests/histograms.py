"""Latencies as HDR histograms: recorded once, merged exactly, three significant digits kept.

One histogram spans 1 microsecond to 10 minutes; a value is off by at most 0.05 % (HdrHistogram,
http://hdrhistogram.org). Everything outside this module speaks seconds.

The buckets and the encoding are HdrHistogram's, the storage is a dict of the buckets in use: a
quarter second holds some thirty durations, and an array of 21,504 counters for each of them costs
170 KB to keep and 20 ms to walk through.
"""

import math
from collections.abc import Iterable
from typing import Any

from hdrh.histogram import HdrHistogram

LONGEST = 600.0  # seconds; anything slower is recorded as this
_TICKS = 1_000_000  # microseconds
_MOST_TICKS = int(LONGEST * _TICKS)
_DIGITS = 3
_BITS = 10  # each doubling of the range has 2 ** 10 buckets, which keeps three digits
_HALF = 1 << _BITS


class Histogram:
    """Durations in seconds. Adding two histograms loses nothing."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._total = 0

    def record(self, seconds: float) -> None:
        """Count one duration; what lies outside the range counts at its border."""
        ticks = min(max(int(seconds * _TICKS + 0.5), 1), _MOST_TICKS)
        bucket = _bucket(ticks)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self._total += 1

    def add(self, other: "Histogram") -> None:
        counts = self._counts
        for bucket, count in other._counts.items():
            counts[bucket] = counts.get(bucket, 0) + count
        self._total += other._total

    @property
    def count(self) -> int:
        return self._total

    def quantile(self, q: float) -> float:
        """
        The value at rank ceil(q * count), as the middle of its bucket.

        Args:
            q: in [0, 1].

        Raises:
            ValueError: the histogram is empty.
        """
        return self.at_rank(math.ceil(round(q * self.count, 9)))

    def at_rank(self, rank: int) -> float:
        """
        The rank-th smallest duration, counted from 1 and kept within 1..count; seconds.

        Raises:
            ValueError: the histogram is empty.
        """
        if not self.count:
            raise ValueError("an empty histogram has no quantiles")
        rank = min(max(rank, 1), self.count)
        passed, bucket = 0, 0
        for bucket in sorted(self._counts):
            passed += self._counts[bucket]
            if passed >= rank:
                break
        return _middle(bucket)

    def up_to(self, seconds: float) -> int:
        """How many durations are in the bucket of `seconds` or below it."""
        last = _bucket(min(max(int(seconds * _TICKS + 0.5), 1), _MOST_TICKS))
        return sum(count for bucket, count in self._counts.items() if bucket <= last)

    def total(self) -> float:
        """The sum of all durations, each as the middle of its bucket; seconds."""
        return sum(_middle(bucket) * count for bucket, count in self._counts.items())

    def mean(self) -> float:
        """The mean over the buckets' middles; seconds. Raises ValueError when empty."""
        if not self.count:
            raise ValueError("an empty histogram has no mean")
        return self.total() / self.count

    def recorded(self) -> list[tuple[float, int]]:
        """The buckets in use: (middle in seconds, count), rising."""
        return [(_middle(bucket), count) for bucket, count in sorted(self._counts.items())]

    def encode(self) -> str:
        """Base64 text of HdrHistogram's compressed V2 encoding; some hundred bytes."""
        hdr = HdrHistogram(1, _MOST_TICKS, _DIGITS)
        for bucket, count in self._counts.items():
            hdr.record_value(_bounds(bucket)[0], count)
        text: bytes = hdr.encode()
        return text.decode("ascii")

    @classmethod
    def decode(cls, text: str) -> "Histogram":
        """
        The histogram that `encode` wrote.

        Raises:
            ValueError: the text is not such a histogram.
        """
        try:
            hdr: Any = HdrHistogram.decode(text.encode("ascii"))
        except Exception as error:  # the library raises six unrelated kinds
            raise ValueError(f"not an encoded histogram: {text[:40]!r} ({error})") from error
        if (hdr.sub_bucket_count, hdr.unit_magnitude) != (2 * _HALF, 0):
            raise ValueError(f"a histogram of another resolution: {text[:40]!r}")
        histogram = cls()
        if hdr.get_total_count():
            first, last = _bucket(int(hdr.get_min_value())), _bucket(int(hdr.get_max_value()))
            found = enumerate(hdr.counts[first : last + 1], first)
            histogram._counts = {bucket: int(count) for bucket, count in found if count}
            histogram._total = sum(histogram._counts.values())
        return histogram

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment]  # it changes with each recording

    def __repr__(self) -> str:
        return f"<Histogram of {self.count} durations>"


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram that holds every recording of the given ones."""
    total = Histogram()
    for histogram in histograms:
        total.add(histogram)
    return total


def _bucket(ticks: int) -> int:
    """HdrHistogram's index of the counter for a value: linear up to 2 * _HALF, then doubling."""
    shift = max(ticks.bit_length() - _BITS - 1, 0)
    return (shift << _BITS) + (ticks >> shift)


def _bounds(bucket: int) -> tuple[int, int]:
    """The lowest and the highest value that count here; ticks."""
    if bucket < 2 * _HALF:
        return bucket, bucket
    shift = (bucket >> _BITS) - 1
    lowest = ((bucket & (_HALF - 1)) + _HALF) << shift
    return lowest, lowest + (1 << shift) - 1


def _middle(bucket: int) -> float:
    return sum(_bounds(bucket)) / (2 * _TICKS)
