"""When a level shows that a deployment has collapsed. Schedules ask it: no numpy, no scipy here."""

from collections.abc import Sequence

from loadtests.analysis.numbers import duration, load, loads, percent, rate
from loadtests.results import Point

TOO_SLOW, TOO_SLOW_FACTOR = 2.0, 5.0
"""
A p95 is a collapse above both: a number of seconds, and a multiple of the lowest level's. Higher
levels would take minutes to say the same; the factor leaves room behind an upstream that takes
seconds by itself.
"""
TOO_MANY_FAILURES = 0.5


def collapse(p95: float | None, failures: float, base: float | None) -> str:
    """
    What shows a collapse, such as "p95 is 2.4 s, more than 2 s"; empty when nothing does.

    Args:
        p95: response time of the successes in seconds; None when it was not measured.
        failures: the share of the requests that failed.
        base: the p95 at the lowest level.
    """
    if failures > TOO_MANY_FAILURES:
        return f"{percent(failures)} of the requests fail"
    limit = max(TOO_SLOW, TOO_SLOW_FACTOR * (base or 0.0))
    if p95 is not None and p95 > limit:
        return f"p95 is {duration(p95)}, more than {duration(limit)}"
    return ""


def unstable(point: Point) -> bool:
    """Whether more requests come than are answered: at a higher rate the queue grows faster."""
    return point.model == "open" and point.steady == "over-saturated"


def slowness(point: Point) -> float | None:
    """The p95 of the successes, or their mean where they are too few for it; seconds."""
    found = point.response_time.get("p95") or point.response_time.get("mean")
    return found.value if found else None


def first_collapsed(points: Sequence[Point]) -> tuple[Point, str] | None:
    """
    The lowest level that shows a collapse, and what shows it; None when no level does.

    Args:
        points: of all requests on one deployment, by rising level.
    """
    for point in points:
        if unstable(point):
            return point, f"it answers {rate(point.throughput.value)} of {rate(point.level)}"
        if shown := collapse(slowness(point), point.errors.rate, slowness(points[0])):
            return point, shown
    return None


def skipped(deployment: str, points: Sequence[Point], levels: Sequence[int]) -> str:
    """
    A sentence about the levels that were not played because of a collapse; empty without such.

    Args:
        points: of all requests on this deployment, by rising level.
        levels: those of the plan.
    """
    found = first_collapsed(points)
    if found is None:
        return ""
    point, shown = found
    played = {one.level for one in points}
    left_out = [level for level in levels if level > point.level and level not in played]
    if not left_out:
        return ""
    return (
        f"{deployment} was not measured at {loads(left_out, point.model)}, because "
        f"at {load(point.level, point.model)} {shown}."
    )


def answers_nothing_well(points: Sequence[Point]) -> bool:
    """
    Whether most requests failed at every level, and one of them is valid.

    The failures of a level that was disturbed, as by a SIGSTOP, need not be the service's.
    """
    asked = [point for point in points if point.requests]
    failing = all(point.errors.rate > TOO_MANY_FAILURES for point in asked)
    return failing and any(point.valid for point in asked)
