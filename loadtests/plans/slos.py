"""Service level objectives as text: a metric, its threshold, of which deployment, at which level.

p95 < 250ms at 40               of every deployment
p95(async-httpx) < 250ms at 40  of one
errors < 0.1%                   at every level, or `at 40`
throughput > 500/s at 80
knee > 60                       users
p95(async-httpx2) < 0.5 * p95(blocking-requests) at 80   of one, against another
knee(async-httpx2) > knee(blocking-requests)
"""

import math
import re
from dataclasses import dataclass
from typing import Literal

from mock_upstream.units.durations import parse_duration

Metric = Literal["p50", "p95", "p99", "mean", "errors", "throughput", "knee"]
Comparison = Literal["<", "<=", ">", ">="]

METRICS: tuple[Metric, ...] = ("p50", "p95", "p99", "mean", "errors", "throughput", "knee")
COMPARISONS: tuple[Comparison, ...] = ("<=", ">=", "<", ">")  # the longer ones are tried first
GRAMMAR = (
    "METRIC[(DEPLOYMENT)] COMPARISON THRESHOLD [at LEVEL]\n"
    "  METRIC(DEPLOYMENT) COMPARISON [FACTOR *] METRIC(OTHER) [at LEVEL]\n"
    f"  METRIC is {', '.join(METRICS)}; COMPARISON is <, <=, > or >=\n"
    "  for example: p95 < 250ms at 40; p95(async-httpx) < 250ms at 40; errors < 0.1%; "
    "throughput > 500/s at 80; knee > 60; p95(new) < 0.5 * p95(old) at 40"
)

_AT_EVERY_LEVEL = ("errors", "knee")  # metrics that an SLO can have without a level
LONGEST_TEXT = 300  # characters
_NUMBER = r"\d+(?:\.\d+)?"
# A factor, the name of a metric, or anything in brackets: no threshold has any of them.
_OF_ANOTHER = rf"{_NUMBER}\s*\*|(?:{_NUMBER}\s+)?(?:(?:{'|'.join(METRICS)})\b|\w+\s*\()|\*"


@dataclass(frozen=True, slots=True)
class Slo:
    """
    One SLO. `threshold` is in the unit of its metric: seconds for times, a ratio for errors,
    requests per second for throughput, users for the knee. `deployment` None: every one; `level`
    None (errors and knee alone): every level.

    `against`: another deployment. The threshold is then for the ratio of the metric of `deployment`
    to that of `against`, and `threshold` is a number without a unit.
    """

    metric: Metric
    deployment: str | None
    comparison: Comparison
    threshold: float
    level: int | None
    text: str
    against: str | None = None

    @property
    def named(self) -> list[str]:
        """The deployments that the text names; none when it speaks of every one."""
        return [name for name in (self.deployment, self.against) if name is not None]

    def holds(self, value: float) -> bool:
        """Whether a value of the metric, in the unit of the threshold, meets the SLO."""
        return {
            "<": value < self.threshold,
            "<=": value <= self.threshold,
            ">": value > self.threshold,
            ">=": value >= self.threshold,
        }[self.comparison]


def parse(text: str, level: int | None = None) -> Slo:
    """
    The SLO of the text; see the top of this module.

    Args:
        level: of a text that has none and needs one; None: that is a mistake.

    Raises:
        ValueError: it makes none; the message shows the place and the grammar.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            f"{text[:40]!r}... has more than {LONGEST_TEXT} characters; write\n{GRAMMAR}"
        )
    return _Reader(text, level).slo()


class _Reader:
    """Takes one part after the other from the front of the text."""

    def __init__(self, text: str, default_level: int | None) -> None:
        self._text = text
        self._default_level = default_level
        self._at = 0

    def slo(self) -> Slo:
        metric = self._metric()
        place = self._at
        deployment = self._deployment()
        comparison = self._comparison()
        against = None
        if self._take(_OF_ANOTHER, move=False):
            threshold, against = self._other(metric, deployment, place)
        else:
            threshold = self._threshold(metric)
        level, text = self._level(metric), self._text.strip()
        if level is None and metric not in _AT_EVERY_LEVEL:
            level, text = self._default_level, f"{text} at {self._default_level}"
        return Slo(metric, deployment, comparison, threshold, level, text, against)

    def _metric(self) -> Metric:
        word = self._take(r"\w*")
        for metric in METRICS:
            if word == metric:
                return metric
        raise self._error("a metric is expected", word)

    def _deployment(self) -> str | None:
        if not self._take(r"\("):
            return None
        name = self._take(r"[^()]*").strip()
        if not name or not self._take(r"\)"):
            raise self._error("the name of a deployment and ')' are expected")
        return name

    def _comparison(self) -> Comparison:
        for comparison in COMPARISONS:
            if self._take(re.escape(comparison)):
                return comparison
        raise self._error("<, <=, > or >= is expected")

    def _other(self, metric: Metric, deployment: str | None, place: int) -> tuple[float, str]:
        """The factor and the other deployment; `place`: where the name of the first one belongs."""
        if metric == "errors":
            raise self._error(
                "errors of two deployments cannot be compared, as most have none: "
                "a share from 0% to 100% is expected, such as 0.1%"
            )
        if deployment is None:
            raise self._error(
                "to compare two deployments, name the first one, too: "
                f"{metric}(NAME) is expected on the left",
                place=place,
            )
        before = self._factor()
        if before is not None and not self._take(r"\*"):
            raise self._error("'*' is expected behind the factor")
        word = self._take(r"\w*")
        if word != metric:
            raise self._error(f"{metric} is expected on the right as on the left", word)
        start = self._at
        against = self._deployment()
        if against is None:
            raise self._error(f"the name of the other deployment is expected: {metric}(NAME)")
        if against == deployment:
            name = self._text[start : self._at].lstrip()
            raise self._error("another deployment than on the left is expected", name)
        after = None
        if self._take(r"\*"):
            if before is not None:
                raise self._error("there is a factor before", "*")
            after = self._factor()
            if after is None:
                raise self._error("a factor is expected, such as 0.5")
        return before or after or 1.0, against

    def _factor(self) -> float | None:
        word = self._take(_NUMBER)
        if not word:
            return None
        if not 0 < float(word) < math.inf:
            raise self._error("a factor above 0 is expected, such as 0.5", word)
        return float(word)

    def _threshold(self, metric: Metric) -> float:
        word = self._take(r"[^\s()]*")
        if metric == "errors":
            match = re.fullmatch(rf"({_NUMBER})(%?)", word)
            ratio = float(match[1]) / (100 if match[2] else 1) if match else -1.0
            if not 0 <= ratio <= 1:
                raise self._error("a share from 0% to 100% is expected, such as 0.1%", word)
            return ratio
        if metric in ("throughput", "knee"):
            unit, example = ("/s", "500/s") if metric == "throughput" else ("", "60")
            match = re.fullmatch(rf"({_NUMBER}){unit}", word)
            if not match:
                what = "requests per second are" if unit else "a number of users is"
                raise self._error(f"{what} expected, such as {example}", word)
            return float(match[1])
        try:
            seconds = parse_duration(word)
        except ValueError:
            seconds = 0.0
        if seconds == 0:
            raise self._error("a duration with its unit is expected, such as 250ms", word)
        return seconds

    def _level(self, metric: Metric) -> int | None:
        if not self._take(r"at\b"):
            if self._take(r"\S+", move=False):
                raise self._error("'at' and a level, or the end, is expected")
            if metric not in _AT_EVERY_LEVEL and self._default_level is None:
                raise self._error(f"{metric} changes with the level: 'at 40', say, is expected")
            return None
        if metric == "knee":
            raise self._error("the knee is a level itself: the end is expected before 'at'", "at")
        word = self._take(r"\S*")
        if not re.fullmatch(r"0*[1-9]\d{0,8}", word, re.ASCII):
            raise self._error("a level is expected, a whole number from 1", word)
        if self._take(r"\S+", move=False):
            raise self._error("the end is expected")
        return int(word)

    def _take(self, pattern: str, move: bool = True) -> str:
        """What the pattern finds after white space; empty if nothing, and then nothing moves."""
        match = re.compile(rf"\s*({pattern})", re.ASCII).match(self._text, self._at)
        if not match:
            return ""
        if move and match[1]:
            self._at = match.end()
        return match[1]

    def _error(self, what: str, taken: str = "", place: int | None = None) -> ValueError:
        """
        `taken` is the part just taken that is wrong; without, it is what comes next, or at `place`.
        """
        at = self._at if place is None else place
        rest = self._text[at:]
        column = at + len(rest) - len(rest.lstrip()) if not taken else at - len(taken)
        text = "".join(char if char.isprintable() else " " for char in self._text)
        return ValueError(f"{what} (column {column + 1})\n  {text}\n  {' ' * column}^\n{GRAMMAR}")
