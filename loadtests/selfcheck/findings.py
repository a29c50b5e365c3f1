"""What the checks found, and the sentence that follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Check:
    """One row: what was to be expected, what came, and whether that will do."""

    name: str
    expected: str
    measured: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The most users and answers at which one load generator can be trusted.

    `rate`: answers per second that it can take at most; `users`: that it serves on time; `floor`:
    seconds that a request takes when nobody makes it wait, which is in every time that is measured.
    """

    rate: float
    users: int
    floor: float


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings of one check, or of all together. Without `limits`, the limits were not measured."""

    checks: Sequence[Check] = field(default_factory=tuple)
    limits: Limits | None = None

    def __add__(self, other: "Findings") -> "Findings":
        return Findings((*self.checks, *other.checks), other.limits or self.limits)

    @property
    def trusted(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)


def not_measured(name: str, expected: str, why: str) -> Check:
    """A check without a result has not been passed."""
    return Check(name, expected, why, passed=False)


def table(found: Findings) -> Table:
    """A row for each check."""
    shown = Table("check", "expected", "measured", "")
    for one in found.checks:
        verdict = Text("pass", "green") if one.passed else Text("FAIL", "bold red")
        shown.add_row(Text(one.name), Text(one.expected), Text(one.measured), verdict)
    return shown


FLOORS = 10
"""In a time of this many floors a tenth is the generator's own."""


def sentence(found: Findings) -> str:
    """Whether this machine can be trusted, and with which limits."""
    failed = [check.name for check in found.checks if not check.passed]
    if not found.trusted:
        which = "; ".join(failed) or "nothing was checked"
        text = f"This machine cannot be trusted with a measurement now. Not passed: {which}."
    else:
        text = "This machine can be trusted."
    if found.limits is not None:
        text += (
            f" One load generating process takes up to {_round(found.limits.rate):,} answers a "
            f"second and serves up to {found.limits.users:,} users on time; times below "
            f"{found.limits.floor * FLOORS * 1000:.0f} ms are more than a tenth its own."
        )
    if not found.trusted:
        text += " End what else runs here and repeat it; the runs, with all reasons, stay in --out."
    return text


def _round(rate: float) -> int:
    """Two digits: more would not be there again the next time."""
    return int(float(f"{rate:.1e}"))
