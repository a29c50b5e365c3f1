"""Estimates the border between levels that meet the SLOs and others from trials at any levels.

Nothing is assumed of how margins depend on the level but that they fall as it rises: so a mean of
the margins at a level and above it cannot be more than what the level has, and if it is above zero
beyond its error, the level meets the SLO; and the other way round. Levels that are near the
border also inform each other, as margins are nearly a straight line there. Only a level that was
tried is ever said to meet or miss an SLO. The capacity lies between the highest level that was
shown to meet every SLO and the lowest that was shown to miss one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from loadtests.analysis.capacity.margins import SURE, Bounds, Slack, Trial

NOISIEST = 3.0  # times what a stage's own interval says
# A line through margins, on a log scale of levels.
_NEAR = 0.15  # from the border; levels farther away are not judged by it
_BEND = 1.0  # at a distance of 1, for a slope of 1; it grows with the square of the slope
_SLOPE, _SLOPE_ERROR = 1.0, 1.0  # beyond saturation a response time grows as the level does
_FLAT = 0.1  # a slope that says nothing of where the line is zero
_ROUNDS = 5  # until the border that the line finds is the one around which it is drawn


@dataclass(frozen=True, slots=True)
class Bracket:
    """
    The estimate of the capacity from trials.

    `passing`: the highest level that meets every SLO; `failing`: the lowest that misses one, above
    `passing`; each None when there is none so far. `crossing`: where the margin of `slo`, the SLO
    that is missed first, is zero; None when every margin has the same sign, which `sign` tells.
    `unreached`: a throughput that no level came up to.
    """

    passing: int | None = None
    failing: int | None = None
    crossing: float | None = None
    slo: str | None = None
    sign: int = 0
    unreached: str | None = None

    def resolved(self, bounds: Bounds) -> bool:
        if self.failing is not None and self.failing <= bounds.lowest:
            return True
        if self.passing is not None and self.passing >= bounds.highest:
            return True
        if self.passing is None or self.failing is None:
            return False
        return self.failing - 1 <= bounds.narrow(self.passing)


def found(trials: Sequence[Trial]) -> Bracket:
    """All SLOs together: the one that is missed first decides."""
    names = dict.fromkeys(name for one in trials for name in one.margins)
    telling = {name: _telling(trials, name) for name in names}
    each = {name: _of_slo(those, name) for name, those in telling.items() if those}
    unreached = next((name for name, those in telling.items() if not those), None)
    if not each:
        return Bracket(sign=1 if unreached else 0, unreached=unreached)
    first = min(each, key=lambda name: _order(each[name]))
    passing = [one.passing for one in each.values()]
    failing = [one.failing for one in each.values() if one.failing is not None]
    everywhere = None if None in passing else min(k for k in passing if k is not None)
    lowest = min(failing, default=None)
    return Bracket(everywhere, lowest, each[first].crossing, first, each[first].sign, unreached)


# One SLO


def _telling(trials: Sequence[Trial], name: str) -> list[Trial]:
    """
    The trials that inform about the border. Too low a throughput says nothing up to the level at
    which there was the most: more users may bring more.
    """
    those = [one for one in trials if name in one.margins]
    if not those or name not in those[0].rising:
        return those
    most = max(those, key=lambda one: one.rate).level
    return [one for one in those if one.level > most or one.margins[name].value > 0]


def _of_slo(trials: Sequence[Trial], name: str) -> Bracket:
    levels, means, errors = _by_level(trials, name)
    crossing, sign = _crossing(levels, means, errors)
    sure = [0.0] * len(levels)
    if crossing is not None:
        line, lined = _line(levels, means, errors, crossing)
        left = max((level for level in levels if level < crossing), default=levels[0])
        right = min((level for level in levels if level > crossing), default=levels[-1])
        if left < lined < right:  # what is not a line would be searched where it was looked already
            crossing = lined
        near = [abs(math.log(level / crossing)) < _NEAR for level in levels]
        sure = [high if close else 0.0 for high, close in zip(line, near, strict=True)]
    losses = [-mean for mean in means]
    # The line decides nothing that a level's own margin speaks against.
    passing_at = [
        i
        for i in range(len(levels))
        if (sure[i] > SURE and means[i] > -SURE * errors[i])
        or _bound(means, errors, range(i, len(levels))) > 0
    ]
    failing_at = [
        i
        for i in range(len(levels))
        if (sure[i] < -SURE and means[i] < SURE * errors[i])
        or _bound(losses, errors, range(i, -1, -1)) > 0
    ]
    passing = levels[passing_at[-1]] if passing_at else None
    # Where both were shown, by chance or since the service remembers, neither is believed there.
    if passing_at and failing_at and failing_at[0] <= passing_at[-1]:
        below = [i for i in passing_at if i < failing_at[0]]
        above = [i for i in failing_at if i > passing_at[-1]]
        passing = levels[below[-1]] if below else None
        failing = levels[above[0]] if above else None
    else:
        failing = levels[failing_at[0]] if failing_at else None
    return Bracket(passing, failing, crossing, name, sign)


def _by_level(trials: Sequence[Trial], name: str) -> tuple[list[int], list[float], list[float]]:
    """
    The levels, rising; the margin of each, weighted by precision; its standard error.

    Errors grow by the Birge ratio where repeats disagree more than they say, up to NOISIEST times:
    a service that remembers its overload disagrees with itself near the border and nowhere else.
    """
    groups: dict[int, list[Slack]] = {}
    for one in trials:
        groups.setdefault(one.level, []).append(one.margins[name])
    levels = sorted(groups)
    means = [mean(groups[level])[0] for level in levels]
    squares = sum(
        ((one.value - centre) / one.error) ** 2
        for level, centre in zip(levels, means, strict=True)
        for one in groups[level]
    )
    freedom = sum(len(group) - 1 for group in groups.values())
    # As if four more repeats had agreed: two that differ by chance are no evidence of noise.
    grown = min(math.sqrt(max((squares + 4) / (freedom + 4), 1.0)), NOISIEST)
    return levels, means, [grown * mean(groups[level])[1] for level in levels]


def mean(margins: Sequence[Slack]) -> tuple[float, float]:
    weights = [1 / one.error**2 for one in margins]
    total = sum(weights)
    value = sum(w * one.value for w, one in zip(weights, margins, strict=True)) / total
    return value, 1 / math.sqrt(total)


def _bound(means: Sequence[float], errors: Sequence[float], order: range) -> float:
    """The best lower bound for the first of `order` from means over it and those that follow."""
    weights = [1 / errors[i] ** 2 for i in order]
    sums = accumulate(w * means[i] for w, i in zip(weights, order, strict=True))
    totals = accumulate(weights)
    return max(s / t - SURE / math.sqrt(t) for s, t in zip(sums, totals, strict=True))


def _crossing(
    levels: Sequence[int], means: Sequence[float], errors: Sequence[float]
) -> tuple[float | None, int]:
    """Where the falling margins (isotonic regression) pass zero, on a log scale of levels."""
    fitted = _falling(means, [1 / error**2 for error in errors])
    if fitted[0] <= 0:
        return None, -1
    if fitted[-1] > 0:
        return None, 1
    for (low, above), (high, below) in pairwise(zip(levels, fitted, strict=True)):
        if above > 0 >= below:
            part = above / (above - below)
            return low * (high / low) ** part, 0
    raise AssertionError("a fall from above zero to below it passes zero")


def _line(
    levels: Sequence[int], means: Sequence[float], errors: Sequence[float], crossing: float
) -> tuple[list[float], float]:
    """
    The margins as a straight line on a log scale of levels, which is where it is zero, and how far
    above zero it is at each level, in standard errors.

    So levels near the border inform each other. Farther away the line is only believed as far as
    it may bend until there: an error that grows with the square of the distance is added to that of
    each level (bias-aware inference; Armstrong and Kolesar, Optimal inference in a class of
    regression models, Econometrica 2018).

    Args:
        crossing: where about the border is.
    """
    values, noise = np.array(means), np.array(errors)
    logs = np.log(np.array(levels, dtype=float))
    centre, slope = math.log(crossing), _SLOPE
    for _ in range(_ROUNDS):
        at = logs - centre
        weights = 1 / (noise**2 + (_BEND * max(slope**2, 1.0) * at**2) ** 2)
        # Least squares of height - slope * at, with one more observation, of the slope alone.
        total, first = weights.sum(), weights @ at
        second = weights @ at**2 + 1 / _SLOPE_ERROR**2
        above, along = weights @ values, weights @ (at * values) - _SLOPE / _SLOPE_ERROR**2
        scale = total * second - first**2
        height = (second * above - first * along) / scale
        slope = (first * above - total * along) / scale
        deviations = np.sqrt((second - 2 * first * at + total * at**2) / scale)
        sure = (height - slope * at) / deviations
        if slope > _FLAT:
            centre = min(max(centre + height / slope, logs[0]), logs[-1])
    return sure.tolist(), math.exp(centre)


def _falling(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the isotonic regression of the values: falling, and nearest to them."""
    from scipy.optimize import isotonic_regression  # a quarter second that others need not wait

    fitted: list[float] = isotonic_regression(values, weights=weights, increasing=False).x.tolist()
    return fitted


def _order(one: Bracket) -> float:
    """SLOs in the order in which they break."""
    if one.crossing is not None:
        return one.crossing
    return -math.inf if one.sign < 0 else math.inf
