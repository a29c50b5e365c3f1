"""
An experiment: a statement that is often read, put to the test in one or several cases.

In each case the statement says what would be measured if it held, and what if it did not; the
measurement decides by the side of the border on which its interval lies. So the verdict follows
from the numbers alone: confirmed where it holds in every case, refuted where in none, and
otherwise true only when.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Literal

from loadtests.claims import experiments as shelf
from loadtests.claims.measurements import Measurement, NotMeasured
from loadtests.claims.model import HEALTHY
from loadtests.results import Estimate

Unit = Literal["seconds", "per second", "number", "share"]
Verdict = Literal["confirmed", "refuted", "true only when"]
NEAR = 0.25  # a measurement within a quarter of what was predicted is as predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimCase:
    """
    One measurement for or against. `predicted` comes from the model: settings, delays and, where
    it takes the cost of a request, that at the lowest level.
    """

    when: str  # "at 40 users"
    what: str  # "answers"
    unit: Unit
    if_true: float
    if_false: float
    predicted: float
    measured: Estimate

    @property
    def holds(self) -> bool | None:
        """None: the interval is not known, or reaches over the border."""
        if self.measured.low is None or self.measured.high is None:
            return None
        ends = {self.place(self.measured.low) < 0.5, self.place(self.measured.high) < 0.5}
        return ends.pop() if len(ends) == 1 else None

    def place(self, value: float) -> float:
        """
        Where a value lies between what is measured if the statement holds (0) and if not (1).

        By ratios where both are above zero, by differences otherwise.
        """
        true, false = self.if_true, self.if_false
        if min(true, false) > 0:
            return math.log(max(value, 1e-9) / true) / math.log(false / true)
        return (value - true) / (false - true)

    @property
    def as_predicted(self) -> bool:
        """The measurement is near what was predicted, or its interval holds it."""
        low = self.measured.value if self.measured.low is None else self.measured.low
        high = self.measured.value if self.measured.high is None else self.measured.high
        if low <= self.predicted <= high:
            return True
        if self.unit == "seconds" and self.predicted <= HEALTHY:  # by order of magnitude
            return low <= HEALTHY
        scale = self.predicted or abs(self.if_true - self.if_false)
        return abs(self.measured.value - self.predicted) <= NEAR * scale


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of an experiment; without a verdict, `why` says what was missing."""

    experiment: "ClaimExperiment"
    verdict: Verdict | None
    cases: Sequence[ClaimCase] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimExperiment:
    """
    `claim` is the statement in our words, `theory` what the model says of it. `judge` takes what
    was seen of each of the plans, in their order, and has no other source. `probed` are the
    deployments of the plans whose upstream is also made faster in turns (schedules/why.py).
    """

    name: str
    claim: str
    theory: str
    plans: tuple[str, ...]
    judge: Callable[..., list[ClaimCase]]
    probed: tuple[str, ...] = ()

    def finding(self, seen: Mapping[str, Measurement | str]) -> Finding:
        """`seen` has each plan, or why it could not be played."""
        missing = [why for name in self.plans if isinstance(why := seen[name], str)]
        if missing:
            return Finding(self, None, why=missing[0])
        try:
            return judged(self, self.judge(*(seen[name] for name in self.plans)))
        except NotMeasured as error:
            return Finding(self, None, why=str(error))


def experiment(
    *, claim: str, theory: str, plans: tuple[str, ...], probed: tuple[str, ...] = ()
) -> Callable[[Callable[..., list[ClaimCase]]], ClaimExperiment]:
    """Make an experiment, named as the function is, of the function that judges it."""
    return lambda judge: ClaimExperiment(
        name=judge.__name__.replace("_", "-"),
        claim=claim,
        theory=theory,
        plans=plans,
        judge=judge,
        probed=probed,
    )


def judged(experiment: ClaimExperiment, cases: Sequence[ClaimCase]) -> Finding:
    """The verdict that follows from the cases."""
    open_cases = [case for case in cases if case.holds is None]
    if open_cases or not cases:
        where = "; ".join(f"{case.what} {case.when}" for case in open_cases) or "no case"
        return Finding(experiment, None, cases, f"too few requests to decide: {where}")
    holding = [case for case in cases if case.holds]
    if len(holding) == len(cases):
        return Finding(experiment, "confirmed", cases)
    if not holding:
        return Finding(experiment, "refuted", cases)
    failing = [case for case in cases if not case.holds]
    why = f"it holds {_list(holding)}; it does not {_list(failing)}"
    return Finding(experiment, "true only when", cases, why)


def all_experiments() -> dict[str, ClaimExperiment]:
    """All, by name; each module of `experiments` has some."""
    modules = [import_module(f"{shelf.__name__}.{m.name}") for m in iter_modules(shelf.__path__)]
    every = [one for module in modules for one in vars(module).values()]
    return {one.name: one for one in every if isinstance(one, ClaimExperiment)}


def _list(cases: Sequence[ClaimCase]) -> str:
    return ", ".join(dict.fromkeys(case.when for case in cases))
