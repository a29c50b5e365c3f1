"""
The straight lines that bound a curve (Denning and Buzen, The Operational Analysis of Queueing
Network Models, 1978): N / (R_0 + Z) and X_max for throughput, R_0 and N / X_max - Z for the mean
response time. They cross at the knee. In the open model throughput is bounded by the rate of
arrivals and X_max, and beyond the knee no response time is.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from loadtests.report.charts.curves import Curve, is_open

_STEPS = 32  # a straight line is a curve on an axis that is not linear
_BEFORE = 0.7  # of the knee: X_max begins there, so that one sees where the two cross

Line = Callable[[float], float]


def of_throughput(curves: Sequence[Curve], start: float, end: float) -> list[dict[str, Any]]:
    """Rows of what is known of each curve, between two levels."""
    return [
        row
        for curve in curves
        for index, (line, before) in enumerate(_throughput(curve))
        for row in _rows(curve, index, line, max(start, before), end)
    ]


def of_times(curves: Sequence[Curve], start: float, end: float) -> list[dict[str, Any]]:
    rows = []
    for curve in curves:
        knee = curve.knee
        if knee is None or knee.base_response_time is None:
            continue
        rows += _rows(curve, 0, _flat(knee.base_response_time), start, knee.level or end)
        if knee.level is not None and knee.throughput and not is_open([curve]):
            slope = 1 / knee.throughput
            line = _straight(slope, knee.base_response_time - slope * knee.level)
            rows += _rows(curve, 1, line, knee.level, end)
    return rows


def diagonal(end: float) -> list[dict[str, Any]]:
    """The line on which throughput equals the rate of arrivals."""
    return [{"level": level, "value": level} for level in np.linspace(0, end, _STEPS).tolist()]


def _throughput(curve: Curve) -> Iterator[tuple[Line, float]]:
    """Each with the level where it begins."""
    knee = curve.knee
    if knee is None:
        return
    if knee.cycle:
        yield _straight(1 / knee.cycle, 0.0), 0.0
    if knee.level is not None and knee.throughput is not None:
        yield _flat(knee.throughput), _BEFORE * knee.level


def _straight(slope: float, offset: float) -> Line:
    return lambda level: slope * level + offset


def _flat(value: float) -> Line:
    return lambda level: value


def _rows(curve: Curve, index: int, line: Line, start: float, end: float) -> list[dict[str, Any]]:
    levels = np.linspace(max(start, 0.0) ** 0.5, max(end, 0.0) ** 0.5, _STEPS) ** 2
    return [
        {"deployment": curve.name, "line": index, "level": level, "value": line(level)}
        for level in levels.tolist()
    ]
