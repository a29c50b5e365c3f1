"""What is drawn and listed, in its order: the deployments of a run, or of two."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.results import Knee, Point, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line of the charts. `run` tells the curves of two runs apart; empty for one run."""

    name: str
    points: Sequence[Point]
    knee: Knee | None
    run: str = ""


def names(run: Run) -> list[str]:
    """The deployments in the order in which the plan has them."""
    return list(dict.fromkeys([*run.deployments, *(point.deployment for point in run.points)]))


def of_run(run: Run, label: str = "") -> list[Curve]:
    return [
        Curve(name=name, points=run.of(name), knee=run.knees.get(name), run=label)
        for name in names(run)
    ]


def unit(curves: Sequence[Curve]) -> str:
    """What a level counts."""
    models = {point.model for curve in curves for point in curve.points}
    return "requests per second" if models == {"open"} else "concurrent users"


def short_unit(curves: Sequence[Curve]) -> str:
    """The same as the head of a narrow column."""
    return "users" if unit(curves).endswith("users") else "rate"
