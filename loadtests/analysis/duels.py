"""Two deployments that took turns -> a verdict.

The unit is the round: both deployments started anew, then eight short blocks in the order
A B B A B A A B or the other way about (Thue and Morse), which cancels what drifts, be it steadily
or in a curve. A round gives one number for each metric, the log of B over A, and rounds are as good
as independent: what one start of a service differs from another by, and what the machine does
meanwhile, is in their spread. So the interval is Student's, of the mean over the rounds, and the
verdict a group sequential test (`sequential`).
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import special

from loadtests.analysis import duel_words
from loadtests.analysis.blocks import FARTHEST, Block
from loadtests.analysis.metrics import METRICS, Metric
from loadtests.analysis.sequential import half_width, looks_so_far, p_value, significances
from loadtests.results import BlockShown, Change, Estimate, Kind, Verdict

T = TypeVar("T")
ERRORS = "errors"  # told as a difference: there may be none on one side
HIGHER_IS_BETTER = ("throughput",)

FIRST = 4  # rounds before the first look: with fewer, Student's t is wider than any effect
BLOCKS = 8  # of a round, at each level
ALARMS = 0.01  # the chance that two equal deployments are called different
EQUAL = 0.05  # the chance that two which differ by the margin are called equivalent, both sides
INTERVAL = 0.03
"""
What the intervals leave out on paper. A comparison that stops when it knows stops more often when
chance has helped: of intervals that would leave out 0.05 of a fixed plan, up to 0.09 miss the truth
then; of these 0.06 at most (tests/benchmarks/verdicts.py).
"""
POWER = 0.9  # of the smallest change that is told
_LONGEST = 3600.0  # seconds; a comparison that needs more will not be decided
_FAILING = 0.5  # of the requests: there is nothing to compare
_UNUSABLE = 0.5  # of the rounds: then the rest is no fair choice of them
_DISTURBED = 0.5
"""Of the blocks. What delays every answer makes two services look more alike than they are, so they
may still be told apart, but not be called equivalent."""


class Terms(BaseModel):
    """
    What is compared: `at` are levels, the first one decides; times in seconds.

    `round_seconds` is what a round takes by the plan; how many rounds there may be must not follow
    from what was measured.
    """

    model_config = ConfigDict(frozen=True)

    a: str
    b: str
    metric: Metric = "p95"
    at: tuple[int, ...]
    model: Literal["closed", "open"] = "closed"
    margin: float = 0.05
    within: float = 360.0
    round_seconds: float
    seed: int = 0
    restarts: bool = True

    @property
    def total(self) -> int:
        """The rounds that there is time for."""
        return max(int(self.within // self.round_seconds), FIRST)

    @property
    def size(self) -> int:
        """The stages of a round."""
        return BLOCKS * len(self.at)


def rounds_of(stages: Sequence[T], terms: Terms) -> list[Sequence[T]]:
    """The rounds that are complete, of blocks or of whatever else there is of each stage."""
    size = terms.size
    return [stages[i : i + size] for i in range(0, len(stages) - size + 1, size)]


def verdict(blocks: Sequence[Block], terms: Terms, dead: Mapping[str, str] = {}) -> Verdict:
    """
    What the blocks say so far, in the order of play.

    Args:
        dead: deployments that have ended on the way, and how.
    """
    rounds = rounds_of(blocks, terms)
    level, metric = terms.at[0], terms.metric
    logs = [_log_ratio(one, terms, metric, level) for one in rounds]
    values = [one for one in logs if one is not None]
    seen = _Seen(blocks, rounds, values, terms)
    changes = list(_changes(rounds, terms))
    problems = [*seen.problems()]
    kind: Kind = "INVALID"
    more = None
    if (invalid := _invalid(seen, dead)) is None:
        kind, more = _decided(seen, _errors_rose(rounds, terms, seen))
    ratio = _ratio(values, INTERVAL) if values else None
    return Verdict(
        verdict=kind,
        method="interleaved",
        a=terms.a,
        b=terms.b,
        metric=metric,
        level=level,
        margin=terms.margin,
        ratio=ratio,
        smallest=seen.smallest(),
        sentence=duel_words.sentence(
            kind, terms, ratio, seen.typical(), len(rounds), seen.smallest(), more, invalid, changes
        ),
        problems=problems,
        rounds=len(values),
        more=more,
        changes=changes,
        blocks=[*_shown(rounds, terms)],
        course=[_ratio(values[:count], INTERVAL) for count in range(1, len(values) + 1)],
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """`values`: of the usable rounds, the log of B over A of the metric that decides."""

    blocks: Sequence[Block]
    rounds: Sequence[Sequence[Block]]
    values: Sequence[float]
    terms: Terms

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def error(self) -> float:
        return float(np.std(self.values, ddof=1)) / math.sqrt(len(self.values))

    def significance(self, alpha: float, count: int | None = None) -> float:
        """The p-value below which this look, or one after `count` rounds, is sure."""
        count = count or len(self.values)
        looks = looks_so_far(FIRST, count)
        return significances(looks, max(self.terms.total, count), alpha)[-1]

    def smallest(self) -> float | None:
        """The change that so many rounds of this noise would have found, as a share of A."""
        if len(self.values) < FIRST:
            return None
        return math.expm1(self._reach(self.significance(ALARMS)) * self.error)

    def _reach(self, significance: float) -> float:
        freedom = len(self.values) - 1
        sure = float(special.stdtrit(freedom, 1 - significance / 2))
        return sure + float(special.stdtrit(freedom, POWER))

    def more(self) -> float | None:
        """Seconds that would probably decide it; None where that takes hours."""
        terms, count = self.terms, len(self.values)
        if count < FIRST:
            return (FIRST - count) * terms.round_seconds
        spread, margin = self.error * math.sqrt(count), math.log1p(terms.margin)
        most = int(_LONGEST / terms.round_seconds) + count
        for wanted in range(count + 1, most + 1):
            difference = self._needed(ALARMS, wanted) * spread / math.sqrt(wanted)
            equality = self._needed(EQUAL, wanted) * spread / math.sqrt(wanted)
            if abs(self.mean) > difference or abs(self.mean) + equality < margin:
                return (wanted - count) * terms.round_seconds
        return None

    def _needed(self, alpha: float, count: int) -> float:
        """Standard errors at a last look after so many rounds, and half a one for luck."""
        return float(special.stdtrit(count - 1, 1 - alpha / 4)) + 0.5

    @property
    def disturbed(self) -> int:
        return sum(bool(one.disturbed) for one in self.blocks)

    def typical(self) -> tuple[float, float] | None:
        """Of A and of B, in the metric's unit: the geometric mean over the blocks."""
        sides = []
        for name in (self.terms.a, self.terms.b):
            found = [
                one.values[self.terms.metric]
                for one in self.blocks
                if (one.deployment, one.level) == (name, self.terms.at[0])
                and 0 < one.values.get(self.terms.metric, 0.0) < math.inf
            ]
            if not found:
                return None
            sides.append(math.exp(fmean(map(math.log, found))))
        return sides[0], sides[1]

    def problems(self) -> Iterator[str]:
        """What was left out, and what the two do not share."""
        wrong = Counter(text for one in self.blocks for text in one.wrong)
        unusable = len(self.rounds) - len(self.values)
        if self.disturbed:
            text = f"{self.disturbed} of {len(self.blocks)} blocks were disturbed"
            reasons = Counter(one.disturbed[0] for one in self.blocks if one.disturbed)
            yield f"{text}, mostly because {reasons.most_common(1)[0][0]}"
        if unusable:
            text = f"{unusable} of {len(self.rounds)} rounds could not be used"
            yield f"{text}: {wrong.most_common(1)[0][0]}" if wrong else text
        kinds = {
            name: {kind for one in self.blocks if one.deployment == name for kind in one.kinds}
            for name in (self.terms.a, self.terms.b)
        }
        if kinds[self.terms.a] != kinds[self.terms.b]:
            told = [f"{', '.join(sorted(kinds[n])) or 'nothing'} in {n}" for n in kinds]
            yield f"what fails differs: {', '.join(told)}"


def _decided(seen: _Seen, errors_rose: bool) -> tuple[Kind, float | None]:
    """The verdict, and how many seconds more it probably needs."""
    if len(seen.values) < FIRST:
        return "UNRESOLVED", seen.more()
    terms = seen.terms
    reach = abs(seen.mean) + half_width(seen.values, seen.significance(EQUAL))
    alike = reach <= math.log1p(terms.margin)
    if alike and seen.disturbed <= _DISTURBED * len(seen.blocks):
        return ("WORSE" if errors_rose else "EQUIVALENT"), None
    if not alike and p_value(seen.values) < seen.significance(ALARMS):
        better = (seen.mean > 0) == (terms.metric in HIGHER_IS_BETTER)
        return ("BETTER" if better and not errors_rose else "WORSE"), None
    return ("WORSE", None) if errors_rose else ("UNRESOLVED", seen.more())


def _invalid(seen: _Seen, dead: Mapping[str, str]) -> str | None:
    """Why there can be no verdict; None: there can."""
    terms = seen.terms
    for name in (terms.a, terms.b):
        if name in dead:
            return dead[name].splitlines()[0].rstrip(".")
        failing = [
            one
            for one in seen.blocks
            if one.deployment == name and one.values.get(ERRORS, 0.0) > _FAILING
        ]
        tried = [one for one in seen.blocks if one.deployment == name]
        if failing and len(failing) * 2 > len(tried):
            kinds = Counter[str]()
            for one in failing:
                kinds.update(one.kinds)
            share = fmean(one.values[ERRORS] for one in failing)
            often = kinds.most_common(1)[0][0] if kinds else "?"
            return f"{share:.0%} of the requests to {name} failed, mostly with {often}"
    unusable = len(seen.rounds) - len(seen.values)
    if seen.rounds and unusable > _UNUSABLE * len(seen.rounds):
        return _why_unusable(seen)
    return None


def _why_unusable(seen: _Seen) -> str:
    wrong = Counter(text for one in seen.blocks for text in one.wrong)
    if wrong:
        text, _ = wrong.most_common(1)[0]
        return f"too few rounds could be used: {text}"
    few = min(one.requests for one in seen.blocks)
    return (
        f"a block had only {few:,} requests, too few for {seen.terms.metric}: measure for longer "
        "(--measure 10s), or compare p50"
    )


def _log_ratio(one: Sequence[Block], terms: Terms, metric: str, level: int) -> float | None:
    """The log of B over A in a round; None where a block cannot be used or did not measure it."""
    sides = _sides(one, terms, metric, level)
    if sides is None:
        return None
    farthest = FARTHEST * _finite(sides)
    a, b = ([min(v, farthest) for v in side] for side in sides)
    if min(*a, *b) <= 0 or not math.isfinite(max(*a, *b)):
        return None
    return fmean(map(math.log, b)) - fmean(map(math.log, a))


def _finite(sides: Sequence[Sequence[float]]) -> float:
    """The smallest value that is none of a failure; inf: there is none, and so no ratio."""
    return min((v for side in sides for v in side if math.isfinite(v)), default=math.inf)


def _sides(
    one: Sequence[Block], terms: Terms, metric: str, level: int
) -> tuple[list[float], list[float]] | None:
    sides: dict[str, list[float]] = {terms.a: [], terms.b: []}
    for part in one:
        if part.level != level:
            continue
        if part.wrong or metric not in part.values:
            return None
        sides[part.deployment].append(part.values[metric])
    a, b = sides[terms.a], sides[terms.b]
    return (a, b) if a and b else None


def _errors_rose(rounds: Sequence[Sequence[Block]], terms: Terms, seen: _Seen) -> bool:
    """A faster answer is no better where more requests fail."""
    rises = _differences(rounds, terms, terms.at[0])
    if len(rises) < FIRST or fmean(rises) <= 0:
        return False
    return p_value(rises) < seen.significance(ALARMS, len(rises))


def _differences(rounds: Sequence[Sequence[Block]], terms: Terms, level: int) -> list[float]:
    """Of the shares of failures, B less A, by round."""
    found = (_sides(one, terms, ERRORS, level) for one in rounds)
    return [fmean(b) - fmean(a) for a, b in filter(None, found)]


def _changes(rounds: Sequence[Sequence[Block]], terms: Terms) -> Iterator[Change]:
    """
    Every other metric and level beside the one that decides; each p-value by Holm's method (A
    simple sequentially rejective multiple test procedure, 1979), each interval by Bonferroni's.
    """
    asked = [
        (metric, level)
        for level in terms.at
        for metric in (*METRICS, ERRORS)
        if (metric, level) != (terms.metric, terms.at[0])
    ]
    found: list[tuple[str, int, list[float]]] = []
    for metric, level in asked:
        if metric == ERRORS:
            values = _differences(rounds, terms, level)
        else:
            logs = (_log_ratio(one, terms, metric, level) for one in rounds)
            values = [one for one in logs if one is not None]
        if len(values) >= FIRST:
            found.append((metric, level, values))
    ordered = sorted(found, key=lambda one: p_value(one[2]))
    apart, still = set(), True
    for place, (metric, level, values) in enumerate(ordered):
        still = still and p_value(values) < ALARMS / (len(ordered) - place)
        if still:
            apart.add((metric, level))
    for metric, level, values in found:
        yield Change(
            metric=metric,
            level=level,
            change=(_difference if metric == ERRORS else _ratio)(values, INTERVAL / len(found)),
            changed=(metric, level) in apart,
        )


def _ratio(logs: Sequence[float], significance: float) -> Estimate:
    """The mean of logs as a ratio, with its interval once there are enough."""
    mean, ends = fmean(logs), _ends(logs, significance)
    return Estimate(
        value=math.exp(mean),
        low=None if ends is None else math.exp(ends[0]),
        high=None if ends is None else math.exp(ends[1]),
    )


def _difference(values: Sequence[float], significance: float) -> Estimate:
    ends = _ends(values, significance) or (None, None)
    return Estimate(value=fmean(values), low=ends[0], high=ends[1])


def _ends(values: Sequence[float], significance: float) -> tuple[float, float] | None:
    if len(values) < FIRST:
        return None
    mean, half = fmean(values), half_width(values, significance)
    return mean - half, mean + half


def _shown(rounds: Sequence[Sequence[Block]], terms: Terms) -> Iterator[BlockShown]:
    """The blocks at the level that decides, for the picture."""
    begin = next((one.at for part in rounds for one in part), 0.0)
    for number, part in enumerate(rounds, 1):
        ratio = _log_ratio(part, terms, terms.metric, terms.at[0])
        for one in part:
            value = one.values.get(terms.metric)
            if one.level == terms.at[0]:
                yield BlockShown(
                    round=number,
                    deployment=one.deployment,
                    at=one.at - begin,
                    value=value if value is not None and math.isfinite(value) else None,
                    ratio=None if ratio is None else math.exp(ratio),
                    usable=not one.wrong,
                )
