"""Whether two shares of failures differ by more than chance, where there are few requests."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from loadtests.analysis.light_scipy import special

LARGE = 0.2
"""
Of all requests. Where many more fail on one side, no other metric is worth comparing: what a
quantile of the rest says is about other requests.
"""
FEW = 8  # blocks of a side, at least, that show how far failures depend on each other
CERTAIN = 0.001
"""
The p-value below which a LARGE difference between the blocks of two sides is not chance. It is
asked after every round without a correction: equals show such a difference in the first ones, if at
all.
"""
_MOST = 60  # independent requests on a side; as many show any LARGE difference
_SHARES = 200  # true shares that are tried
_UNSURE = 0.05  # the chance that failures depend on each other more than is allowed for


Counts = tuple[float, int]  # failures, and requests


def share(counts: Sequence[Counts]) -> tuple[float, int]:
    """The share that fails of all these requests, and their number."""
    requests = sum(size for _, size in counts)
    return math.fsum(failed for failed, _ in counts) / requests if requests else 0.0, requests


def apart(a: Sequence[Sequence[Counts]], b: Sequence[Sequence[Counts]]) -> bool:
    """
    Whether shares of failures of two sides surely differ; False with fewer than FEW blocks.

    Args:
        a, b: rounds of blocks.
    """
    if min(sum(map(len, side)) for side in (a, b)) < FEW:
        return False
    effect = max(design_effect(a), design_effect(b))
    (share_a, count_a), (share_b, count_b) = (
        share([one for part in side for one in part]) for side in (a, b)
    )
    return p_value((share_a, count_a / effect), (share_b, count_b / effect)) < CERTAIN


def p_value(a: tuple[float, float], b: tuple[float, float]) -> float:
    """
    The probability that chance alone makes shares of failures differ so much, to either side.

    The exact unconditional test (Suissa and Shuster, Exact unconditional sample sizes for the 2x2
    binomial trial, JRSS A 1985): the largest probability over all true shares, which uses the few
    requests better than Fisher's test. Sizes are rounded down, counts to the nearest.

    Args:
        a, b: the share that fails, in [0, 1], and how many independent requests it is worth.
    """
    (share_a, size_a), (share_b, size_b) = a, b
    worth_a, worth_b = (min(math.floor(size), _MOST) for size in (size_a, size_b))
    if worth_a < 1 or worth_b < 1:
        return 1.0
    if share_a > share_b:
        return p_value(b, a)
    return _exact(round(share_a * worth_a), worth_a, round(share_b * worth_b), worth_b)


@lru_cache(maxsize=1024)
def _exact(failed_a: int, size_a: int, failed_b: int, size_b: int) -> float:
    if failed_a * size_b >= failed_b * size_a:
        return 1.0
    counts_a, counts_b = np.arange(size_a + 1), np.arange(size_b + 1)
    apart = counts_b[None, :] / size_b - counts_a[:, None] / size_a
    pooled = (counts_a[:, None] + counts_b[None, :]) / (size_a + size_b)
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / size_a + 1 / size_b))
    beyond = np.abs(apart) / error >= apart[failed_a, failed_b] / error[failed_a, failed_b] - 1e-9
    shares = (np.arange(_SHARES) + 0.5) / _SHARES
    chances = np.einsum(
        "pi,ij,pj->p", _binomial(counts_a, shares), beyond, _binomial(counts_b, shares)
    )
    return float(min(chances.max(), 1.0))


def _binomial(counts: NDArray[np.int_], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of each count, for each share; shape (shares, counts)."""
    size = counts[-1]
    ways = special.gammaln(size + 1) - special.gammaln(counts + 1)
    ways = ways - special.gammaln(size - counts + 1)
    odds = np.log(shares)[:, None] * counts + np.log1p(-shares)[:, None] * (size - counts)
    chances: NDArray[np.float64] = np.exp(ways + odds)
    return chances


def design_effect(rounds: Sequence[Sequence[Counts]]) -> float:
    """
    How many requests say as much about the share of failures as an independent one; 1 at least.

    By how much more the share differs between stretches than that of independent requests does
    (Kish, Survey Sampling, 1965, 8.2): between blocks, of which it is the upper end of what so few
    allow, and between rounds, each of which has a new start of the service.

    Args:
        rounds: of one side; of each block how many requests failed, and how many there were.
    """
    blocks = [one for part in rounds for one in part]
    starts = [(math.fsum(f for f, _ in part), sum(n for _, n in part)) for part in rounds]
    between, freedom = _excess(blocks)
    if freedom:
        between *= freedom / float(special.chdtri(freedom, 1 - _UNSURE))
    return max(between, _excess(starts)[0], 1.0)


def _excess(stretches: Sequence[Counts]) -> tuple[float, int]:
    """The variance of the share in units of that of independent requests; degrees of freedom."""
    asked = [(failed, size) for failed, size in stretches if size]
    freedom = max(len(asked) - 1, 0)
    total = sum(size for _, size in asked)
    failing = share(asked)[0]
    if not freedom or not 0 < failing < 1:
        return 1.0, freedom
    squares = math.fsum((failed - failing * size) ** 2 for failed, size in asked)
    return squares * len(asked) / freedom / (failing * (1 - failing) * total), freedom
