"""Predicted ceilings: those that the chart of throughput has room for, and how they came true."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadtests.report.charts.curves import Curve
from loadtests.report.charts.rows import Rows
from loadtests.report.text import numbers
from loadtests.results import Ceiling, Estimate

ROOM = 1.3  # times the highest that was measured: what lies above would flatten the curves
_MOST = 2  # of one deployment
_MANY = 4  # deployments; with more only the lowest ceiling of each
_LABEL = 0.045  # of the height: what a label takes


@dataclass(frozen=True, slots=True)
class Met:
    """A ceiling and the highest throughput that was seen below it, in requests per second."""

    ceiling: Ceiling
    measured: Estimate | None
    ratio: float | None  # measured over predicted
    binds: bool

    @property
    def origin(self) -> str:
        """What the ceiling was computed from, and the prediction where more was measured."""
        return origin(self.ceiling)


def origin(ceiling: Ceiling) -> str:
    if ceiling.predicted is None:
        return ceiling.how
    return f"as measured; {ceiling.how} predicts {numbers.rate(ceiling.predicted)}"


def drawn(curves: Sequence[Curve], high: float) -> Rows:
    """Rows of what is drawn where throughput reaches `high`; their labels keep clear."""
    most = _MOST if len(curves) <= _MANY else 1
    found = sorted(
        (
            (ceiling.throughput, curve.name, ceiling)
            for curve in curves
            for ceiling in _lowest(curve)[:most]
            if ceiling.throughput <= ROOM * high
        ),
        key=lambda each: each[:2],
    )
    step = _LABEL * max([high, *(value for value, _, _ in found)])
    rows, label = [], float("-inf")
    for value, name, ceiling in found:
        label = max(value, label + step)
        rows.append(
            {
                "deployment": name,
                "value": value,
                "label": label,
                "text": ceiling.resource,
                "told": f"{name}\nceiling: {ceiling.resource}, {numbers.rate(value)}"
                f"\nfrom: {origin(ceiling)}",
            }
        )
    return rows


def met(curve: Curve) -> Iterator[Met]:
    """A deployment's ceilings, the lowest first, with the measured throughput."""
    measured = _highest(curve)
    limit = curve.knee.limit if curve.knee else None
    for ceiling in _lowest(curve):
        ratio = measured.value / ceiling.throughput if measured and ceiling.throughput else None
        yield Met(ceiling, measured, ratio, ceiling.resource == limit)


def _lowest(curve: Curve) -> list[Ceiling]:
    return sorted(curve.ceilings, key=lambda ceiling: ceiling.throughput)


def _highest(curve: Curve) -> Estimate | None:
    """X_max of the knee; the highest throughput of a valid point where no knee was seen."""
    if curve.knee is not None and curve.knee.throughput is not None:
        return Estimate(value=curve.knee.throughput)
    valid = [point.throughput for point in curve.points if point.valid]
    return max(valid, key=lambda throughput: throughput.value, default=None)
