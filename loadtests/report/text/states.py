"""How a point's state is said and drawn: a number that was still moving never looks like others."""

from loadtests.analysis import collapse
from loadtests.report.text import numbers
from loadtests.report.text.numbers import Interval
from loadtests.results import Point, Run

UNSTABLE = "unstable"
_SAID = {
    "steady": "steady",
    "drifting": "drifting",
    "over-saturated": "over-saturated",
    "unsteady": "not steady",
}
_MARKS = {"drifting": "~", "over-saturated": "^", "unsteady": "?"}  # after a name in narrow tables
_SENTENCES = {
    "drifting": "drifting: it was still moving when the window ended",
    "over-saturated": "over-saturated: more came than was answered, to the end",
    "unsteady": "no steady state: it jumps between states",
}
# Around a point of the curves, larger than any point's own shape.
OUTLINES = {"drifting": "circle", "over-saturated": "diamond", "unsteady": "square"}


def said(point: Point) -> str:
    """E.g. "drifting"; a dash where the window was too short to tell."""
    return numbers.MISSING if point.steady is None else _SAID[point.steady]


def tip(point: Point) -> str:
    """The state for a tooltip, in words where a dash would say nothing."""
    return "too short to tell" if point.steady is None else _SAID[point.steady]


def mark(point: Point) -> str:
    return _MARKS.get(point.steady or "", "")


def moving(point: Point) -> bool:
    return point.steady in _MARKS


def remarks(point: Point) -> list[str]:
    """What there is to say about a point: its problems, and its state where they are silent."""
    sentence = _SENTENCES.get(point.steady or "")
    words = {"over-saturated": ("over-saturated", UNSTABLE), "unsteady": ("steady",)}
    names = words.get(point.steady or "", (str(point.steady),))
    known = any(name in problem for name in names for problem in point.problems)
    return [*point.problems, *([sentence] if sentence and not known else [])]


def response_time(point: Point, name: str, interval: Interval = "fitting") -> str:
    """The quantile of response time, "unstable" where there cannot be one."""
    estimate = point.response_time.get(name)
    if estimate is None and collapse.unstable(point):
        return UNSTABLE
    return numbers.duration_estimate(estimate, interval)


def legend(run: Run) -> str:
    """What the marks in a narrow table mean, as far as they occur; empty without any."""
    found = {point.steady for point in run.points if point.request == "all"}
    return ", ".join(f"{mark} {_SAID[state]}" for state, mark in _MARKS.items() if state in found)
