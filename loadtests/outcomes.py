"""What became of a run, and the exit code that says so."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import Literal

from loadtests import exit_codes
from loadtests.analysis.collapse import answers_nothing_well
from loadtests.results import Run

Unresolved = Literal["pass", "fail"]


class Ending(Enum):
    """
    What became of one part of a run, the weightiest first.

    INVALID was not measured, or not validly; UNRESOLVED was, and did not tell enough. Both have one
    exit code, but only UNRESOLVED can be taken for a pass or a failure.
    """

    INTERRUPTED = "interrupted"
    DIED = "died"
    FAILED = "failed"
    INVALID = "invalid"
    UNRESOLVED = "unresolved"
    FINE = "fine"


_CODES = {
    Ending.INTERRUPTED: exit_codes.INTERRUPTED,
    Ending.DIED: exit_codes.DIED,
    Ending.FAILED: exit_codes.FAILED,
    Ending.INVALID: exit_codes.NOT_MEASURABLE,
    Ending.UNRESOLVED: exit_codes.NOT_MEASURABLE,
    Ending.FINE: exit_codes.FINE,
}
_TAKEN = {"pass": Ending.FINE, "fail": Ending.FAILED}
_SLOS = {"met": Ending.FINE, "missed": Ending.FAILED, "unresolved": Ending.UNRESOLVED}
_VERDICTS = {
    "WORSE": Ending.FAILED,
    "UNRESOLVED": Ending.UNRESOLVED,
    "INVALID": Ending.INVALID,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run, part by part."""

    folder: Path
    run: Run
    endings: frozenset[Ending]

    def exit_code(self, unresolved: Unresolved | None = None) -> int:
        return exit_code(self.endings, unresolved)

    @property
    def interrupted(self) -> bool:
        return Ending.INTERRUPTED in self.endings


def exit_code(endings: Iterable[Ending], unresolved: Unresolved | None = None) -> int:
    """
    The exit code of the weightiest of these endings.

    Args:
        unresolved: what UNRESOLVED is taken for; no other ending is touched.
    """
    taken = _TAKEN[unresolved] if unresolved else Ending.UNRESOLVED
    found = {taken if one is Ending.UNRESOLVED else one for one in endings}
    return next((_CODES[one] for one in Ending if one in found), exit_codes.FINE)


def endings_of(run: Run) -> set[Ending]:
    """What the run's SLOs, verdicts and failures say of it, but for its capacities."""
    slos = {_SLOS[slo.status] if slo.valid else Ending.INVALID for slo in run.slos}
    answers = {Ending.FAILED} if answering_nothing_well(run) else set()
    unmeasured = {Ending.INVALID} if measured_nowhere(run) else set()
    return slos | verdict_endings(run) | answers | unmeasured


def verdict_endings(run: Run) -> set[Ending]:
    """What was compared."""
    return {_VERDICTS.get(one.verdict, Ending.FINE) for one in run.verdicts}


def measured_nowhere(run: Run) -> list[str]:
    """
    The deployments of which no level can be relied on, as when no user of a locustfile gets beyond
    its log-in.

    None of a comparison in turns: its verdict says whether the blocks can be compared.
    """
    if any(one.method == "interleaved" for one in run.verdicts):
        return []
    asked: dict[str, int] = {}
    for point in run.points:
        if point.request == "all":
            valid = point.requests if point.counts else 0
            asked[point.deployment] = asked.get(point.deployment, 0) + valid
    return [name for name, count in asked.items() if not count]


def answering_nothing_well(run: Run) -> list[str]:
    """
    The deployments that failed most requests at every level.

    None of a comparison in turns: its verdict says which of the two fails.
    """
    if any(one.method == "interleaved" for one in run.verdicts):
        return []
    points = sorted((p for p in run.points if p.request == "all"), key=lambda p: p.deployment)
    return [
        name
        for name, those in groupby(points, key=lambda point: point.deployment)
        if answers_nothing_well(list(those))
    ]
