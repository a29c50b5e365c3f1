"""
Slow spells: an upstream that is well for a while and browned out for a while, again and again.

Requests that are slow each by their own chance are too kind to a service: a retry or a hedge
finds a fast one. Here the slow ones come together, as they do behind a collector, a failover or
a neighbour's load (Dean and Barroso, The Tail at Scale, CACM 56, 2013).
"""

from bisect import bisect_right
from math import floor, log1p
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from mock_upstream.latency.distributions import Latency
from mock_upstream.latency.draws import Stream
from mock_upstream.latency.field import LatencyText
from mock_upstream.units.durations import LONGEST, Duration, format_duration
from mock_upstream.units.tables import StrictTable

_SHORTEST = 0.001  # seconds
_BLOCK = 1024  # pairs of a good and a bad spell
_ORDINALS = 1 << 20  # of a block; far more than it ever draws


def _long_enough(seconds: float) -> float:
    if seconds < _SHORTEST:
        raise ValueError(f"a spell's mean length is {format_duration(_SHORTEST)} at least")
    return seconds


_SpellLength = Annotated[Duration, AfterValidator(_long_enough)]


class Spells(StrictTable):
    """How long the upstream is well and browned out, and how slow it is then."""

    good: _SpellLength
    """Mean length of a good spell; lengths are exponential."""
    bad: _SpellLength
    """Mean length of a bad spell."""
    factor: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    """What every delay is multiplied by in a bad spell; or:"""
    latency: LatencyText | None = None
    """The latency of a bad spell, in place of the usual one."""

    @model_validator(mode="after")
    def _says_how_bad(self) -> Self:
        if (self.factor is None) == (self.latency is None):
            raise ValueError("a bad spell needs a factor or a latency, one of the two")
        return self

    @property
    def share(self) -> float:
        """The part of all time that is bad."""
        return self.bad / (self.good + self.bad)

    def delay(self, u: float, usual: Latency) -> float:
        """Seconds that a request of a bad spell takes, by its draw."""
        if self.latency is not None:
            return self.latency.quantile(u)
        assert self.factor is not None  # by the validator
        return min(usual.quantile(u) * self.factor, LONGEST)


class Chain:
    """
    Which spell it is, at any time: a two-state Markov chain in continuous time.

    The answer depends on the seed, the name and the time only. The chain begins in its
    stationary law, so at any time it is bad with the probability `share`; and it begins again
    after each 1024 pairs of mean lengths, which cuts one spell in some 2000 short and bounds the
    work for any leap in time to a few milliseconds.
    """

    __slots__ = ("_block", "_ends", "_first_bad", "_length", "_spells", "_stream")

    def __init__(self, spells: Spells, seed: int, name: str = "") -> None:
        self._spells = spells
        self._stream = Stream(seed, name, "spells")
        self._length = _BLOCK * (spells.good + spells.bad)
        self._block: int | None = None
        self._first_bad = False
        self._ends: list[float] = []  # of the block's spells so far, from the block's start

    def bad(self, t: float) -> bool:
        """Whether the spell at t is a bad one; t in seconds from any fixed beginning."""
        block = floor(t / self._length)
        start, ordinal = block * self._length, block * _ORDINALS
        if block != self._block:
            self._block = block
            self._first_bad = self._stream.uniform(ordinal) < self._spells.share
            self._ends = [0.0]
        ends = self._ends
        while ends[-1] <= t - start:
            mean = self._spells.bad if self._is_bad(len(ends)) else self._spells.good
            ends.append(ends[-1] - mean * log1p(-self._stream.uniform(ordinal + len(ends))))
        return self._is_bad(bisect_right(ends, t - start))

    def delay(self, t: float, u: float, usual: Latency) -> float:
        """Seconds that a request arriving at t takes."""
        return self._spells.delay(u, usual) if self.bad(t) else usual.quantile(u)

    def _is_bad(self, place: int) -> bool:
        """True if the spell is a bad one; the block's spells count from 1 and take turns."""
        return self._first_bad == bool(place % 2)
