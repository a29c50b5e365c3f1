"""What stands above the plot of a curve: its knee and its capacity, each with its interval."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import altair as alt

from loadtests.report import axes, quantities
from loadtests.report.curves import Curve, unit
from loadtests.results import Estimate

_ROW = 15  # pixels that each takes
_MANY = 8  # from here on they stand closer and fainter


@dataclass(frozen=True, slots=True)
class _Mark:
    curve: Curve
    what: str
    level: Estimate
    text: str


class Data(alt.InlineData):
    """Rows that nobody changes, so Altair need not copy them into every layer of every chart."""

    def __deepcopy__(self, memo: object) -> "Data":
        return self


def above(curves: Sequence[Curve], x: alt.X, colour: alt.Color, height: int) -> alt.LayerChart:
    """A row for each mark: its symbol, interval and number, and a band and a rule in the plot."""
    found = sorted(_marks(curves), key=lambda mark: mark.level.value, reverse=True)
    end = axes.reach(x)[1]
    rows = [
        {
            "deployment": mark.curve.name,
            "row": row,
            "what": mark.what,
            "level": mark.level.value,
            "low": mark.level.low,
            "high": mark.level.high,
            "edge": min(max(mark.level.high or 0.0, mark.level.value), end),
            "text": f"{mark.text} {mark.curve.run}".rstrip(),
            "interval": quantities.level_estimate(mark.level),
        }
        # The highest stands lowest: then no rule runs through the label of another.
        for row, mark in enumerate(found)
    ]
    few = len(found) < _MANY
    step = _ROW if few else _ROW * 0.75
    scale = alt.Scale(domain=[0, 1], range=[-_ROW * 0.7, -_ROW * 0.7 - step], zero=False)
    y = alt.Y("row:Q", scale=scale, axis=None)
    base = alt.Chart(Data(values=rows))
    told = [
        alt.Tooltip("deployment:N"),
        alt.Tooltip("what:N", title="mark"),
        alt.Tooltip("interval:N", title=unit(curves)),
    ]
    ends = {"x": alt.X("low:Q", scale=x["scale"], axis=x["axis"]), "x2": alt.X2("high:Q")}
    shape = alt.Shape(
        "what:N",
        scale=alt.Scale(domain=["knee", "capacity"], range=["diamond", "triangle-down"]),
        legend=None,
    )
    layers: alt.LayerChart = alt.layer(
        base.mark_rect(opacity=0.1 if few else 0.05, clip=True).encode(
            colour, y=alt.value(0), y2=alt.value(height), **ends
        ),
        base.mark_rule(strokeDash=[2, 3], opacity=0.75 if few else 0.4).encode(
            x, y, colour, y2=alt.value(height)
        ),
        base.mark_rule(strokeWidth=3, opacity=0.45).encode(y, colour, **ends),
        base.mark_point(filled=True, size=60, opacity=1).encode(x, y, colour, shape, tooltip=told),
        base.mark_text(align="left", dx=9, fontSize=11.5, baseline="middle").encode(
            alt.X("edge:Q", scale=x["scale"], axis=x["axis"]), y, colour, text="text:N"
        ),
    ).resolve_scale(shape="independent")
    return layers


def _marks(curves: Sequence[Curve]) -> Iterator[_Mark]:
    for curve in curves:
        knee, capacity = curve.knee, curve.capacity
        if knee is not None and knee.level is not None:
            place = Estimate(value=knee.level, low=knee.low, high=knee.high)
            yield _Mark(curve, "knee", place, f"knee {quantities.level(knee.level)}")
        if capacity is not None and capacity.level is not None:
            place = Estimate(value=capacity.level, low=capacity.low, high=capacity.high)
            least = "≥" if capacity.above else ""
            yield _Mark(curve, "capacity", place, f"capacity {least}{capacity.level:,}")
