"""
Draws that repeat whatever the interleaving.

A draw belongs to a name (seed, route, purpose) and an ordinal, not to the next caller, so
two runs with the same seed give the n-th request of a route the same delay, and turning on
errors does not shift the delays.
"""

from hashlib import blake2b
from typing import Literal

Sampling = Literal["random", "stratified"]
"""
How the draws of consecutive ordinals lie together.

random: each for itself, as independent requests are.
stratified: of each hundred, one in every hundredth of the interval, in an order of its own. So
a hundred requests hold every percentile once, and their p95 hardly differs from run to run.
"""

STRATA = 100

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_ORDER = 0xD1B54A32D192ED03  # sets the order of the strata apart from the draws inside them


class Stream:
    """Uniform numbers in the open interval (0, 1), one for each ordinal, or for each key."""

    __slots__ = ("_block", "_key", "_order", "_sampling")

    def __init__(self, seed: int, route: str, purpose: str, sampling: Sampling = "random") -> None:
        name = f"{seed}\0{route}\0{purpose}".encode()
        self._key = int.from_bytes(blake2b(name, digest_size=8).digest(), "big")
        self._block = -1
        self._order: list[int] = []
        self._sampling = sampling

    def uniform(self, ordinal: int) -> float:
        """The draw of an ordinal, 0 or more."""
        return self._at(ordinal) if self._sampling == "random" else self._stratified(ordinal)

    def keyed(self, key: bytes) -> float:
        """
        The draw of a request that brings its own key: the same however often it is sent.

        Never stratified: keys have no order.
        """
        place = int.from_bytes(blake2b(key, digest_size=8).digest(), "big")
        return self._at(place)

    def _at(self, ordinal: int) -> float:
        """The 52 highest bits and a half: exact as a float, never 0 and never 1."""
        return ((_mixed(self._key + ordinal * _GOLDEN) >> 12) + 0.5) * 2.0**-52

    def _stratified(self, ordinal: int) -> float:
        block, place = divmod(ordinal, STRATA)
        if block != self._block:
            start = (self._key ^ _ORDER) + block * STRATA * _GOLDEN
            words = [_mixed(start + i * _GOLDEN) for i in range(STRATA)]
            self._order = sorted(range(STRATA), key=words.__getitem__)
            self._block = block
        # 40 bits: the sum is exact, so a draw stays inside its stratum.
        within = ((_mixed(self._key + ordinal * _GOLDEN) >> 24) + 0.5) * 2.0**-40
        return (self._order[place] + within) / STRATA


def _mixed(z: int) -> int:
    """SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) at a place of its sequence."""
    z &= _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
