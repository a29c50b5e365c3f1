"""Levels, a length of measurements and a level to compare at, from a short look at the services."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.analysis import proposals
from loadtests.analysis.numbers import duration, load, rate
from loadtests.analysis.short_windows import least_for, mean_latency
from loadtests.analysis.stats.sample_size import requests_for
from loadtests.plans import Plan, pace
from loadtests.results import QUANTILES
from loadtests.run.short_look import ShortLook

_NICE = (1, 5, 10, 20, 40, 80, 160, 320, 640, 1250, 2500, 5000, 10_000, 20_000)
_USUAL = (1, 5, 10, 20, 40, 80, 160)
_SHARES = (0.1, 0.25, 0.5, 0.7, 0.85, 1.0, 1.2)  # of what a core can answer, in the open model
_MOST = 7  # levels
_COMPARED = 40  # the highest level at which a comparison is suggested


@dataclass(frozen=True, slots=True)
class Suggestion:
    """
    What fits the services: `levels`; the level `at` which two of them are best compared; the
    seconds to `measure` (`needed` where a plan without `measure` would be too short).

    `why`: a sentence for each deployment.
    """

    levels: tuple[int, ...]
    at: int
    measure: float
    needed: bool
    why: tuple[str, ...]


def suggestion(plan: Plan, looks: Sequence[ShortLook], cores: int) -> Suggestion | None:
    """
    Return what fits the services; None: one of them answered nothing as expected.

    Args:
        looks: at the plan's deployments; empty for a locustfile of the user's.
        cores: that the deployments can use.
    """
    if not all(one.response_time for one in looks):
        return None
    knees = [knee for one in looks if (knee := _knee(plan, one, cores)) is not None]
    levels = _levels(plan, knees)
    slowest = max((one.response_time or 0.0 for one in looks), default=mean_latency(plan))
    below = [level for level in levels if level <= min([_COMPARED, *(k / 2 for k in knees)])]
    at = max(below, default=levels[0])
    per_second = at if plan.load.model == "open" else at / max(slowest + plan.load.think_time, 1e-4)
    seconds = max(
        pace.LEAST,
        least_for(slowest + plan.load.think_time),
        requests_for(QUANTILES["p95"]) / per_second,
    )
    measure = math.ceil(min(seconds, proposals.LONGEST))
    why = tuple(_sentence(plan, one, cores) for one in looks)
    return Suggestion(levels, at, measure, measure > pace.LONGEST, why)


def _knee(plan: Plan, one: ShortLook, cores: int) -> float | None:
    """The level at which the cores of a deployment are busy; None: its CPU is not known."""
    if not one.cpu or not one.response_time:
        return None
    busiest = max(min(one.processes, cores), 1) / one.cpu  # requests per second
    cycle = one.response_time + plan.load.think_time
    return busiest if plan.load.model == "open" else busiest * cycle


def _levels(plan: Plan, knees: Sequence[float]) -> tuple[int, ...]:
    if not knees:
        return plan.load.levels if plan.load.model == "open" else _USUAL
    if plan.load.model == "open":
        return tuple(sorted({max(_rounded(share * max(knees)), 1) for share in _SHARES}))
    beyond = next((i for i, level in enumerate(_NICE) if level >= 2 * max(knees)), len(_NICE) - 1)
    end = max(beyond, _NICE.index(20))
    count = min(end + 1, _MOST)
    return tuple(_NICE[round(i * end / (count - 1))] for i in range(count))


def _rounded(value: float) -> int:
    """The value with two significant digits."""
    digits = max(math.floor(math.log10(max(value, 1))) - 1, 0)
    return int(round(value, -digits))


def _sentence(plan: Plan, one: ShortLook, cores: int) -> str:
    text = f"{one.deployment} answers one user in {duration(one.response_time or 0.0)}"
    knee = _knee(plan, one, cores)
    if knee is None or one.cpu is None:
        return f"{text}."
    used = max(min(one.processes, cores), 1)
    cores_used = "1 core" if used == 1 else f"{used} cores"
    where = rate(knee) if plan.load.model == "open" else load(max(round(knee), 1), "closed")
    return f"{text} with {duration(one.cpu)} of CPU: about {where} use all of {cores_used}."
