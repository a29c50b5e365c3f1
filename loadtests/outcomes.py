"""What became of a run, and the exit code that says so."""

from dataclasses import dataclass
from pathlib import Path

from loadtests.exit_codes import DIED, FAILED, FINE, INTERRUPTED, NOT_MEASURABLE
from loadtests.results import Run


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run. `code` is an exit code of design: 0, 1, 3, 4 or 130."""

    folder: Path
    run: Run
    code: int


def slo_codes(run: Run) -> set[int]:
    """The exit codes of the run's SLOs."""
    codes = {"met": FINE, "missed": FAILED, "unresolved": NOT_MEASURABLE}
    return {codes[slo.status] for slo in run.slos}


def verdict_codes(run: Run) -> set[int]:
    """The exit codes of what was compared."""
    codes = {"WORSE": FAILED, "UNRESOLVED": NOT_MEASURABLE, "INVALID": NOT_MEASURABLE}
    return {codes.get(one.verdict, FINE) for one in run.verdicts}


def weightiest(codes: set[int]) -> int:
    """The one that a caller must hear of first, where several hold."""
    order = (INTERRUPTED, DIED, FAILED, NOT_MEASURABLE)
    return next((code for code in order if code in codes), FINE)
