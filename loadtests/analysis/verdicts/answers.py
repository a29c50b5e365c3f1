"""Differences between the successes of two deployments: then they do not do the same work."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from loadtests.analysis.numbers import percent, rounded
from loadtests.analysis.stats.intervals import proportion
from loadtests.analysis.stats.ratios import ratio
from loadtests.analysis.verdicts.blocks import Block
from loadtests.analysis.verdicts.config import ComparisonConfig
from loadtests.analysis.verdicts.effects import Effect, effect, of_metric
from loadtests.results import Estimate, Point

LEAST = 0.01  # by which sizes, or calls of the upstream, differ at least; less is no other work
_CHANCE = 4.0  # standard errors of a count of calls
_TAIL = 0.005  # of an interval, on each side


def of_rounds(
    rounds: Sequence[Sequence[Block]],
    terms: ComparisonConfig,
    significance: Callable[[Effect], float],
) -> list[str]:
    """
    A line for each difference that is more than chance: statuses, sizes of bodies, calls of the
    upstream for each request; at the level that decides.

    Args:
        significance: the p-value below which an effect is more than chance.
    """
    names, level = terms.names, terms.at[0]
    blocks = [one for part in rounds for one in part if one.level == level]
    mixes = {name: _mix(one.statuses for one in blocks if one.deployment == name) for name in names}
    statuses = sorted({status for mix in mixes.values() for status in mix})

    def apart(found: Effect, least: float = 0.0) -> bool:
        if len(found.values) < 2 or abs(found.mean) <= least:
            return False
        return found.p_value() < significance(found) / (len(statuses) + 2)

    told = []
    parts = (effect(rounds, names, level, _share(one), share=True) for one in statuses)
    if len(statuses) > 1 and any(apart(one) for one in parts):
        told.append(f"answers differ: {mixture(mixes, names)}")
    size = of_metric(rounds, names, level, "size")
    if apart(size, math.log1p(LEAST)):
        told.append(sizes(_means(blocks, names, "size"), names))
    calls = of_metric(rounds, names, level, "calls")
    if apart(calls, math.log1p(LEAST)):
        told.append(called(_means(blocks, names, "calls"), names))
    return told


def of_points(
    a: Point, b: Point, names: tuple[str, str], apart: Callable[[Estimate], bool]
) -> list[str]:
    """
    The differences of two points of saved runs; empty where an older version recorded none.

    Args:
        apart: whether a ratio of sizes differs from 1 by LEAST and more than chance.
    """
    told = []
    totals = [sum(point.statuses.values()) for point in (a, b)]
    if all(totals) and _statuses_apart(a.statuses, b.statuses):
        mixes = dict(zip(names, (a.statuses, b.statuses), strict=True))
        told.append(f"answers differ: {mixture(mixes, names)}")
    if a.size and b.size:
        seen = ratio(a.size, b.size)
        if apart(seen) if seen else a.size.value != b.size.value:
            told.append(sizes((a.size.value, b.size.value), names))
    if a.calls is not None and b.calls is not None and a.requests and b.requests:
        chance = _CHANCE / math.sqrt(min(a.requests, b.requests))
        least = (LEAST + chance) * max(a.calls, b.calls)
        if abs(a.calls - b.calls) > least:
            told.append(called((a.calls, b.calls), names))
    return told


def _statuses_apart(a: Mapping[str, int], b: Mapping[str, int]) -> bool:
    """True if the statuses differ by LEAST, and by more than chance (Clopper and Pearson 1934)."""
    every = {*a, *b}
    totals = sum(a.values()), sum(b.values())
    for status in every if len(every) > 1 else ():
        counts = a.get(status, 0), b.get(status, 0)
        if abs(counts[0] / totals[0] - counts[1] / totals[1]) <= LEAST:
            continue
        (low, high), (low_b, high_b) = (
            proportion(count, total, _TAIL / len(every))
            for count, total in zip(counts, totals, strict=True)
        )
        if low > high_b or low_b > high:
            return True
    return False


def other_work(differing: Sequence[str]) -> str:
    """Why a faster side is not better, in a sentence."""
    return (
        "The two do not do the same work, so that a faster one is not better: "
        f"{'; '.join(differing)}."
    )


def mixture(mixes: Mapping[str, Mapping[str, float]], names: tuple[str, str]) -> str:
    """E.g. "200 in base, 200 (90 %) and 204 (10 %) in head"."""
    sides = []
    for name in names:
        mix = mixes[name]
        total = sum(mix.values())
        parts = [
            status if len(mix) == 1 else f"{status} ({percent(count / total)})"
            for status, count in sorted(mix.items())
        ]
        sides.append(f"{' and '.join(parts) or 'nothing'} in {name}")
    return ", ".join(sides)


def sizes(means: tuple[float, ...], names: tuple[str, str]) -> str:
    """E.g. "sizes differ: 1,200 bytes in base, 2 bytes in head"."""
    sides = (f"{rounded(mean, 3)} bytes in {name}" for mean, name in zip(means, names, strict=True))
    return f"sizes differ: {', '.join(sides)}"


def called(means: tuple[float, ...], names: tuple[str, str]) -> str:
    """E.g. "calls of the upstream for each request differ: 1 in base, 0 in head"."""
    sides = (f"{rounded(mean, 3)} in {name}" for mean, name in zip(means, names, strict=True))
    return f"calls of the upstream for each request differ: {', '.join(sides)}"


def _mix(every: Iterable[Mapping[str, int]]) -> Counter[str]:
    mix = Counter[str]()
    for one in every:
        mix.update(one)
    return mix


def _share(status: str) -> Callable[[Block], float | None]:
    def share(block: Block) -> float | None:
        total = sum(block.statuses.values())
        return block.statuses.get(status, 0) / total if total else None

    return share


def _means(blocks: Sequence[Block], names: tuple[str, str], figure: str) -> tuple[float, ...]:
    """The mean of the figure for each side, over its blocks."""
    sides = (
        [one.values[figure] for one in blocks if one.deployment == name and figure in one.values]
        for name in names
    )
    return tuple(math.fsum(values) / len(values) if values else 0.0 for values in sides)
