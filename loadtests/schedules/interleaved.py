"""Two deployments take turns until it is known which is better, or the time is over.

A round is A B B A B A A B at each level, or B A A B A B B A, after both were restarted; of
every two rounds one is of each kind, in an order drawn from the seed. So nothing that drifts, and
no habit of the machine, favours one of them.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from loadtests.analysis.verdicts import block_length
from loadtests.analysis.verdicts.blocks import Block
from loadtests.analysis.verdicts.config import FIRST, STARTING, ComparisonConfig
from loadtests.analysis.verdicts.interleaved import kind
from loadtests.plans import Plan
from loadtests.schedules.schedule import Played, Step

TURNS = (0, 1, 1, 0, 1, 0, 0, 1)  # Thue and Morse


@dataclass(frozen=True, slots=True)
class Interleaved:
    """A schedule."""

    terms: ComparisonConfig

    def expected(self, plan: Plan) -> list[Step]:
        """The steps of all the rounds that there is time for."""
        return [step for number in range(self.terms.total) for step in self.round(number)]

    def remaining(self, plan: Plan, so_far: Sequence[Played]) -> int:
        """The most stages that remain."""
        blocks = _blocks(so_far)
        counted = len(blocks) - block_length.trials(blocks)
        return max(self.fitting(so_far) * self.terms.size - counted, 1)

    def fitting(self, so_far: Sequence[Played]) -> int:
        """The rounds that there is time for, with starts that take as long as the first one."""
        terms = block_length.played(self.terms, _blocks(so_far))
        slow = starting(so_far) - STARTING
        if not terms.restarts or slow <= 0:
            return terms.total
        before = sum(one.seconds for one in so_far[: block_length.trials(_blocks(so_far))])
        each = terms.round_seconds + slow
        return max(min(int((terms.within - before) // each), terms.total), 1)

    def restarts_in(self, stages: int) -> int:
        """The new starts that come before the last of this number of stages."""
        return stages // self.terms.size if self.terms.restarts else 0

    def remark(self, so_far: Sequence[Played]) -> str:
        """A sentence after the first stage, where starts leave too little time; else empty."""
        fits = self.fitting(so_far)
        if len(so_far) != 1 or fits >= min(self.terms.total, FIRST):
            return ""
        seconds = starting(so_far)
        rounds = "1 round" if fits == 1 else f"{fits} rounds"
        enough = FIRST * (self.terms.round_seconds + seconds)
        return (
            f"Starting took {seconds:.0f} s, and every round begins with a new start: {rounds} of "
            f"the {FIRST} that a verdict takes fit into {self.terms.within:.0f} s. --within "
            f"{math.ceil(enough / 60)}m would do."
        )

    def next_stage(self, plan: Plan, so_far: Sequence[Played]) -> Step | None:
        """The next block; None when there is a verdict, or no time for another round."""
        if any(not one.alive for one in so_far):
            return None
        blocks = _blocks(so_far)
        now = block_length.played(self.terms, blocks)
        settle, measure = block_length.following(self.terms, blocks)
        if (settle, measure) != (now.settle, now.measure):
            number, place = 0, 0  # it begins once more, with longer blocks
        else:
            number, place = divmod(len(blocks) - block_length.trials(blocks), self.terms.size)
            if blocks and self._is_over(blocks, number, place, so_far):
                return None
        step = self.round(number)[place]
        if (settle, measure) == (self.terms.settle, self.terms.measure):
            return step
        return replace(step, settle=settle, measure=measure)

    def round(self, number: int) -> list[Step]:
        """The steps of one round, counted from 0; the first is preceded by a new start."""
        terms = self.terms
        first = random.Random(f"{terms.seed}/{number // 2}").random() < 0.5
        one, other = (terms.a, terms.b) if first == (number % 2 == 0) else (terms.b, terms.a)
        steps = [Step((one, other)[turn], level) for turn in TURNS for level in terms.at]
        if number and terms.restarts:
            steps[0] = Step(steps[0].deployment, steps[0].level, restart=True)
        return steps

    def described(self) -> dict[str, Any]:
        return {"comparison": self.terms.model_dump(mode="json")}

    def _is_over(
        self, blocks: Sequence[Block], rounds: int, place: int, so_far: Sequence[Played]
    ) -> bool:
        if place:
            # Some things are seen at once; whatever else is told by whole rounds.
            both = len({one.deployment for one in blocks}) == 2
            return rounds == 0 and both and kind(blocks, self.terms) == "INVALID"
        terms = block_length.played(self.terms, blocks)
        # Since the command began: the first start of everything counts, too.
        seconds = max(so_far[-1].since, sum(one.seconds for one in so_far))
        counted = sum(one.seconds for one in so_far[block_length.trials(blocks) :])
        if terms.restarts:
            counted += starting(so_far)  # that of the first round, which came before its stages
        if rounds >= terms.total or seconds + counted / rounds > terms.within:
            return True
        found = kind(blocks, self.terms)
        return found == "WORSE" or (rounds >= FIRST and found != "UNRESOLVED")


def starting(so_far: Sequence[Played]) -> float:
    """Seconds from the beginning of the command to the first stage: everything started then."""
    return max(so_far[0].since - so_far[0].seconds, 0.0) if so_far else 0.0


def _blocks(so_far: Sequence[Played]) -> list[Block]:
    return [one.block for one in so_far if one.block is not None]
