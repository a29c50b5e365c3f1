"""What disturbed each block of a comparison, and its values without what came of that.

What others took of the cores during a block, and how late generator and mock were, is known apart
from the answers, and part of what blocks of one service differ by follows it. So it is a control
variate (Glynn and Szechtman, Some new perspectives on the method of control variates, 2002); for
experiments the same is called CUPED (Deng et al., Improving the sensitivity of online controlled
experiments by utilizing pre-experiment data, 2013).

The coefficients are those of least squares among blocks of one side of one round, which share
everything but what went on meanwhile: what the two sides differ by has no part in them. Where the
disturbances explain hardly more than chance would, they are shrunk towards zero.

Why equals are called different no more often than without: the coefficients stay what they are
when the sides of a round change their names. So of equals, whatever disturbs them, each adjusted
round is as likely to speak for the one side as for the other, and rounds are independent as before.
What a badly estimated coefficient adds is part of the spread between the rounds, which the test
knows.
"""

from collections.abc import Mapping, Sequence
from math import fsum

import numpy as np
from numpy.typing import NDArray

from loadtests.analysis.records import StageRecord

Covariates = Mapping[str, float]
Side = Sequence[tuple[float, Covariates]]
"""The blocks of one side of a round: a value, and what disturbed the block."""

UNSEEN = 0.01
"""
Cores. A deployment's command that uses less is perhaps only the client of a container, whose own
processes are then the others that use its cores.
"""
_SPARE = 10  # degrees of freedom that must be left to the error of the coefficients
_SAME = 1e-6  # a standard deviation below which a disturbance was the same in all blocks


def of_block(record: StageRecord) -> dict[str, float]:
    """
    What disturbed a stage, by name: the share that others took of each group of cores, and seconds
    by which generator and mock were late. Response times have no part in it.
    """
    found: dict[str, float] = {}
    if record.dones:
        found["generator"] = max(done.lag for done in record.dones.values())
    usage = record.usage
    if usage is None:
        return found
    if usage.late is not None:
        found["mock"] = usage.late
    used = usage.processes.get(record.stage.deployment, {})
    # What a service at a URL uses is the work of others, as far as can be seen.
    seen = fsum(one.cpu for one in used.values()) >= UNSEEN * usage.seconds > 0
    for one in usage.taken:
        name = f"cores {' '.join(map(str, one.cores))}"
        found[name] = one.stolen + (one.others if seen else 0.0)
    return found


def adjusted(sides: Sequence[Side]) -> tuple[list[list[float]], int]:
    """
    The values of each side as they would be if all blocks had been disturbed as the mean of all.

    Args:
        sides: those of all rounds; within each the blocks are alike but for noise.

    Returns:
        The values, and how many coefficients were estimated for it; 0: they are as they were.
    """
    plain = [[value for value, _ in side] for side in sides]
    blocks = [covariates for side in sides for _, covariates in side]
    names = sorted(set.intersection(*(set(one) for one in blocks))) if blocks else []
    if not names:
        return plain, 0
    x = np.array([[one[name] for name in names] for one in blocks])
    y = np.array([value for values in plain for value in values])
    ends = np.cumsum([len(side) for side in sides])[:-1]
    x -= x.mean(axis=0)
    within = _within(x, ends)
    varies = within.std(axis=0) > _SAME
    x, within = x[:, varies], within[:, varies]
    coefficients = _coefficients(within, _within(y[:, None], ends)[:, 0], len(y) - len(sides))
    if coefficients is None:
        return plain, 0
    changed = y - x @ coefficients
    return [part.tolist() for part in np.split(changed, ends)], len(coefficients)


def _within(values: NDArray[np.float64], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each less the mean of its side."""
    return np.concatenate([part - part.mean(axis=0) for part in np.split(values, ends)])


def _coefficients(
    x: NDArray[np.float64], y: NDArray[np.float64], freedom: int
) -> NDArray[np.float64] | None:
    """Of least squares, shrunk as far as chance explains them; None: there are too few blocks."""
    scale = np.sqrt((x**2).sum(axis=0))
    count = x.shape[1]
    left = freedom - count
    if not count or left < _SPARE:
        return None
    found = np.linalg.lstsq(x / scale, y, rcond=1e-6)[0]
    explained = float(((x / scale @ found) ** 2).sum())
    rest = float(y @ y) - explained
    if explained <= 0:
        return None
    chance = count * max(rest, 0.0) / left
    shrunk: NDArray[np.float64] = max(1.0 - chance / explained, 0.0) * found / scale
    return shrunk
