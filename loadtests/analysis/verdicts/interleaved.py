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

from scipy import special

from loadtests.analysis.stats import failure_shares as failing
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
from loadtests.analysis.verdicts.metrics import METRICS
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
_FAILING = 0.5  # of the requests: there is nothing to compare
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
    return Verdict(
        verdict=judged.kind,
        method="interleaved",
        a=terms.a,
        b=terms.b,
        metric=terms.metric,
        level=terms.at[0],
        margin=terms.margin,
        ratio=seen.ratio,
        minimum_detectable_change=seen.minimum_detectable_change(),
        sentence=wording.sentence(
            judged.kind,
            seen.terms,
            wording.VerdictFacts(
                effect=seen.decides,
                ratio=seen.ratio,
                minimum_detectable_change=seen.minimum_detectable_change(),
                seconds_needed=judged.seconds_needed,
                invalid=judged.invalid,
                failures=judged.failures,
                growing=judged.growing,
                answers=judged.answers,
            ),
        ),
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


@dataclass(frozen=True, slots=True)
class _Judged:
    """
    `more`: seconds that would probably decide it. `invalid`: why there can be no verdict.
    `failures`, `growing`: what decides, or is to be known before the metric; sentences. `answers`:
    in what the successes differ, where a faster side is no better for it.
    """

    kind: Kind
    seconds_needed: float | None = None
    invalid: str = ""
    failures: str = ""
    growing: str = ""
    answers: Sequence[str] = ()


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

    def effect(self, metric: str, level: int) -> Effect:
        if metric in QUANTILES and self._growing(level):
            return Effect()  # they would only tell how long a block is
        return of_metric(self.rounds, self.terms.names, level, metric)

    @cached_property
    def ratio(self) -> Estimate | None:
        """B over A; None where it is not known, or infinite."""
        return _estimate(self.decides, INTERVAL)

    def interval_after_round(self) -> Iterator[Estimate]:
        """The ratio after each round."""
        if self.ratio is not None:
            for count in range(1, len(self.decides.values) + 1):
                values = self.decides.values[:count]
                yield _ratio(Effect(values, floor=self.decides.floor), INTERVAL)

    def judged(self, dead: Mapping[str, str]) -> _Judged:
        found = self._judged(dead)
        if found.kind == "BETTER" and self.answers:
            return replace(found, kind="INVALID", answers=self.answers)
        return found

    def _judged(self, dead: Mapping[str, str]) -> _Judged:
        terms = self.terms
        for name in terms.names:
            if name in dead:
                return _Judged("INVALID", invalid=dead[name].splitlines()[0].rstrip("."))
        if told := self._failing():
            return told
        failures = self._failures() if self._errors_rose() else ""
        if failures:
            return _Judged("WORSE", failures=failures)
        if not self._fails_more():
            return self._of_metric()
        if len(self.rounds) < FIRST:
            return _Judged("UNRESOLVED", self.more(), failures=self._failures())
        found = self._of_metric()
        return replace(found, failures=found.failures or self._failures())

    def _of_metric(self) -> _Judged:
        """What is said where failures do not decide."""
        terms = self.terms
        if self.too_short:
            return _Judged("INVALID", invalid=self.too_short)
        if terms.metric in QUANTILES and (growing := self._growing(terms.at[0])):
            return self._overloaded(growing)
        unusable = len(self.rounds) - len(self.decides.values)
        if self.rounds and unusable > _UNUSABLE * len(self.rounds):
            return _Judged("INVALID", invalid=self._why_unusable())
        if len(self.decides.values) < FIRST:
            return _Judged("UNRESOLVED", self.more())
        found = self._decided()
        rise = self.errors.b - self.errors.a
        if found.kind in ("EQUIVALENT", "BETTER") and rise > RISE:
            return _Judged("UNRESOLVED", failures=f"{self._failures()} That may be chance.")
        return found

    def _decided(self) -> _Judged:
        found, terms = self.decides, self.terms
        if not found.endless:
            reach = abs(found.mean) + found.half_width(self.significance(found, EQUAL))
            if reach <= math.log1p(terms.margin):
                if self.disturbed <= _DISTURBED * len(self.blocks):
                    return _Judged("EQUIVALENT")
                return _Judged("UNRESOLVED", self.more())
        if found.p_value() < self.significance(found, EACH):
            better = (found.mean > 0) == (terms.metric in HIGHER_IS_BETTER)
            failures = self._failures() if found.endless else ""
            return _Judged("BETTER" if better else "WORSE", failures=failures)
        return _Judged("UNRESOLVED", self.more())

    # Failures

    def _failing(self) -> _Judged | None:
        """What is said where one side fails most of its requests, as it is seen at once."""
        shares = [
            [one.values.get(ERRORS, 0.0) for one in self._side(name) if not one.wrong]
            for name in self.terms.names
        ]
        if not all(shares):
            return None
        a, b = ([share > _FAILING for share in side] for side in shares)
        if 2 * sum(a) > len(a):
            both = 2 * sum(b) > len(b)
            names = self.terms.names if both else self.terms.names[:1]
            told = " and ".join(self._mostly(name) for name in names)
            return _Judged("INVALID", invalid=told)
        apart = all(b) and 2 * max(shares[0]) < min(shares[1])
        if self.errors.values and apart:
            # In each of at least four blocks in turns: of equals that fail half of the time it
            # would be so in one of 256.
            return _Judged("WORSE", failures=self._failures())
        if self._fails_more() and self._surely_fails_more():
            return _Judged("WORSE", failures=self._failures())
        return None

    def _fails_more(self) -> bool:
        """Whether B fails so much more, by chance or not, that nothing else matters."""
        (share_a, _), (share_b, _) = self.failed
        return share_b - share_a >= failing.LARGE

    def _surely_fails_more(self) -> bool:
        """The same beyond chance; of whole rounds, in which both were played equally often."""
        a, b = ([self._counts(name, part) for part in self.rounds] for name in self.terms.names)
        return failing.apart(a, b)

    @cached_property
    def failed(self) -> list[tuple[float, int]]:
        """The share that fails of all requests of A and of B, and the number of these."""
        return [failing.share(self._counts(name, self.blocks)) for name in self.terms.names]

    def _counts(self, name: str, blocks: Sequence[Block]) -> list[failing.Counts]:
        """Failures and requests of the usable blocks of one side at the level that decides."""
        return [
            (one.values[ERRORS] * one.requests, one.requests)
            for one in blocks
            if (one.deployment, one.level) == (name, self.terms.at[0])
            and not one.wrong
            and ERRORS in one.values
        ]

    def _mostly(self, name: str) -> str:
        failing = [one for one in self._side(name) if one.values.get(ERRORS, 0.0) > _FAILING]
        share = fmean(one.values[ERRORS] for one in failing)
        return f"{share:.0%} of the requests to {name} failed{_mostly(failing)}"

    def _side(self, name: str) -> list[Block]:
        """The blocks of one side at the level that decides."""
        where = name, self.terms.at[0]
        return [one for one in self.blocks if (one.deployment, one.level) == where]

    def _errors_rose(self) -> bool:
        """A faster answer is no better where more requests fail."""
        found = self.errors
        if len(found.values) < FIRST or found.mean <= 0:
            return False
        return found.p_value() < self.significance(found, EACH)

    def _failures(self) -> str:
        """How many fail on each side, in a sentence."""
        (share_a, _), (share_b, _) = self.failed
        return wording.failures(self.terms, share_a, share_b, _mostly(self._side(self.terms.b)))

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

    def _overloaded(self, growing: Sequence[str]) -> _Judged:
        """The verdict under overload: a side that keeps up is better; if neither does, none."""
        answered = self.effect("throughput", self.terms.at[0])
        told = wording.growing(self.terms, growing, (answered.a, answered.b))
        if len(growing) == 2:
            return _Judged("INVALID", invalid=told)
        falls = answered.mean < 0 if self.terms.b in growing else answered.mean > 0
        enough = len(answered.values) >= FIRST
        if enough and falls and answered.p_value() < self.significance(answered, EACH):
            return _Judged("WORSE" if self.terms.b in growing else "BETTER", growing=told)
        return _Judged("UNRESOLVED", growing=told)

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
            name: {kind for one in self.blocks if one.deployment == name for kind in one.kinds}
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


def _mostly(blocks: Sequence[Block]) -> str:
    """The kind of failure that is most frequent, as an apposition."""
    kinds = Counter[str]()
    for one in blocks:
        kinds.update(one.kinds)
    return f", mostly with {kinds.most_common(1)[0][0]}" if kinds else ""


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
            change=(_difference if metric == ERRORS else _ratio)(one, INTERVAL / len(found)),
            changed=(metric, level) in apart,
        )


def _estimate(found: Effect, significance: float) -> Estimate | None:
    return _ratio(found, significance) if found.values and not found.endless else None


def _ratio(found: Effect, significance: float) -> Estimate:
    """The mean of logs as a ratio, with its interval once there are enough."""
    low, high = _ends(found, significance)
    return Estimate(
        value=math.exp(found.mean),
        low=None if low is None else math.exp(low),
        high=None if high is None else math.exp(high),
    )


def _difference(found: Effect, significance: float) -> Estimate:
    low, high = _ends(found, significance)
    return Estimate(value=found.mean, low=low, high=high)


def _ends(found: Effect, significance: float) -> tuple[float | None, float | None]:
    if len(found.values) < FIRST:
        return None, None
    half = found.half_width(significance)
    return found.mean - half, found.mean + half


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
