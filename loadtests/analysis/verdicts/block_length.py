"""How long the blocks of a comparison are: as long as the first ones show that it takes.

The plan's upstream tells how long an answer takes if a request calls it once. A URL tells nothing,
and a service may call it ten times, or not at all. So the first blocks say it, by response times of
the service: where they are too short, the comparison begins once more with longer ones; where the
first of each side are much too long, with shorter ones. Those before are trials that count for
nothing. What they show of one side's speed against the other's has no part in it.
"""

import math
from collections.abc import Sequence

from loadtests.analysis import proposals
from loadtests.analysis.stats.sample_size import least, requests_for
from loadtests.analysis.verdicts.blocks import Block
from loadtests.analysis.verdicts.config import (
    FIRST,
    MEASURE,
    SETTLE,
    STARTING,
    SWITCHING,
    ComparisonConfig,
)
from loadtests.recording.slices import LENGTH, whole_slices
from loadtests.results import QUANTILES

REQUESTS = 2  # times those that a quantile takes, in a block
SETTLING = 2  # cycles of a user until queues are what they will be
CYCLES = 3  # of a user, at least, in what is measured
_ENOUGH = 0.75  # of that: a block is not made longer for less
_LONGEST = 30.0  # seconds that are measured in a block, at most
_WORTH = 1.2  # times as long, at least, for which a comparison begins once more
_MUCH = 1.5  # times as long as would do, at least, for which it begins once more with shorter ones
_FAILING = 0.5  # of the requests; how long these take says nothing


def trials(blocks: Sequence[Block]) -> int:
    """How many blocks at the beginning were too short: they have another length than the last."""
    for place in range(len(blocks) - 1, -1, -1):
        if blocks[place].length != blocks[-1].length:
            return place + 1
    return 0


def played(terms: ComparisonConfig, blocks: Sequence[Block]) -> ComparisonConfig:
    """The terms with the length of the blocks that were played last."""
    length = blocks[-1].length if blocks else None
    return terms.lasting(*length) if length else terms


def following(terms: ComparisonConfig, blocks: Sequence[Block]) -> tuple[float, float]:
    """The length of the next block: seconds to settle, and seconds that are measured."""
    now = played(terms, blocks)
    settle, measure = now.settle, now.measure
    first = trials(blocks)
    counted = blocks[first:]
    if terms.fixed or len(counted) >= terms.size:
        return settle, measure
    if not first and (shorter := _shorter(now, counted)) is not None:
        return shorter
    for block in counted:
        if block.cycle is not None and block.values.get("errors", 0.0) <= _FAILING:
            longer = _wanted(now, block, block.cycle)
            settle, measure = max(settle, longer[0]), max(measure, longer[1])
    return settle, measure


def too_short(terms: ComparisonConfig, blocks: Sequence[Block]) -> str | None:
    """
    Why no block of the comparison can hold enough requests for its quantile, in words; None: they
    can, or the next ones are longer.
    """
    needed = least(QUANTILES[terms.metric]) if terms.metric in QUANTILES else 0
    counted = [
        one
        for one in blocks[trials(blocks) :]
        if one.level == terms.at[0] and not one.wrong and one.values.get("errors", 0.0) <= _FAILING
    ]
    sides = [[one for one in counted if one.deployment == name] for name in terms.names]
    short = [one for one in counted if one.requests < needed]
    now = played(terms, blocks)
    if not all(sides) or 2 * len(short) < len(counted):
        return None
    if following(terms, blocks) != (now.settle, now.measure):
        return None
    fewest = min(short, key=lambda one: one.requests)
    told = (
        f"a block had only {fewest.requests:,} requests, too few for {terms.metric}, which takes "
        f"{needed}: "
    )
    others = "more users (--at) or a lower quantile (--metric p50)"
    if terms.metric == "p50":
        others = "or more users (--at)"
    measure = now.measure * requests_for(QUANTILES[terms.metric]) / max(fewest.requests, 1)
    if measure > proposals.LONGEST:
        return f"{told}{others.removeprefix('or ')}"
    if terms.fixed or fewest.length is None:
        return f"{told}measure for longer (--measure {math.ceil(measure)}s), {others}"
    longer = now.lasting(now.settle, measure)
    within = FIRST * longer.round_seconds / 60
    return f"{told}give it more time (--within {math.ceil(within)}m), {others}"


def _shorter(now: ComparisonConfig, blocks: Sequence[Block]) -> tuple[float, float] | None:
    """The length that does where the first block of each side at each level was much too long."""
    if {(one.deployment, one.level) for one in blocks} != {
        (name, level) for name in now.names for level in now.at
    }:
        return None
    settle, measure = SETTLE, MEASURE
    for one in blocks:
        if one.cycle is None or one.wrong or one.values.get("errors", 0.0) > _FAILING:
            return None
        needed = requests_for(QUANTILES[now.metric]) if now.metric in QUANTILES else 0
        seconds = max(CYCLES * one.cycle, REQUESTS * needed / max(one.rate, 1e-3))
        settle = max(settle, whole_slices(SETTLING * one.cycle))
        measure = max(measure, whole_slices(seconds))
    settle, measure = min(settle, now.settle), min(measure, now.measure)
    return (settle, measure) if now.settle + now.measure > _MUCH * (settle + measure) else None


def _wanted(now: ComparisonConfig, block: Block, cycle: float) -> tuple[float, float]:
    """The length that this block shows to be needed; that of `now` where that is enough."""
    settle, measure = now.settle, now.measure
    if settle < _ENOUGH * SETTLING * cycle:
        settle = whole_slices(SETTLING * cycle)
    needed = requests_for(QUANTILES[now.metric]) if now.metric in QUANTILES else 0
    least_measure = _ENOUGH * CYCLES * cycle
    if measure < least_measure or block.requests < needed:
        seconds = REQUESTS * needed / max(block.rate, 1e-3)
        measure = max(measure, whole_slices(min(max(CYCLES * cycle, seconds), _LONGEST)))
    # As many rounds as a first look takes have to fit into the time that there is.
    both = (now.within / FIRST - STARTING * now.restarts) / now.size - SWITCHING - cycle
    both = max(math.floor(both / LENGTH) * LENGTH, now.settle + now.measure)
    settle = max(min(settle, whole_slices(both / 3)), now.settle)
    measure = max(min(measure, both - settle), now.measure)
    if settle + measure < _WORTH * (now.settle + now.measure):
        return now.settle, now.measure
    return settle, measure
