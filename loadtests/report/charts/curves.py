"""What is drawn and listed, in its order: the deployments of a run, or of two."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.results import Capacity, Ceiling, Knee, Point, Run, UpstreamChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """
    One line of the charts. `run` tells the curves of two runs apart; empty for one run. `changes`
    of the upstream that fell on it, each with its number in the run.
    """

    name: str
    points: Sequence[Point]
    knee: Knee | None
    capacity: Capacity | None = None
    ceilings: Sequence[Ceiling] = ()
    run: str = ""
    changes: Sequence[tuple[int, UpstreamChange]] = ()


def of_run(run: Run, label: str = "") -> list[Curve]:
    return [
        Curve(
            name=name,
            points=run.of(name),
            knee=run.knees.get(name),
            capacity=run.capacities.get(name),
            ceilings=run.ceilings.get(name, []),
            run=label,
            changes=[each for each in enumerate(run.changes, 1) if each[1].deployment == name],
        )
        for name in run.names
    ]


def is_open(curves: Sequence[Curve]) -> bool:
    """Whether levels are rates of arrivals, whatever the answers do."""
    return {point.model for curve in curves for point in curve.points} == {"open"}


def unit(curves: Sequence[Curve]) -> str:
    """What a level counts."""
    return "requests per second" if is_open(curves) else "concurrent users"


def short_unit(curves: Sequence[Curve]) -> str:
    """The unit as the head of a narrow column."""
    return "rate" if is_open(curves) else "users"
