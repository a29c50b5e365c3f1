"""The axes of the curves: how far they reach, how they are spaced, where they are labelled."""

import math
from collections.abc import Sequence
from typing import Any

from loadtests.report.charts.curves import Curve, is_open, unit

Channel = dict[str, Any]  # how a field is drawn, in the words of Vega-Lite

_TIME = "datum.value < 0.9995 ? format(datum.value * 1000, ',~r') + ' ms' : datum.value + ' s'"


def levels(curves: Sequence[Curve]) -> Channel:
    """
    Levels are mostly doubled from one to the next. On a linear axis the low ones would lie on each
    other; on a log axis a throughput that follows the load looks as if it took off. A square root
    keeps both readable. Rates are mostly spread evenly, and a diagonal should look straight.
    """
    places = sorted({point.level for curve in curves for point in curve.points}) or [1]
    knees = [curve.knee.level for curve in curves if curve.knee and curve.knee.level]
    low, high = min([*places, *knees]), places[-1]
    if high > 500 * low:
        scale = {"type": "log", "base": 2, "domain": [low * 0.85, high * 1.18]}
    elif is_open(curves):
        scale = {"domain": [0, high * 1.06]}
    elif high > 4 * low:
        scale = {"type": "sqrt", "domain": [0, high * 1.08]}
    else:
        scale = {"domain": _padded(low, high)}
    axis = {"title": unit(curves), "values": places, "format": ",d", "labelOverlap": "greedy"}
    return quantity("level", scale=scale, axis=axis)


def times(low: float, high: float) -> Channel:
    """Seconds; `low` and `high` are the extremes of what is drawn."""
    # On a linear axis a p95 of two seconds would press all that came before flat on the floor.
    if high > 4 * low > 0:
        domain = [low * 0.88, high * 1.12]
        scale: Channel = {"type": "log", "domain": domain}
        axis: Channel = {
            "title": None,
            "grid": True,
            "values": one_two_five(*domain),
            "labelExpr": _TIME,
        }
    else:
        scale = {"domain": [0, high * 1.08]}
        axis = {"title": None, "grid": True, "tickCount": 6, "labelExpr": _TIME}
    return quantity("value", scale=scale, axis=axis)


def rates(high: float) -> Channel:
    """Requests per second, from zero."""
    label = "format(datum.value, ',~r') + '/s'"
    axis = {"title": None, "grid": True, "tickCount": 6, "labelExpr": label}
    return quantity("value", scale={"domain": [0, high * 1.08]}, axis=axis)


def reach(axis: Channel) -> tuple[float, float]:
    """Where the axis begins and ends."""
    low, high = axis["scale"]["domain"]
    return float(low), float(high)


def quantity(field: str, **look: Any) -> Channel:
    return {"field": field, "type": "quantitative", **look}


def nominal(field: str, **look: Any) -> Channel:
    return {"field": field, "type": "nominal", **look}


def one_two_five(low: float, high: float) -> list[float]:
    """The 1, 2 and 5 of every decade within [low, high]; over three decades the 1 alone."""
    steps = (1, 2, 5) if high / low < 2000 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _padded(low: float, high: float) -> list[float]:
    margin = (high - low) * 0.06 or low * 0.5
    return [low - margin, high + margin]
