"""Latencies as HDR histograms: recorded once, merged exactly, three significant digits kept.

One histogram spans 1 microsecond to 10 minutes; a value is off by at most 0.05 % (HdrHistogram,
http://hdrhistogram.org). Everything outside this module speaks seconds.

The buckets and the encoding are HdrHistogram's, the storage is a dict of the buckets in use: a
quarter second holds some thirty durations, and an array of 21,504 counters for each of them costs
170 KB to keep and 20 ms to walk through. The library would make such an array to write or to read
a histogram, too, and ten minutes of a run hold 15,000 of them.
"""

import base64
import math
import struct
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import cache
from itertools import accumulate
from operator import mul

from loadtests.recording.packed import unpacked

LONGEST = 600.0  # seconds; anything slower is recorded as this
RESOLUTION = 0.0005  # by which a value may be off, as a share of it
_TICKS = 1_000_000  # microseconds
_MOST_TICKS = int(LONGEST * _TICKS)
_DIGITS = 3
_BITS = 10  # each doubling of the range has 2 ** 10 buckets, which keeps three digits
_HALF = 1 << _BITS


class Histogram:
    """Durations in seconds. Adding two histograms loses nothing."""

    __slots__ = ("_counts", "_ranks", "_seconds", "_total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._total = 0
        self._seconds: float | None = 0.0  # of all durations; None: not added up yet
        self._ranks: tuple[int, list[int], list[int]] = 0, [], []

    def record(self, seconds: float) -> None:
        """Count one duration; what lies outside the range counts at its border."""
        ticks = int(seconds * _TICKS + 0.5)
        if not 0 < ticks <= _MOST_TICKS:
            ticks = min(max(ticks, 1), _MOST_TICKS)
        # As _bucket does, without a call: this is part of every request.
        shift = ticks.bit_length() - _BITS - 1
        bucket = (shift << _BITS) + (ticks >> shift) if shift > 0 else ticks
        counts = self._counts
        counts[bucket] = counts.get(bucket, 0) + 1
        self._total += 1
        self._seconds = None

    def add(self, other: "Histogram") -> None:
        counts = self._counts
        if counts:
            for bucket, count in other._counts.items():
                counts[bucket] = counts.get(bucket, 0) + count
        else:
            counts.update(other._counts)
        self._total += other._total
        self._seconds = None

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
        buckets, reached = self._ranked()
        return _middle(buckets[bisect_left(reached, min(max(rank, 1), self.count))])

    def up_to(self, seconds: float) -> int:
        """How many durations are in the bucket of `seconds` or below it."""
        last = _bucket(min(max(int(seconds * _TICKS + 0.5), 1), _MOST_TICKS))
        buckets, reached = self._ranked()
        below = bisect_right(buckets, last)
        return reached[below - 1] if below else 0

    def total(self) -> float:
        """The sum of all durations, each as the middle of its bucket; seconds."""
        if self._seconds is None:
            counts = self._counts
            self._seconds = sum(map(mul, map(_middle, counts), counts.values()))
        return self._seconds

    def mean(self) -> float:
        """The mean over the buckets' middles; seconds. Raises ValueError when empty."""
        if not self.count:
            raise ValueError("an empty histogram has no mean")
        return self.total() / self.count

    def recorded(self) -> list[tuple[float, int]]:
        """The buckets in use: (middle in seconds, count), rising."""
        return [(_middle(bucket), count) for bucket, count in sorted(self._counts.items())]

    def _ranked(self) -> tuple[list[int], list[int]]:
        """
        The buckets in use, rising, and how many durations are in each or below it. They are kept
        until there are more durations: several quantiles are asked of the same histogram.
        """
        total, buckets, reached = self._ranks
        if total != self._total:
            buckets = sorted(self._counts)
            reached = list(accumulate(map(self._counts.__getitem__, buckets)))
            self._ranks = self._total, buckets, reached
        return buckets, reached

    def encode(self) -> str:
        """Base64 text of HdrHistogram's compressed V2 encoding; some hundred bytes."""
        return _encode(self._counts)

    @classmethod
    def decode(cls, text: str) -> "Histogram":
        """
        The histogram that `encode` wrote.

        Raises:
            ValueError: the text is not such a histogram.
        """
        histogram = cls()
        try:
            histogram._counts = _decode(text)
        except (ValueError, struct.error) as error:
            raise ValueError(f"not an encoded histogram: {text[:40]!r} ({error})") from error
        histogram._total = sum(histogram._counts.values())
        histogram._seconds = None
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


@cache
def _middle(bucket: int) -> float:
    return sum(_bounds(bucket)) / (2 * _TICKS)


_COOKIE, _COMPRESSED = 0x1C849313, 0x1C849314  # V2, and V2 within zlib
_WRAPPER = struct.Struct(">ii")  # cookie, length of what follows
_HEADER = struct.Struct(">iiiiqqd")
"""Cookie, length of the counts, offset of their index, digits, lowest and highest value, ratio."""
_LONGEST = _HEADER.size + 10 * (_bucket(_MOST_TICKS) + 1)
"""Bytes: a number of 64 bits for each bucket, which takes ten at most."""


def _encode(counts: dict[int, int]) -> str:
    """
    The counters in V2: from the lowest to the last in use, a run of n empty ones as -n; each as a
    variable-length number with its sign in the last bit (ZigZag LEB128).
    """
    written, passed = bytearray(), 0
    for bucket, count in sorted(counts.items()):
        empty = bucket - passed
        if empty:
            _write(written, 2 * empty - 1 if empty > 1 else 0)
        if count < 0x40:  # as most are
            written.append(2 * count)
        else:
            _write(written, 2 * count)
        passed = bucket + 1
    header = _HEADER.pack(_COOKIE, len(written), 0, _DIGITS, 1, _MOST_TICKS, 1.0)
    packed = zlib.compress(header + written)
    return base64.b64encode(_WRAPPER.pack(_COMPRESSED, len(packed)) + packed).decode("ascii")


def _decode(text: str) -> dict[int, int]:
    """Raises ValueError or struct.error."""
    packed = base64.b64decode(text, validate=True)
    cookie, length = _WRAPPER.unpack_from(packed)
    if cookie != _COMPRESSED:
        raise ValueError("it is of another kind")
    data = unpacked(packed[_WRAPPER.size : _WRAPPER.size + length], _LONGEST)
    cookie, length, offset, digits, lowest, _highest, _ratio = _HEADER.unpack_from(data)
    if (cookie, offset, digits, lowest) != (_COOKIE, 0, _DIGITS, 1):
        raise ValueError("it is of another resolution")
    if len(data) != _HEADER.size + length:
        raise ValueError("its end is missing")
    counts, bucket = {}, 0
    number = shift = 0
    for byte in memoryview(data)[_HEADER.size :]:
        if byte >= 0x80:
            number |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise ValueError("it has a number of too many bits")
            continue
        number |= byte << shift
        if number & 1:
            bucket += (number + 1) >> 1
        else:
            if number:
                counts[bucket] = number >> 1
            bucket += 1
        number = shift = 0
    if shift:
        raise ValueError("its last number is cut off")
    if bucket > _bucket(_MOST_TICKS) + 1:
        raise ValueError("it goes beyond what is recorded")
    return counts


def _write(written: bytearray, number: int) -> None:
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
