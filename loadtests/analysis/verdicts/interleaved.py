"""Two deployments that took turns -> a verdict.

The unit is the round: both deployments started again, then eight short blocks in the order
A B B A B A A B or the other way about (Thue and Morse), which cancels what drifts, be it steadily
or in a curve. A round gives one number for each metric, the log of B over A, and rounds are as good
as independent: what one start of a service differs from another by, and what the machine does
meanwhile, is in their spread; what disturbed a block measurably is taken out of it before
(`covariates`). So the interval is Student's, of the mean over the rounds, and the verdict a group
sequential test (`sequential`). A block in which others took much more of a core than in most says
nothing and is left out. A round of which too little is left does not count, and another one is
played in its place while there is time.

Two tests can call equals different: that of the metric, and that of failures. They share ALARMS.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from statistics import fmean
from typing import TypeVar

from loadtests.analysis.light_scipy import special
from loadtests.analysis.stats.sequential import looks_so_far, p_value, significances
from loadtests.analysis.verdicts import answers, block_length, covariates
from loadtests.analysis.verdicts import text as wording
from loadtests.analysis.verdicts.blocks import Block
from loadtests.analysis.verdicts.config import (
    ALARMS,
    EACH,
    ERRORS,
    FIRST,
    LONGEST,
    POWER,
    RISE,
    ComparisonConfig,
)
from loadtests.analysis.verdicts.effects import Effect, of_metric
from loadtests.analysis.verdicts.failures import Failures
from loadtests.analysis.verdicts.metrics import METRICS
from loadtests.analysis.verdicts.text import Decision
from loadtests.results import QUANTILES, BlockShown, Change, Estimate, Kind, Verdict

T = TypeVar("T")
HIGHER_IS_BETTER = ("throughput",)

EQUAL = 0.05  # the chance that two which differ by the margin are called equivalent, both sides
INTERVAL = 0.03
"""
What the intervals leave out on paper. A comparison that stops when it knows stops more often when
chance has helped: of intervals that would leave out 0.05 of a fixed plan, up to 0.09 miss the truth
then; of these 0.06 at most (tests/benchmarks/verdicts.py).
"""
_UNUSABLE = 0.5  # of the rounds: then the rest is not a fair choice of them
_DISTURBED = 0.5
"""Of the blocks. What delays every answer makes two services look more alike than they are, so they
may still be told apart, but not be called equivalent."""
_OTHER_RATE = 1.1  # times the throughput: CPU of a request depends on how many come
_GROWING = 0.02  # of the requests that came, by which those in flight grow in a block
_GROWS = 8  # blocks that must show it


def rounds_of(stages: Sequence[T], terms: ComparisonConfig, trials: int = 0) -> list[Sequence[T]]:
    """
    The rounds that are complete, of blocks or of whatever else there is of each stage.

    Args:
        trials: how many blocks at the beginning count for nothing; see block_length.
    """
    size = terms.size
    return [stages[i : i + size] for i in range(trials, len(stages) - size + 1, size)]


def verdict(
    blocks: Sequence[Block], terms: ComparisonConfig, dead: Mapping[str, str] = {}
) -> Verdict:
    """
    What the blocks say so far, in the order of play.

    Args:
        dead: deployments that have ended on the way, and how.
    """
    seen = _Seen.of(blocks, terms)
    judged = seen.judged(dead)
    detectable = seen.minimum_detectable_change()
    return Verdict(
        verdict=judged.kind,
        method="interleaved",
        a=terms.a,
        b=terms.b,
        metric=terms.metric,
        level=terms.at[0],
        margin=terms.margin,
        ratio=seen.ratio,
        minimum_detectable_change=detectable,
        sentence=wording.sentence(judged, seen.terms, seen.decides, seen.ratio, detectable),
        problems=[*seen.problems()],
        rounds=len(seen.decides.values),
        seconds_needed=judged.seconds_needed,
        changes=[*_changes(seen)],
        blocks=[*_shown(seen)],
        interval_after_round=[*seen.interval_after_round()],
    )


def kind(blocks: Sequence[Block], terms: ComparisonConfig) -> Kind:
    """The verdict alone, for the schedule."""
    return _Seen.of(blocks, terms).judged({}).kind


@dataclass(frozen=True)
class _Seen:
    """
    The blocks that count, the rounds of them that are complete, and the terms with their length.
    `too_short`: why no block holds enough requests.
    """

    blocks: Sequence[Block]
    rounds: Sequence[Sequence[Block]]
    terms: ComparisonConfig
    too_short: str | None

    @classmethod
    def of(cls, blocks: Sequence[Block], terms: ComparisonConfig) -> "_Seen":
        counted = _marked(blocks[block_length.trials(blocks) :])
        return cls(
            counted,
            rounds_of(counted, terms),
            block_length.played(terms, blocks),
            block_length.too_short(terms, blocks),
        )

    @cached_property
    def decides(self) -> Effect:
        return self.effect(self.terms.metric, self.terms.at[0])

    @cached_property
    def errors(self) -> Effect:
        return self.effect(ERRORS, self.terms.at[0])

    @cached_property
    def failures(self) -> Failures:
        return Failures(self.blocks, self.rounds, self.terms)

    def effect(self, metric: str, level: int) -> Effect:
        if metric in QUANTILES and self._growing(level):
            return Effect()  # they would only tell how long a block is
        return of_metric(self.rounds, self.terms.names, level, metric)

    @cached_property
    def ratio(self) -> Estimate | None:
        """B over A; None where it is not known, or infinite."""
        found = self.decides
        return found.ratio(INTERVAL) if found.values and not found.endless else None

    def interval_after_round(self) -> Iterator[Estimate]:
        """The ratio after each round."""
        if self.ratio is not None:
            for count in range(1, len(self.decides.values) + 1):
                values = self.decides.values[:count]
                yield Effect(values, floor=self.decides.floor).ratio(INTERVAL)

    def judged(self, dead: Mapping[str, str]) -> Decision:
        found = self._judged(dead)
        if found.kind == "BETTER" and self.answers:
            return replace(found, kind="INVALID", answers=self.answers)
        return found

    def _judged(self, dead: Mapping[str, str]) -> Decision:
        terms = self.terms
        for name in terms.names:
            if name in dead:
                return Decision("INVALID", invalid=dead[name].splitlines()[0].rstrip("."))
        told = str(self.failures)
        if failing := self.failures.most_fail():
            return Decision("INVALID", invalid=failing)
        if self.failures.worse(bool(self.errors.values)) or self._errors_rose():
            return Decision("WORSE", failures=told)
        if not self.failures.large:
            return self._of_metric()
        if len(self.rounds) < FIRST:
            return Decision("UNRESOLVED", self.more(), failures=told)
        found = self._of_metric()
        return replace(found, failures=found.failures or told)

    def _of_metric(self) -> Decision:
        """What is said where failures do not decide."""
        terms = self.terms
        if self.too_short:
            return Decision("INVALID", invalid=self.too_short)
        if terms.metric in QUANTILES and (growing := self._growing(terms.at[0])):
            return self._overloaded(growing)
        unusable = len(self.rounds) - len(self.decides.values)
        if self.rounds and unusable > _UNUSABLE * len(self.rounds):
            return Decision("INVALID", invalid=self._why_unusable())
        if len(self.decides.values) < FIRST:
            return Decision("UNRESOLVED", self.more())
        found = self._decided()
        rise = self.errors.b - self.errors.a
        if found.kind in ("EQUIVALENT", "BETTER") and rise > RISE:
            return Decision("UNRESOLVED", failures=f"{self.failures} That may be chance.")
        return found

    def _decided(self) -> Decision:
        found, terms = self.decides, self.terms
        if not found.endless:
            reach = abs(found.mean) + found.half_width(self.significance(found, EQUAL))
            if reach <= math.log1p(terms.margin):
                if self.disturbed <= _DISTURBED * len(self.blocks):
                    return Decision("EQUIVALENT")
                return Decision("UNRESOLVED", self.more())
        if found.p_value() < self.significance(found, EACH):
            better = (found.mean > 0) == (terms.metric in HIGHER_IS_BETTER)
            failures = str(self.failures) if found.endless else ""
            return Decision("BETTER" if better else "WORSE", failures=failures)
        return Decision("UNRESOLVED", self.more())

    def _errors_rose(self) -> bool:
        """A faster answer is no better where more requests fail."""
        found = self.errors
        if len(found.values) < FIRST or found.mean <= 0:
            return False
        return found.p_value() < self.significance(found, EACH)

    # Rates above the capacity

    def _growing(self, level: int) -> list[str]:
        """The sides on which more comes than is answered, in the open model."""
        found = []
        for name in self.terms.names:
            grown = [
                one.growth
                for part in self.rounds
                for one in part
                if (one.deployment, one.level) == (name, level) and one.growth is not None
            ]
            if len(grown) >= _GROWS and fmean(grown) > _GROWING and p_value(grown) < ALARMS:
                found.append(name)
        return found

    def _overloaded(self, growing: Sequence[str]) -> Decision:
        """The verdict under overload: a side that keeps up is better; if neither does, none."""
        answered = self.effect("throughput", self.terms.at[0])
        told = wording.growing(self.terms, growing, (answered.a, answered.b))
        if len(growing) == 2:
            return Decision("INVALID", invalid=told)
        falls = answered.mean < 0 if self.terms.b in growing else answered.mean > 0
        enough = len(answered.values) >= FIRST
        if enough and falls and answered.p_value() < self.significance(answered, EACH):
            return Decision("WORSE" if self.terms.b in growing else "BETTER", growing=told)
        return Decision("UNRESOLVED", growing=told)

    # How much is known

    def significance(self, found: Effect, alpha: float) -> float:
        """The p-value below which this look is sure."""
        looks = looks_so_far(FIRST, len(found.values))
        return significances(looks, max(self.terms.total, len(found.values)), alpha)[-1]

    def minimum_detectable_change(self) -> float | None:
        """The change that `rounds` rounds of this noise would have found, as a share of A."""
        found = self.decides
        if len(found.values) < FIRST or found.endless:
            return None
        freedom = len(found.values) - 1
        sure = float(special.stdtrit(freedom, 1 - self.significance(found, EACH) / 2))
        reach = sure + float(special.stdtrit(freedom, POWER))
        return math.expm1(reach * found.error)

    def more(self) -> float | None:
        """Seconds that would probably decide it; None where that takes hours."""
        terms, found = self.terms, self.decides
        count = len(found.values)
        if count < FIRST:
            return (FIRST - count) * terms.round_seconds
        mean, spread = abs(found.mean), found.error * math.sqrt(count)
        margin = math.log1p(terms.margin)
        most = int(LONGEST / terms.round_seconds) + count
        for wanted in range(count + 1, most + 1):
            difference = _needed(EACH, wanted) * spread / math.sqrt(wanted)
            equality = _needed(EQUAL, wanted) * spread / math.sqrt(wanted)
            if mean > difference or mean + equality < margin:
                return (wanted - count) * terms.round_seconds
        return None

    @property
    def disturbed(self) -> int:
        return sum(bool(one.disturbed) for one in self.blocks)

    @cached_property
    def answers(self) -> list[str]:
        """Differences of both sides' successes that are larger than chance, as sentences."""
        if len(self.rounds) < FIRST:
            return []
        return answers.of_rounds(
            self.rounds, self.terms, lambda found: self.significance(found, ALARMS)
        )

    def problems(self) -> Iterator[str]:
        """What was left out, and what the two do not share."""
        wrong = Counter(text for one in self.blocks for text in one.wrong)
        unusable = len(self.rounds) - len(self.decides.values)
        if taken := covariates.other_work([one.disturbances for one in self.blocks]):
            yield taken
        if spoilt := sum(one.spoilt for one in self.blocks):
            which = "1 block is" if spoilt == 1 else f"{spoilt} blocks are"
            yield (
                f"{which} left out of {len(self.blocks)}: processes stood still there, or others "
                "took much more of a core"
            )
        if self.disturbed:
            text = f"{self.disturbed} of {len(self.blocks)} blocks were disturbed"
            reasons = Counter(one.disturbed[0] for one in self.blocks if one.disturbed)
            yield f"{text}, mostly because {reasons.most_common(1)[0][0]}"
        if unusable and wrong:
            yield (
                f"{unusable} of {len(self.rounds)} rounds could not be used: "
                f"{wrong.most_common(1)[0][0]}"
            )
        if self.terms.metric == "cpu":
            answered = self.effect("throughput", self.terms.at[0])
            if answered.values and abs(answered.mean) > math.log(_OTHER_RATE):
                yield wording.other_rates(self.terms, answered)
        kinds = {
            name: {
                kind
                for one in self.blocks
                if one.deployment == name and not one.wrong
                for kind in one.kinds
            }
            for name in self.terms.names
        }
        a, b = self.terms.names
        if kinds[a] != kinds[b]:
            told = [f"{', '.join(sorted(kinds[n])) or 'nothing'} in {n}" for n in kinds]
            yield f"what fails differs: {', '.join(told)}"
        yield from self.answers

    def _why_unusable(self) -> str:
        wrong = Counter(text for one in self.blocks for text in one.wrong)
        if wrong:
            text, _ = wrong.most_common(1)[0]
            return f"too few rounds could be used: {text}"
        terms, found = self.terms, self.errors
        if terms.metric in QUANTILES and found.values:
            beyond = 1 - QUANTILES[terms.metric]
            if min(found.a, found.b) > beyond:
                return wording.endless(terms, found.a, found.b)
        return wording.unmeasured(terms)


def _marked(blocks: Sequence[Block]) -> list[Block]:
    """All blocks, with those marked that say nothing; where most say nothing, none is."""
    if 2 * sum(one.spoilt for one in blocks) > len(blocks):
        blocks = [replace(one, spoilt=False) for one in blocks]
    found = list(blocks)
    for level in {one.level for one in blocks}:
        places = [place for place, one in enumerate(blocks) if one.level == level]
        spoilt = covariates.spoilt([blocks[place].disturbances for place in places])
        for place in (place for place, bad in zip(places, spoilt, strict=True) if bad):
            found[place] = replace(blocks[place], spoilt=True)
    return found


@lru_cache(maxsize=4096)
def _needed(alpha: float, count: int) -> float:
    """Standard errors at a last look after `rounds` rounds, and half a one for luck."""
    return float(special.stdtrit(count - 1, 1 - alpha / 4)) + 0.5


def _changes(seen: _Seen) -> Iterator[Change]:
    """
    Every metric and level apart from the one that decides; each p-value by Holm's method (A simple
    sequentially rejective multiple test procedure, 1979), each interval by Bonferroni's.
    """
    terms = seen.terms
    asked = [
        (metric, level)
        for level in terms.at
        for metric in (*METRICS, ERRORS)
        if (metric, level) != (terms.metric, terms.at[0])
    ]
    effects = [(metric, level, seen.effect(metric, level)) for metric, level in asked]
    found = [one for one in effects if len(one[2].values) >= FIRST and not one[2].endless]
    ordered = sorted(found, key=lambda one: one[2].p_value())
    apart, still = set(), True
    for place, (metric, level, one) in enumerate(ordered):
        still = still and one.p_value() < ALARMS / (len(ordered) - place)
        if still:
            apart.add((metric, level))
    for metric, level, one in found:
        yield Change(
            metric=metric,
            level=level,
            change=(one.difference if metric == ERRORS else one.ratio)(INTERVAL / len(found)),
            changed=(metric, level) in apart,
        )


def _shown(seen: _Seen) -> Iterator[BlockShown]:
    """The blocks at the level that decides, for the picture."""
    terms = seen.terms
    begin = next((one.at for part in seen.rounds for one in part), 0.0)
    found = dict(zip(seen.decides.rounds, seen.decides.values, strict=True))
    for number, part in enumerate(seen.rounds, 1):
        log = found.get(number - 1)
        ratio = math.exp(log) if seen.ratio and log is not None else None
        for one in part:
            value = one.values.get(terms.metric)
            if one.level == terms.at[0]:
                yield BlockShown(
                    round=number,
                    deployment=one.deployment,
                    at=one.at - begin,
                    value=value if value is not None and math.isfinite(value) else None,
                    ratio=ratio,
                    usable=not one.wrong and not one.spoilt,
                )
