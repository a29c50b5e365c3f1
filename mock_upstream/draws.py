"""
Draws that repeat whatever the interleaving.

A draw belongs to a name (seed, route, purpose) and an ordinal, not to whoever asked next, so
two runs with the same seed give the n-th request of a route the same delay, and turning on
errors does not shift the delays.
"""

from hashlib import blake2b

_MASK = (1 << 64) - 1


class Stream:
    """Uniform numbers in the open interval (0, 1), one for each ordinal."""

    __slots__ = ("_key",)

    def __init__(self, seed: int, route: str, purpose: str) -> None:
        name = f"{seed}\0{route}\0{purpose}".encode()
        self._key = int.from_bytes(blake2b(name, digest_size=8).digest(), "big")

    def uniform(self, ordinal: int) -> float:
        """
        SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) at a place of its sequence.

        The 52 highest bits and a half: exact as a float, never 0 and never 1.
        """
        z = (self._key + ordinal * 0x9E3779B97F4A7C15) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return (((z ^ (z >> 31)) >> 12) + 0.5) * 2.0**-52
