"""Latencies as HDR histograms: recorded once, merged exactly, three significant digits kept.

One histogram spans 1 microsecond to 10 minutes; a value is off by at most 0.05 % (HdrHistogram,
http://hdrhistogram.org). Everything outside this module speaks seconds.
"""

import math
from collections.abc import Iterable
from typing import Any

from hdrh.histogram import HdrHistogram

LONGEST = 600.0  # seconds; anything slower is recorded as this
_TICKS = 1_000_000  # microseconds
_MOST_TICKS = int(LONGEST * _TICKS)


class Histogram:
    """Durations in seconds. Adding two histograms loses nothing."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: Any = None

    @property
    def _hdr(self) -> Any:
        # Half a millisecond and 150 KB each, and most slices never see a failure: made when needed.
        if self._made is None:
            self._made = HdrHistogram(1, _MOST_TICKS, 3)
        return self._made

    def record(self, seconds: float) -> None:
        """Count one duration; what lies outside the range counts at its border."""
        ticks = int(seconds * _TICKS + 0.5)
        self._hdr.record_value(min(max(ticks, 1), _MOST_TICKS))

    def add(self, other: "Histogram") -> None:
        if other.count:
            self._hdr.add(other._hdr)

    @property
    def count(self) -> int:
        return 0 if self._made is None else int(self._made.get_total_count())

    def quantile(self, q: float) -> float:
        """
        The value at rank ceil(q * count), as the middle of its bucket.

        Args:
            q: in [0, 1].

        Raises:
            ValueError: the histogram is empty.
        """
        if not self.count:
            raise ValueError("an empty histogram has no quantiles")
        return self.at_rank(math.ceil(round(q * self.count, 9)))

    def at_rank(self, rank: int) -> float:
        """The rank-th smallest duration, counted from 1 and kept within 1..count; seconds."""
        rank = min(max(rank, 1), self.count)
        # The library turns a percentile into a rank by rounding to the nearest one.
        highest = self._hdr.get_value_at_percentile(100 * rank / self.count)
        return self._middle(int(highest)) / _TICKS

    def mean(self) -> float:
        """The mean over the buckets' middles; seconds. Raises ValueError when empty."""
        if not self.count:
            raise ValueError("an empty histogram has no mean")
        total = sum(self._middle(value) * count for value, count in self._recorded())
        return total / self.count / _TICKS

    def recorded(self) -> list[tuple[float, int]]:
        """The buckets in use: (middle in seconds, count), rising."""
        return [(self._middle(value) / _TICKS, count) for value, count in self._recorded()]

    def encode(self) -> str:
        """Base64 text of the compressed V2 encoding; some hundred bytes."""
        text: bytes = self._hdr.encode()
        return text.decode("ascii")

    @classmethod
    def decode(cls, text: str) -> "Histogram":
        """
        The histogram that `encode` wrote.

        Raises:
            ValueError: the text is not such a histogram.
        """
        histogram = cls()
        histogram.decode_and_add(text)
        return histogram

    def decode_and_add(self, text: str) -> None:
        try:
            self._hdr.decode_and_add(text.encode("ascii"))
        except Exception as error:  # the library raises six unrelated kinds
            raise ValueError(f"not an encoded histogram: {text[:40]!r} ({error})") from error

    def _recorded(self) -> Iterable[tuple[int, int]]:
        if not self.count:
            return
        for item in self._hdr.get_recorded_iterator():
            yield int(item.value_iterated_to), int(item.count_at_value_iterated_to)

    def _middle(self, value: int) -> float:
        low = self._hdr.get_lowest_equivalent_value(value)
        return float(low + self._hdr.get_highest_equivalent_value(value)) / 2

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and list(self._recorded()) == list(other._recorded())

    __hash__ = None  # type: ignore[assignment]  # it changes with each recording

    def __repr__(self) -> str:
        return f"<Histogram of {self.count} durations>"


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram that holds every recording of the given ones."""
    total = Histogram()
    for histogram in histograms:
        total.add(histogram)
    return total
