"""What the curves are made of: one row for a point, drawn as numbers and told as text."""

from collections.abc import Callable, Sequence
from typing import Any

from loadtests.report.charts.curves import Curve
from loadtests.report.text import limits, numbers, states
from loadtests.results import Estimate, Point

_APART = 1.05  # service and response time that differ by less look like one line

Rows = Sequence[dict[str, Any]]


def times(curves: Sequence[Curve], quantile: str) -> Rows:
    return _rows(curves, lambda p: p.response_time.get(quantile), lambda p: _time(p, quantile))


def throughput(curves: Sequence[Curve]) -> Rows:
    return _rows(curves, lambda p: p.throughput, lambda p: numbers.rate_estimate(p.throughput))


def service(curves: Sequence[Curve], quantile: str) -> Rows:
    """Service times, of the curves where they differ from response times."""
    return [
        row if row["valid"] else gap(row)
        for curve in curves
        if any(_differs(point, quantile) for point in curve.points)
        for row in _rows(
            [curve], lambda p: p.service_time.get(quantile), lambda p: _time(p, quantile)
        )
    ]


def known(rows: Rows) -> list[float]:
    """All that is drawn, intervals included."""
    return [row[end] for row in rows for end in ("low", "value", "high") if row[end] is not None]


def gap(row: dict[str, Any]) -> dict[str, Any]:
    return row | dict.fromkeys(("value", "low", "high"))


def around_invalid(rows: Rows) -> Rows:
    """The invalid points and the neighbours of each on its curve; gaps for the others."""
    kept = []
    for index, row in enumerate(rows):
        near = [row, *rows[max(index - 1, 0) : index], *rows[index + 1 : index + 2]]
        curve = [(r["deployment"], r["run"]) == (row["deployment"], row["run"]) for r in near]
        invalid = any(same and not r["valid"] for same, r in zip(curve, near, strict=True))
        kept.append(row if invalid else gap(row))
    return kept


def _rows(
    curves: Sequence[Curve],
    measured: Callable[[Point], Estimate | None],
    text: Callable[[Point], str],
) -> Rows:
    """One row for a point: what is drawn as numbers, what the tooltip says as text."""
    rows = []
    for place, curve in enumerate(curves):
        for point in curve.points:
            estimate = measured(point)
            rows.append(
                {
                    "deployment": curve.name,
                    "run": curve.run,
                    "place": place,
                    "level": point.level,
                    "value": estimate.value if estimate else None,
                    "low": estimate.low if estimate else None,
                    "high": estimate.high if estimate else None,
                    "valid": point.valid,
                    "steady": point.steady,
                    "measured": text(point),
                    "requests": f"{point.requests:,}",
                    "errors": numbers.errors(point.errors),
                    "state": states.tip(point),
                    "limit": limits.tip(point),
                    "noise": numbers.noise(point),
                    "problems": ("" if point.valid else "not valid: ")
                    + ("; ".join(point.problems) or "none"),
                }
            )
    return rows


def _time(point: Point, quantile: str) -> str:
    text = states.response_time(point, quantile)
    service = point.service_time.get(quantile)
    if point.model == "closed" or service is None:
        return text
    return f"{text}; service time {numbers.duration_estimate(service)}"


def _differs(point: Point, quantile: str) -> bool:
    if point.model == "closed" or not point.valid:
        return False
    service, response = point.service_time.get(quantile), point.response_time.get(quantile)
    if service is None or response is None:
        return service is not response
    return response.value > _APART * service.value
