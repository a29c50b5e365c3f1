"""How sure a look at growing data must be, when there may be many looks: group sequential tests.

The chance of a false alarm is spent look by look, by a function of the part of the data that is
there (Lan and DeMets, Discrete sequential boundaries for clinical trials, Biometrika 1983). Here it
is spent early, as Pocock's boundary does it, since most comparisons end early. Looks may come at
any moments, as long as their choice does not follow what was seen.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

_GRID = 801  # points of the density of the score between two boundaries
_REACH = 8.0  # standard deviations; beyond it is nothing


def spent(part: float, alpha: float) -> float:
    """How much of `alpha` may be spent once so much of the data is there, in [0, 1]."""
    return alpha * math.log1p((math.e - 1) * min(max(part, 0.0), 1.0))


@lru_cache(maxsize=4096)
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
    found: list[float] = []
    before, so_far = 0, 0.0
    at: NDArray[np.float64] = np.zeros(1)
    density: NDArray[np.float64] = np.ones(1)  # of the sum of the observations, not stopped yet
    weights: NDArray[np.float64] = np.ones(1)
    for count in looks:
        step = math.sqrt(count - before)
        wanted = max(spent(count / total, alpha) - so_far, 1e-12)
        bound = _bound(at, density * weights, step, wanted)
        found.append(float(2 * special.ndtr(-bound / math.sqrt(count))))
        so_far += wanted
        inside = np.linspace(-bound, bound, _GRID)
        kernel = np.exp(-(((inside[:, None] - at[None, :]) / step) ** 2) / 2)
        density = kernel @ (density * weights) / (step * math.sqrt(2 * math.pi))
        at, before = inside, count
        weights = np.full(_GRID, inside[1] - inside[0])
        weights[[0, -1]] /= 2
    return tuple(found)


def _bound(at: NDArray[np.float64], mass: NDArray[np.float64], step: float, wanted: float) -> float:
    """Where the sum leaves with the probability `wanted`, to either side, after one more step."""

    def leaves(bound: float) -> float:
        tails = special.ndtr((at - bound) / step) + special.ndtr((-at - bound) / step)
        return float(mass @ tails)

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


def half_width(values: Sequence[float], significance: float) -> float:
    """Half the width of Student's interval of the mean that leaves out as much as that."""
    count = len(values)
    if count < 2:
        return math.inf
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    return float(special.stdtrit(count - 1, 1 - significance / 2)) * error


def p_value(values: Sequence[float]) -> float:
    """Two-sided, of Student's t test that the mean is zero."""
    count = len(values)
    if count < 2:
        return 1.0
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(count)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return 2 * float(special.stdtr(count - 1, -abs(mean) / error))
