"""What the rounds of a comparison say of one figure: one number for each round, and its error.

Times, throughput and CPU are taken without what came of disturbances that were measured apart from
them; see `covariates`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from loadtests.analysis.stats import sequential
from loadtests.analysis.verdicts import covariates
from loadtests.analysis.verdicts.blocks import FARTHEST, Block
from loadtests.analysis.verdicts.config import FIRST
from loadtests.results import QUANTILES, Estimate

Figure = Callable[[Block], float | None]
"""A block's value; None where it was not measured."""

_FOLLOWS = (*QUANTILES, "throughput", "cpu")  # metrics that disturbances change
_WITHIN = 0.5
"""
Of what the blocks of a round say of its error: that much is the least that is believed. Where
values come in few steps (a p95 that is 50 ms or 1 s, a burst of failures or none), four rounds can
be equal by chance; the spread of their blocks shows that they need not have been. The whole of it
would cost power, since the order of the blocks cancels what drifts.
"""

_LEFT = 2  # blocks on each side of a round, or it does not count


@dataclass(frozen=True, slots=True)
class Effect:
    """
    B against A in each usable round: the log of B over A, or B less A for a share.

    `rounds`: which ones these are, counted from 0. `floor`: the smallest standard deviation of a
    round that is believed. `a`, `b`: the figure of each side, the geometric mean over the rounds
    (of a share the mean). `endless_a`, `endless_b`: how many blocks of each side were infinitely
    slow, or did nothing at all, of `blocks` on a side.
    """

    values: Sequence[float] = ()
    rounds: Sequence[int] = ()
    floor: float = 0.0
    a: float = 0.0
    b: float = 0.0
    endless_a: int = 0
    endless_b: int = 0
    blocks: int = 0

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def endless(self) -> bool:
        return bool(self.endless_a or self.endless_b)

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return sequential.standard_error(self.values, self.floor)

    def p_value(self) -> float:
        return sequential.p_value(self.values, self.floor)

    def half_width(self, significance: float) -> float:
        return sequential.half_width(self.values, significance, self.floor)

    def ratio(self, significance: float) -> Estimate:
        """The mean of logs as a ratio, with its interval once there are enough."""
        mean = self.difference(significance)
        return Estimate(
            value=math.exp(mean.value),
            low=None if mean.low is None else math.exp(mean.low),
            high=None if mean.high is None else math.exp(mean.high),
        )

    def difference(self, significance: float) -> Estimate:
        """The mean, with its interval once there are enough."""
        if len(self.values) < FIRST:
            return Estimate(value=self.mean)
        half = self.half_width(significance)
        return Estimate(value=self.mean, low=self.mean - half, high=self.mean + half)


def effect(
    rounds: Sequence[Sequence[Block]],
    names: tuple[str, str],
    level: int,
    figure: Figure,
    *,
    share: bool = False,
    adjust: bool = False,
) -> Effect:
    """
    What the rounds say of one figure at one level; rounds with a block that cannot be used, or that
    did not measure it, are left out.

    The floor of the error is what one request more or less on each side of a round makes, and what
    the blocks of the rounds differ by among themselves.

    Args:
        names: A and B.
        share: B less A, in place of the log of B over A.
        adjust: without what came of disturbances.
    """
    placed, numbered, endless, requests = list[_Side](), list[int](), [0, 0], math.inf
    for round_number, one in enumerate(rounds):
        if (sides := _sides(one, names, level, figure)) is None:
            continue
        numbers = [[value for value, _ in side] for side in sides]
        logs = numbers if share else _logs(numbers)
        if logs is None:
            continue
        numbered.append(round_number)
        for number, (side, values) in enumerate(zip(sides, logs, strict=True)):
            placed.append([(v, block) for v, (_, block) in zip(values, side, strict=True)])
            endless[number] += sum(not _is_measured(v) for v in numbers[number] if not share)
            requests = min(requests, *(block.requests for _, block in side))
    if not placed:
        return Effect()
    found, coefficients = _adjusted(placed, adjust and not any(endless))
    means = [fmean(side) for side in found]
    spreads = [(v - mean) ** 2 for side, mean in zip(found, means, strict=True) for v in side]
    freedom = len(spreads) - len(found) - coefficients
    aside = len(spreads) / len(found)  # blocks on a side
    spread = math.sqrt(math.fsum(spreads) / freedom) if freedom else 0.0
    a, b = fmean(means[::2]), fmean(means[1::2])
    return Effect(
        values=[b - a for a, b in zip(means[::2], means[1::2], strict=True)],
        rounds=numbered,
        floor=max(
            _WITHIN * spread * math.sqrt(2 / aside), math.sqrt(2) / (aside * max(requests, 1))
        ),
        a=a if share else math.exp(a),
        b=b if share else math.exp(b),
        endless_a=endless[0],
        endless_b=endless[1],
        blocks=len(spreads) // 2,
    )


_Side = list[tuple[float, Block]]


def _adjusted(sides: Sequence[_Side], adjust: bool) -> tuple[list[list[float]], int]:
    """The values of each side, and how many coefficients were estimated to adjust them."""
    if not adjust:
        return [[value for value, _ in side] for side in sides], 0
    return covariates.adjusted([[(v, block.disturbances) for v, block in side] for side in sides])


def of_metric(
    rounds: Sequence[Sequence[Block]], names: tuple[str, str], level: int, metric: str
) -> Effect:
    """The effect on a metric; `errors` are a share."""
    return effect(
        rounds,
        names,
        level,
        lambda block: block.values.get(metric),
        share=metric == "errors",
        adjust=metric in _FOLLOWS,
    )


def _sides(
    one: Sequence[Block], names: tuple[str, str], level: int, figure: Figure
) -> list[_Side] | None:
    """The figures of A and of B in a round, each with its block; without those that are spoilt."""
    sides: dict[str, _Side] = {name: [] for name in names}
    least = 1
    for block in one:
        if block.level != level:
            continue
        value = figure(block)
        if block.wrong or value is None:
            return None
        if block.spoilt:
            least = _LEFT
        else:
            sides[block.deployment].append((value, block))
    return [*sides.values()] if all(len(side) >= least for side in sides.values()) else None


def _logs(sides: Sequence[Sequence[float]]) -> list[list[float]] | None:
    """
    Logarithms; what is infinite is FARTHEST times the smallest of the others, and nothing at all
    that part of the largest, or as much as what is farther. None where there are no others.
    """
    known = [value for side in sides for value in side if _is_measured(value)]
    if not known:
        return None
    low, high = min(known), max(known)
    least, most = min(low, high / FARTHEST), max(high, low * FARTHEST)
    return [[math.log(min(max(value, least), most)) for value in side] for side in sides]


def _is_measured(value: float) -> bool:
    return 0 < value < math.inf
