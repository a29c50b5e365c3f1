"""What stands above the plot of a curve: its knee and its capacity, each with its interval."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.report.charts import axes
from loadtests.report.charts.axes import Channel, nominal, quantity
from loadtests.report.charts.curves import Curve, unit
from loadtests.report.charts.rows import Rows
from loadtests.report.text import numbers
from loadtests.results import Estimate

Layer = dict[str, Any]  # of a chart, or charts; in the words of Vega-Lite

_PAINTS = {"line": "strokeOpacity", "rule": "strokeOpacity", "area": "fillOpacity"}
_ROW = 15  # pixels that each takes
_MANY = 8  # from here on they stand closer and fainter


@dataclass(frozen=True, slots=True)
class _Mark:
    curve: Curve
    what: str
    level: Estimate
    text: str


def layer(rows: Rows, mark: str, channels: Channel, *, spoken: bool = False, **look: Any) -> Layer:
    """One kind of mark; `spoken` where the rows hold what is `told` about each of them."""
    description = {"description": nominal("told")} if spoken else {}
    if mark in _PAINTS and "opacity" in look:
        # The same picture: `opacity` is that of a group, for each of which a PNG needs a canvas of
        # its own, which was most of the time that it took.
        look[_PAINTS[mark]] = look.pop("opacity")
    return {
        "data": {"values": list(rows)},
        "mark": {"type": mark, **look, "aria": spoken},
        "encoding": {**channels, **description},
    }


def above(curves: Sequence[Curve], x: Channel, colour: Channel, height: int) -> list[Layer]:
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
            "interval": numbers.level_estimate(mark.level),
            "told": f"{mark.curve.name}\n{mark.what}: {numbers.level_estimate(mark.level)} "
            f"{unit(curves)}",
        }
        # The highest stands lowest: then no rule runs through the label of another.
        for row, mark in enumerate(found)
    ]
    if not rows:
        return []
    few = len(found) < _MANY
    step = _ROW if few else _ROW * 0.75
    scale = {"domain": [0, 1], "range": [-_ROW * 0.7, -_ROW * 0.7 - step], "zero": False}
    y = {"y": quantity("row", scale=scale, axis=None)}
    ends = {"x": quantity("low", scale=x["scale"], axis=x["axis"]), "x2": {"field": "high"}}
    to_the_floor = {"y2": {"value": height}}
    shape = {"domain": ["knee", "capacity"], "range": ["diamond", "triangle-down"]}
    symbol = {"shape": nominal("what", scale=shape, legend=None)}
    base = {"x": quantity("edge", scale=x["scale"], axis=x["axis"])}
    drawn = [
        layer(
            rows,
            "rect",
            colour | ends | {"y": {"value": 0}} | to_the_floor,
            opacity=0.1 if few else 0.05,
            clip=True,
        ),
        layer(
            rows,
            "rule",
            {"x": x} | y | colour | to_the_floor,
            strokeDash=[2, 3],
            opacity=0.75 if few else 0.4,
        ),
        layer(rows, "rule", y | colour | ends, strokeWidth=3, opacity=0.45),
        layer(
            rows,
            "point",
            {"x": x} | y | colour | symbol,
            spoken=True,
            filled=True,
            size=60,
            opacity=1,
        ),
        layer(
            rows,
            "text",
            base | y | colour | {"text": nominal("text")},
            align="left",
            dx=9,
            fontSize=11.5,
            baseline="middle",
        ),
    ]
    return [{"layer": drawn, "resolve": {"scale": {"shape": "independent"}}}]


def changed(curves: Sequence[Curve], x: Channel, colour: Channel) -> list[Layer]:
    """A numbered line at each level at which the upstream was changed; see the list next to it."""
    by_place: dict[tuple[str, int, str], list[int]] = {}
    texts: dict[tuple[str, int, str], list[str]] = {}
    for curve in curves:
        for number, change in curve.changes:
            if change.level is not None:
                key = curve.name, change.level, curve.run
                by_place.setdefault(key, []).append(number)
                texts.setdefault(key, []).append(f"change {number}: {change.text}")
    rows = [
        {
            "deployment": name,
            "level": level,
            "text": ", ".join(map(str, numbers)) + (f" {run}" if run else ""),
            "told": "\n".join([f"{name}, upstream", *texts[name, level, run]]),
        }
        for (name, level, run), numbers in by_place.items()
    ]
    if not rows:
        return []
    place: Channel = {"x": x, **colour}
    return [
        layer(rows, "rule", place, strokeDash=[2, 2], strokeWidth=1.2, opacity=0.9),
        layer(
            rows,
            "text",
            place | {"y": {"value": 9}, "text": nominal("text")},
            spoken=True,
            align="left",
            dx=4,
            fontSize=11.5,
            fontWeight=600,
        ),
    ]


def _marks(curves: Sequence[Curve]) -> Iterator[_Mark]:
    for curve in curves:
        knee, capacity = curve.knee, curve.capacity
        if knee is not None and knee.level is not None:
            place = Estimate(value=knee.level, low=knee.low, high=knee.high)
            yield _Mark(curve, "knee", place, f"knee {numbers.level(knee.level)}")
        if capacity is not None and capacity.level is not None:
            place = Estimate(value=capacity.level, low=capacity.low, high=capacity.high)
            least = "≥" if capacity.above else ""
            yield _Mark(curve, "capacity", place, f"capacity {least}{capacity.level:,}")
