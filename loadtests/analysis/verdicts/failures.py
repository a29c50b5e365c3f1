"""How often each side of a comparison fails, at the level that decides."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from loadtests.analysis.stats import failure_shares
from loadtests.analysis.verdicts import text
from loadtests.analysis.verdicts.blocks import Block
from loadtests.analysis.verdicts.config import ERRORS, ComparisonConfig

_MOST = 0.5  # of the requests: there is nothing to compare


@dataclass(frozen=True)
class Failures:
    """The failures in the blocks, and in the rounds that are complete. As text: a sentence."""

    blocks: Sequence[Block]
    rounds: Sequence[Sequence[Block]]
    terms: ComparisonConfig

    def __str__(self) -> str:
        return text.failures(self.terms, *self._shares, _mostly(self._side(self.terms.b)))

    @property
    def large(self) -> bool:
        """Whether B fails so much more, by chance or not, that nothing else matters."""
        share_a, share_b = self._shares
        return share_b - share_a >= failure_shares.LARGE

    def most_fail(self) -> str:
        """A sentence if A, or both, fail most of their requests; else empty."""
        if not all(self._by_block):
            return ""
        a, b = (2 * sum(share > _MOST for share in side) > len(side) for side in self._by_block)
        names = self.terms.names if b else self.terms.names[:1]
        return " and ".join(map(self._told, names)) if a else ""

    def worse(self, measured: bool) -> bool:
        """
        Whether B surely fails much more, as it is seen at once.

        Args:
            measured: failures were, in a whole round.
        """
        if not all(self._by_block):
            return False
        a, b = self._by_block
        # In each of at least four blocks in turns: of equals that fail half of the time it would be
        # so in one of 256.
        if measured and all(share > _MOST for share in b) and 2 * max(a) < min(b):
            return True
        if not self.large:
            return False
        # Of whole rounds, in which both were played equally often.
        sides = [[self._counts(n, part) for part in self.rounds] for n in self.terms.names]
        return failure_shares.apart(*sides)

    @cached_property
    def _shares(self) -> tuple[float, float]:
        """The share that fails of all requests of A and of B."""
        a, b = (self._counts(name, self.blocks) for name in self.terms.names)
        return failure_shares.share(a)[0], failure_shares.share(b)[0]

    @cached_property
    def _by_block(self) -> list[list[float]]:
        return [
            [one.values.get(ERRORS, 0.0) for one in self._side(name) if not one.wrong]
            for name in self.terms.names
        ]

    def _counts(self, name: str, blocks: Sequence[Block]) -> list[failure_shares.Counts]:
        """Failures and requests of the usable blocks of one side."""
        return [
            (one.values[ERRORS] * one.requests, one.requests)
            for one in self._side(name, blocks)
            if not one.wrong and ERRORS in one.values
        ]

    def _side(self, name: str, blocks: Sequence[Block] | None = None) -> list[Block]:
        where = name, self.terms.at[0]
        found = self.blocks if blocks is None else blocks
        return [one for one in found if (one.deployment, one.level) == where]

    def _told(self, name: str) -> str:
        failing = [one for one in self._side(name) if one.values.get(ERRORS, 0.0) > _MOST]
        share = fmean(one.values[ERRORS] for one in failing)
        return f"{share:.0%} of the requests to {name} failed{_mostly(failing)}"


def _mostly(blocks: Sequence[Block]) -> str:
    """The kind of failure that is most frequent, as an apposition."""
    kinds = Counter[str]()
    for one in blocks:
        kinds.update(one.kinds)
    return f", mostly with {kinds.most_common(1)[0][0]}" if kinds else ""
