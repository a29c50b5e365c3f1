"""
One chart in the words of Vega-Lite: layers over each other, from what lies behind to the pointer.

They are plain dictionaries: checking each against the schema took longer than drawing it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.report.charts import marks
from loadtests.report.charts.axes import Channel, nominal, quantity
from loadtests.report.charts.curves import Curve, unit
from loadtests.report.charts.marks import Layer, layer
from loadtests.report.charts.rows import Rows, around_invalid, gap
from loadtests.report.text import states

_NEUTRAL = "#8b949e"  # reads on white and on black


@dataclass(frozen=True, slots=True)
class PlotSize:
    """The size of the plot itself, in pixels; axes and marks come on top."""

    width: int
    height: int


USUAL = PlotSize(470, 330)


@dataclass(frozen=True, slots=True)
class Background:
    """What is drawn behind the curves themselves: rows of a level and a value each."""

    bounds: Rows = ()
    service: Rows = ()
    diagonal: Rows = ()
    ceilings: Rows = ()


def chart(
    curves: Sequence[Curve],
    rows: Rows,
    x: Channel,
    y: Channel,
    what: str,
    background: Background,
    *,
    size: PlotSize,
    legend: bool,
) -> Layer:
    key = _legend(curves) if legend else None
    deployments = list(dict.fromkeys(curve.name for curve in curves))
    places = {"domain": deployments}
    colour = {"color": nominal("deployment", scale=places, legend=key)}
    shape = {"shape": nominal("deployment", scale=places, legend=key)}
    dash = _dash(curves, legend)
    run = {"detail": nominal("run")}

    # Only dots lead through an invalid point: a line would claim what was not measured.
    line = [row if row["valid"] else gap(row) for row in rows]
    each = [row for row in rows if row["value"] is not None]
    ends = {"y": quantity("low", scale=y["scale"], axis=y["axis"]), "y2": {"field": "high"}}
    across, place = {"x": x}, {"x": x, "y": y}
    drawn = [
        *marks.changed(curves, x, colour),
        layer(line, "area", across | ends | colour | run, opacity=0.16),
        *_behind(background, place, y, colour, len(deployments)),
        layer(
            around_invalid(rows),
            "line",
            place | colour | run,
            strokeWidth=1.5,
            strokeDash=[1, 4],
            opacity=0.8,
        ),
        layer(line, "line", place | colour | {"strokeDash": dash}, strokeWidth=2),
        layer(each, "rule", across | ends | colour, strokeWidth=1.5, opacity=0.7),
        *_points(each, place | colour | shape),
        *_outlines(each, place | colour),
        *_arrows(curves, rows, across | colour, what),
        # What the pointer meets: larger than what is seen.
        layer(
            with_tips(each, curves, what),
            "circle",
            place,
            spoken=True,
            size=420,
            opacity=0,
            fill="#000",
        ),
    ]
    return {
        "layer": [*marks.above(curves, x, colour, size.height), {"layer": drawn}],
        "width": size.width,
        "height": size.height,
        "resolve": {"scale": {"y": "independent"}},
    }


def _dash(curves: Sequence[Curve], legend: bool) -> Channel:
    """Return the channel that tells the curves of two runs apart."""
    runs = sorted({curve.run for curve in curves})
    return nominal(
        "run",
        sort=runs,
        scale={"domain": runs, "range": [[1, 0], [5, 4]][: len(runs)]},
        legend={"title": None, "orient": "top"} if legend and len(runs) > 1 else None,
    )


def _points(each: Rows, encoding: Channel) -> list[Layer]:
    """Return the marks of the points: filled, and hollow where they are not valid."""
    valid = [row for row in each if row["valid"]]
    others = [row for row in each if not row["valid"]]
    return [
        layer(valid, "point", encoding, filled=True, size=58, opacity=1),
        layer(others, "point", encoding, filled=False, size=70, strokeWidth=1.8, opacity=1),
    ]


def with_tips(rows: Iterable[dict[str, Any]], curves: Sequence[Curve], what: str) -> list[Any]:
    """The rows with what the pointer is told about each: the name, then a line for each fact."""
    titles = {unit(curves): "level", what: "measured"}
    titles |= {name: name for name in ("requests", "errors", "state", "limit", "noise", "problems")}
    titles |= {"run": "run"} if len({curve.run for curve in curves}) > 1 else {}
    found = []
    for row in rows:
        facts = [f"{title}: {row[field]}" for title, field in titles.items() if row[field]]
        found.append(row | {"told": "\n".join([row["deployment"], *facts])})
    return found


def _behind(
    background: Background, place: Channel, y: Channel, colour: Channel, deployments: int
) -> list[Layer]:
    faint = 0.55 if deployments < 6 else 0.3
    kinds: list[tuple[Rows, dict[str, Any], Channel]] = [
        (background.diagonal, {"strokeWidth": 1.2, "color": _NEUTRAL}, {}),
        (
            background.bounds,
            {"strokeWidth": 1, "opacity": faint},
            colour | {"detail": nominal("line")},
        ),
        (
            background.service,
            {"strokeWidth": 1.3, "strokeDash": [4, 3], "opacity": 0.9},
            colour | {"detail": nominal("run")},
        ),
    ]
    layers = [
        layer(found, "line", place | channels, clip=True, **look)
        for found, look, channels in kinds
        if found
    ]
    if background.ceilings:
        text = {"x": {"value": 5}, "y": quantity("label", scale=y["scale"], axis=y["axis"])}
        layers += [
            layer(
                background.ceilings,
                "rule",
                {"y": y} | colour,
                strokeWidth=1.1,
                strokeDash=[7, 4],
                opacity=0.85,
            ),
            layer(
                background.ceilings,
                "text",
                text | colour | {"text": nominal("text")},
                spoken=True,
                align="left",
                baseline="bottom",
                dy=-3,
                fontSize=11.5,
            ),
        ]
    return layers


def _outlines(each: Rows, channels: Channel) -> list[Layer]:
    found = {
        outline: [row for row in each if row["steady"] == state]
        for state, outline in states.OUTLINES.items()
    }
    return [
        layer(
            rows,
            "point",
            channels,
            shape=outline,
            filled=False,
            size=260,
            strokeWidth=1.3,
            opacity=1,
        )
        for outline, rows in found.items()
        if rows
    ]


def _arrows(curves: Sequence[Curve], rows: Rows, channels: Channel, what: str) -> list[Layer]:
    """Arrows at the upper edge, for a response time that grows for as long as one measures."""
    unstable = [row for row in rows if row["measured"].startswith(states.UNSTABLE)]
    places = sorted({row["place"] for row in unstable})
    return [
        layer(
            with_tips((row for row in unstable if row["place"] == place), curves, what),
            "point",
            channels | {"y": {"value": 10 + 16 * index}},
            spoken=True,
            shape="arrow",
            filled=True,
            size=320,
            opacity=1,
        )
        for index, place in enumerate(places)
    ]


def _legend(curves: Sequence[Curve]) -> dict[str, Any]:
    longest = max((len(curve.name) for curve in curves), default=1)
    columns = max(1, 2 * USUAL.width // (8 * longest + 40))
    return {"title": None, "orient": "top", "columns": columns, "symbolOpacity": 1}
