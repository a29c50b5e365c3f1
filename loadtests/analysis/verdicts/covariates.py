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

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import fsum
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.analysis.checks.disturbances import UNSEEN
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.stops import stops
from loadtests.analysis.numbers import percent
from loadtests.recording.slices import LENGTH

Sample = Mapping[str, Any]
Covariates = Mapping[str, float]
Side = Sequence[tuple[float, Covariates]]
"""The blocks of one side of a round: a value, and what disturbed the block."""

_CORES = "cores "
_SPARE = 10  # degrees of freedom that must be left to the error of the coefficients
_TOO_MUCH = 0.4
"""Of the time of a group of cores, more than usual: a block in which others took it says nothing.
What comes of so much is no longer in proportion to it."""
_STOPPED = 0.01  # seconds of a quarter second, by a signal
_STOLEN = 0.0375  # seconds of it; less comes in short slices all the time and stops nobody for long
_SAMPLED = 2.0  # seconds after which a sample has covered a moment
_TOLD = 0.05  # of that time, in the mean: it is told
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
        name = f"{_CORES}{' '.join(map(str, one.cores))}"
        found[name] = one.stolen + (one.others if seen else 0.0)
    return found


def stalls(record: StageRecord, samples: Sequence[Sample]) -> list[int]:
    """
    The quarter seconds of a stage's window, counted from its first, in which nothing of ours could
    run for a while, or requests were in flight from before or just after.

    That is where the host took a core away, or a signal stopped a process; other processes only
    share a core. What that does to a few requests makes the tail of a block.
    """
    if record.window is None:
        return []
    start, end = record.window
    names = record.stage.deployment, "mock", "generator"
    stopped = [(begin, until) for name, begin, until in stops(samples) if name in names]
    usage = record.usage
    ours = {core for one in usage.taken for core in one.cores} if usage else set[int]()
    stolen = list(_stolen(samples, ours, start, end))
    count = round((end - start) / LENGTH)
    found = set[int]()
    for index in range(-1, count + 1):
        low = start + index * LENGTH
        if _within_quarter(stopped, low) > _STOPPED or _within_quarter(stolen, low) > _STOLEN:
            found |= {index - 1, index, index + 1}
    return sorted(index for index in found if 0 <= index < count)


def _within_quarter(spells: Sequence[tuple[float, float]], start: float) -> float:
    """Seconds of the spells in the quarter second that starts then."""
    end = start + LENGTH
    return fsum(max(min(until, end) - max(begin, start), 0.0) for begin, until in spells)


def _stolen(
    samples: Sequence[Sample], cores: Collection[int], start: float, end: float
) -> Iterator[tuple[float, float]]:
    """
    Spells as long as what the host took of one core, from the quarter seconds of the samples
    one by one; those of earlier versions do not.
    """
    for sample in samples:
        looks = sample.get("quarters")
        if not start <= sample["at"] <= end + _SAMPLED or not isinstance(looks, list):
            continue
        for look in looks:
            try:
                at = float(look["at"])
                taken = [
                    float(look["stolen"][core]) for core in cores if core < len(look["stolen"])
                ]
            except (KeyError, TypeError, ValueError):  # of another version
                continue
            yield at - min(max(taken, default=0.0), 1.0) * LENGTH, at


def spoilt(blocks: Sequence[Covariates]) -> list[bool]:
    """Whether others took so much more than usual in each block that it says nothing."""
    usual = {
        name: median(one[name] for one in blocks if name in one)
        for name in {name for one in blocks for name in one if name.startswith(_CORES)}
    }
    return [
        any(one.get(name, 0.0) - amount > _TOO_MUCH for name, amount in usual.items())
        for one in blocks
    ]


def other_work(blocks: Sequence[Covariates]) -> str | None:
    """How much others took of the cores, in words; None: hardly anything, or it is not known."""
    found = []
    for name in sorted({name for one in blocks for name in one if name.startswith(_CORES)}):
        shares = [one[name] for one in blocks if name in one]
        if fmean(shares) >= _TOLD:
            numbers = name.removeprefix(_CORES).split()
            cores = f"core{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)}"
            worst = percent(max(shares))
            found.append(f"{percent(fmean(shares))} of {cores} (up to {worst} in a block)")
    if not found:
        return None
    return (
        f"other processes or the host of this machine took {' and '.join(found)}; what came of it "
        "is taken out as far as it is known"
    )


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
    """Least-squares coefficients, shrunk as far as chance explains them; None: too few blocks."""
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
