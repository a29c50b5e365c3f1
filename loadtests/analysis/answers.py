"""In what the successes of two deployments differ: then they do not do the same work."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from loadtests.analysis.blocks import Block
from loadtests.analysis.duel_terms import Terms
from loadtests.analysis.effects import Effect, effect, of_metric
from loadtests.analysis.words import percent, rounded

LEAST = 0.01  # by which sizes, or calls of the upstream, differ at least; less is no other work


def of_rounds(
    rounds: Sequence[Sequence[Block]], terms: Terms, significance: Callable[[Effect], float]
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
        told.append(sizes((size.a, size.b), names))
    calls = of_metric(rounds, names, level, "calls")
    if apart(calls, math.log1p(LEAST)):
        sides = (_mean(blocks, name, "calls") for name in names)
        told.append(called(tuple(sides), names))
    return told


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


def _mean(blocks: Sequence[Block], name: str, figure: str) -> float:
    values = [
        one.values[figure] for one in blocks if one.deployment == name and figure in one.values
    ]
    return math.fsum(values) / len(values) if values else 0.0
