"""How far the sum of a series may be off, when its terms depend on their neighbours.

The sum of a stationary series has the variance n * s(0), where s(0) is the spectrum at frequency
zero. It is estimated in the frequency domain, as Heidelberger and Welch do (A spectral method for
confidence interval generation and run length control in simulations, CACM 1981): the cosine
transform makes nearly independent coefficients of a dependent series, each with the variance of its
frequency. Short series do not tell which shape the spectrum has, so none is chosen: a family of
shapes is weighted by how well each explains the coefficients, and Student's t is averaged over them
with these weights. White noise, noise that forgets in any time up to a sixth of the series, and
noise that swings back (what ended early cannot end once more) are in the family.

Coefficients of a spiky series vary more than the normal distribution says, so they count for fewer:
the degrees of freedom of a variance shrink with the kurtosis (O'Neill, Some useful moment results
in sampling problems, The American Statistician 2014).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadtests.analysis.light_scipy import fft, special

LEAST = 8  # terms of all series together; with fewer, t is wider than what it is put around
INDEPENDENT = 6  # stretches that forget each other; with fewer, their variance is hardly known

Series = NDArray[np.float64]

_TIMES = (0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4, 5.6, 8, 11, 16, 22, 32)  # to forget; in terms
_LONGEST = 1 / 6  # of the series
_PARTS = (0.5, 0.8, 0.95, 1.0)  # of the variance at frequency zero that is not white noise
_SWINGS = (0.25, 1.0, 4.0, 16.0, 64.0, 256.0)  # variance that takes itself back in the next term
_WHITE, _FORGETS, _SWINGS_BACK = 0.65, 0.28, 0.07  # how likely each kind is beforehand
_NOTHING = 1e-60  # squares below it are rounding
_RELATED = 0.5  # the weight of the second series; it is not independent of the first
_STEPS = 10  # of Newton's method, at most
_LAST_STEP = 1e-6  # of the deviation: the error that is left is about the square of that
_CLOSE = 1e-10  # of the deviation
_REMAINS = 3.0  # how much of what is dependent is added once more, since it is estimated too low


@dataclass(frozen=True, slots=True)
class SpectrumFamily:
    """A weighted family of spectra; `scales` are the standard errors of what is asked, one each."""

    weights: NDArray[np.float64]
    scales: NDArray[np.float64]
    freedom: float

    def beyond(self, deviation: float) -> float:
        """The probability that chance alone deviates so far, to either side."""
        tails = special.stdtr(self.freedom, -deviation / self.scales)
        return 2 * float(self.weights @ tails)

    def half(self) -> float:
        """Half the width of the 95 % interval."""
        t = float(special.stdtrit(self.freedom, 0.975))
        low, high = t * float(self.scales.min()), t * float(self.scales.max())
        below, above = self._around(t * float(self.weights @ self.scales))
        for _ in range(30):
            middle = (low + high) / 2
            if middle <= below or (middle < above and self.beyond(middle) > 0.05):
                low = middle
            else:
                high = middle
        return high

    def _around(self, start: float) -> tuple[float, float]:
        """
        A deviation on each side of the one that chance exceeds in 5 %, close to it.

        By Newton's method between the logarithms, which are nearly on a line.
        """
        root, density = start, _density(self.freedom)
        shares = self.weights / self.scales
        for _ in range(_STEPS):
            away = root / self.scales
            tail = float(self.weights @ special.stdtr(self.freedom, -away))
            densities = (1 + away**2 / self.freedom) ** (-(self.freedom + 1) / 2)
            falls = density * float(shares @ densities) * root
            if not tail or not falls:
                return 0.0, math.inf
            step = math.log(tail / 0.025) * tail / falls
            root *= math.exp(step)
            if abs(step) < _LAST_STEP:
                break
        below, above = root * (1 - _CLOSE), root * (1 + _CLOSE)
        sure = self.beyond(below) > 0.05 > self.beyond(above)
        return (below, above) if sure else (0.0, math.inf)


def _density(freedom: float) -> float:
    """The density of Student's t at zero."""
    gammas = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    return math.exp(gammas) / math.sqrt(freedom * math.pi)


def half_width(
    series: Sequence[Series], related: Sequence[Series] = (), *, between: bool = True
) -> float | None:
    """
    Half the width of the 95 % interval of the sum over all terms of all series.

    None when there are fewer than LEAST terms. With fewer than INDEPENDENT that do not depend on
    each other it is that of Student's t for so few, several times as wide.

    Args:
        series: residuals that add up to zero in all, one series for each stretch without a gap. Two
            or more of them also tell how much one stretch differs from another: then the half width
            is at least that of Student's t for their number. What differs from one start of a
            service to the next, or from one minute to another, is in no single stretch.
        related: another series of the same terms, that forgets in about the same time and shows it
            better; nothing else is taken from it.
        between: whether what one stretch differs from another by counts.
    """
    terms = sum(map(len, series))
    if terms < LEAST:
        return None
    squares = np.concatenate([_coefficients(one)[1:] ** 2 for one in series])
    if not squares.sum() > _NOTHING:
        return _between(series)
    shapes = _shapes(tuple(map(len, series)))
    freedom = _freedom(np.concatenate(series), len(squares))
    count = len(squares)
    total = squares @ shapes.inverse
    fit = -shapes.logarithms / 2 - count / 2 * np.log(total)
    expected = shapes.prior + _RELATED * _evidence(related, shapes)
    weights = _weights(expected + fit * freedom / count)
    noise = SpectrumFamily(weights, np.sqrt(total / count * terms), freedom)
    inflation = max(float(weights @ total) / count / float(squares.mean()), 1.0)
    half = noise.half() * (1 + _REMAINS * (inflation - 1) / terms)
    independent = terms / inflation
    if independent < INDEPENDENT:
        half *= float(special.stdtrit(max(independent - 1, 1), 0.975) / special.ndtri(0.975))
    return max(half, _between(series)) if between else half


def student(count: int) -> float:
    """Student's t of a 95 % interval of the mean of `count` values."""
    return float(special.stdtrit(count - 1, 0.975))


def _between(series: Sequence[Series]) -> float:
    """How much the sums of the series differ; 0 for a single series, which cannot tell."""
    if len(series) < 2:
        return 0.0
    squares = sum(float(one.sum()) ** 2 for one in series)
    count = len(series)
    return student(count) * math.sqrt(count / (count - 1) * squares)


def slope(series: Series) -> tuple[float, float]:
    """
    The least-squares slope per term, and the probability that chance alone gives one so large.

    Args:
        series: at least LEAST terms.
    """
    found, noise = _slope(series)
    if noise is None:
        return found, 0.0 if found else 1.0  # it is a line
    return found, noise.beyond(abs(found))


def slope_interval(series: Series) -> tuple[float, float]:
    """Both ends of the 95 % interval of the least-squares slope per term; see `slope`."""
    found, noise = _slope(series)
    half = 0.0 if noise is None else noise.half()
    return found - half, found + half


def _slope(series: Series) -> tuple[float, SpectrumFamily | None]:
    """The slope and what it is off by; None for a straight line."""
    steps = np.arange(len(series), dtype=np.float64) - (len(series) - 1) / 2
    line, coefficients = _coefficients(steps)[1:], _coefficients(series)[1:]
    length = float(line @ line)
    found = float(line @ coefficients) / length
    left = coefficients - found * line
    squares = left**2
    if squares.sum() <= max(1e-18 * float(coefficients @ coefficients), _NOTHING):
        return found, None
    shapes = _shapes((len(series),))
    freedom = _freedom(series - found * steps, len(squares) - 1)
    total = squares @ shapes.inverse
    fit = -shapes.logarithms / 2 - (len(squares) - 1) / 2 * np.log(total)
    weights = _weights(shapes.prior + fit * freedom / (len(squares) - 1))
    variances = total / (len(squares) - 1) * (shapes.spectra @ line**2) / length**2
    return found, SpectrumFamily(weights, np.sqrt(variances), freedom)


def _coefficients(series: Series) -> Series:
    transformed: Series = fft.dct(series, type=2, norm="ortho")
    return transformed


def _evidence(series: Sequence[Series], shapes: "_Shapes") -> NDArray[np.float64]:
    """Log of how well each shape explains the coefficients of these series, whatever its scale."""
    squares = np.concatenate([np.zeros(0), *(_coefficients(one)[1:] ** 2 for one in series)])
    if not squares.sum() > _NOTHING:
        return np.zeros(len(shapes.prior))
    count = len(squares)
    fit = -(shapes.logarithms + count * np.log(squares @ shapes.inverse)) / 2
    evidence: NDArray[np.float64] = fit * _freedom(np.concatenate(series), count) / count
    return evidence


def _freedom(terms: Series, count: int) -> float:
    """Degrees of freedom of `count` coefficients of these terms."""
    squares = float((terms**2).sum())
    kurtosis = len(terms) * float((terms**4).sum()) / squares**2 - 3
    return 2 * count / (max(kurtosis, 0.0) + 2)


def _weights(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.exp(logarithms - logarithms.max())
    weights /= weights.sum()
    return weights


class _Shapes(NamedTuple):
    """
    Shapes of a spectrum, a row each: 1 at frequency zero, at the coefficients' frequencies.

    `inverse`: their reciprocals, transposed. `logarithms`: the sum of each row's. `prior`: the log
    of how likely each is.
    """

    spectra: NDArray[np.float64]
    inverse: NDArray[np.float64]
    logarithms: NDArray[np.float64]
    prior: NDArray[np.float64]


@lru_cache(maxsize=64)
def _shapes(lengths: tuple[int, ...]) -> _Shapes:
    """The shapes of series of these lengths."""
    at = np.concatenate([np.pi * np.arange(1, length) / length for length in lengths])
    times = [time for time in _TIMES if time <= _LONGEST * min(lengths)]
    shapes, priors = [np.ones_like(at)], [_WHITE]
    for time in times:
        for power in (1, 2):
            for part in _PARTS:
                shapes.append(1 - part + part / (1 + (at * time) ** 2) ** power)
                priors.append(_FORGETS / (2 * len(_PARTS) * len(times)))
    for swing in _SWINGS:
        shapes.append(1 + swing * 4 * np.sin(at / 2) ** 2)
        priors.append(_SWINGS_BACK / len(_SWINGS))
    spectra = np.array(shapes)
    return _Shapes(
        spectra=spectra,
        inverse=(1 / spectra).T,
        logarithms=np.log(spectra).sum(axis=1),
        prior=np.log(np.array(priors) / sum(priors)),
    )
