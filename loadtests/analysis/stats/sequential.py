"""How sure a look at growing data must be, when there may be many looks: group sequential tests.

The chance of a false alarm is spent look by look, by a function of the part of the data that is
there (Lan and DeMets, Discrete sequential boundaries for clinical trials, Biometrika 1983). Here it
is spent early, as Pocock's boundary does it, since most comparisons end early. Looks may come at
any moments, as long as their choice does not follow what was seen.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadtests.analysis.light_scipy import special

_NODES = 129  # of the density of the sum between two boundaries
_REACH = 8.0  # standard deviations; beyond it is nothing


def spent(part: float, alpha: float) -> float:
    """How much of `alpha` may be spent once so much of the data is there, in [0, 1]."""
    return alpha * math.log1p((math.e - 1) * min(max(part, 0.0), 1.0))


def significances(looks: tuple[int, ...], total: int, alpha: float) -> tuple[float, ...]:
    """
    The two-sided p-value below which each look says that there is a difference.

    They are exact for normal data of known variance; used with Student's t, whose p-values take the
    place of the normal ones, they hold closely (Jennison and Turnbull, Group Sequential Methods,
    2000, chapter 11).

    Args:
        looks: how many independent observations each look has, rising.
        total: how many the last look may have at most.
        alpha: the chance of a false alarm at any of the looks, both sides together.
    """
    return tuple(
        _look(looks[:number], total, alpha).significance for number in range(1, len(looks) + 1)
    )


class _Look(NamedTuple):
    """What the looks so far leave: sums that stayed inside, each with its part of the chance."""

    significance: float
    spent: float
    at: NDArray[np.float64]
    mass: NDArray[np.float64]


@lru_cache(maxsize=1024)
def _look(looks: tuple[int, ...], total: int, alpha: float) -> _Look:
    """The last of the looks; those before it are kept, since looks come one after the other."""
    if not looks:
        return _Look(1.0, 0.0, np.zeros(1), np.ones(1))
    before = _look(looks[:-1], total, alpha)
    step = math.sqrt(looks[-1] - (looks[-2] if len(looks) > 1 else 0))
    wanted = max(spent(looks[-1] / total, alpha) - before.spent, 1e-12)
    bound = _bound(before.at, before.mass, step, wanted)
    nodes, weights = _nodes()
    inside = bound * nodes
    kernel = np.exp(-(((inside[:, None] - before.at[None, :]) / step) ** 2) / 2)
    density = kernel @ before.mass / (step * math.sqrt(2 * math.pi))
    return _Look(
        significance=float(2 * special.ndtr(-bound / math.sqrt(looks[-1]))),
        spent=before.spent + wanted,
        at=inside,
        mass=density * bound * weights,
    )


@lru_cache(maxsize=1)
def _nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The places and weights of Gauss-Legendre quadrature over [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights


def _bound(at: NDArray[np.float64], mass: NDArray[np.float64], step: float, wanted: float) -> float:
    """Where the sum leaves with the probability `wanted`, to either side, after one more step."""

    def leaves(bound: float) -> float:
        return float(2 * mass @ special.ndtr((at - bound) / step))  # `mass` is symmetric

    low, high = 0.0, float(np.abs(at).max()) + _REACH * step
    for _ in range(60):
        middle = (low + high) / 2
        if leaves(middle) > wanted:
            low = middle
        else:
            high = middle
    return high


def looks_so_far(first: int, count: int) -> tuple[int, ...]:
    """A look after each observation from the `first` on."""
    return tuple(range(first, count + 1))


def standard_error(values: Sequence[float], floor: float = 0.0) -> float:
    """
    The standard error of the mean; math.inf for fewer than two values.

    Args:
        floor: the smallest standard deviation of a value that is believed. A few values may be
            equal by chance, and none is known better than what it was counted from.
    """
    if len(values) < 2:
        return math.inf
    return max(float(np.std(values, ddof=1)), floor) / math.sqrt(len(values))


def half_width(values: Sequence[float], significance: float, floor: float = 0.0) -> float:
    """Half the width of Student's interval of the mean that leaves out as much as that."""
    if len(values) < 2:
        return math.inf
    t = float(special.stdtrit(len(values) - 1, 1 - significance / 2))
    return t * standard_error(values, floor)


def p_value(values: Sequence[float], floor: float = 0.0) -> float:
    """Two-sided, of Student's t test that the mean is zero."""
    if len(values) < 2:
        return 1.0
    mean, error = float(np.mean(values)), standard_error(values, floor)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return 2 * float(special.stdtr(len(values) - 1, -abs(mean) / error))
