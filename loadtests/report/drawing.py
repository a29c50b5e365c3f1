"""One chart: the layers that are drawn over each other, from what lies behind to the pointer."""

from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt

from loadtests.report import marks, states
from loadtests.report.curves import Curve, unit
from loadtests.report.rows import Rows, around_invalid, gap

WIDTH, HEIGHT = 470, 330
_NEUTRAL = "#8b949e"  # reads on white and on black


def chart(
    curves: Sequence[Curve],
    rows: Rows,
    x: alt.X,
    y: alt.Y,
    what: str,
    width: int | str,
    legend: bool,
    *,
    bounds: Rows,
    service: Sequence[dict[str, Any]] = (),
    diagonal: Sequence[dict[str, Any]] = (),
) -> alt.LayerChart:
    key = _legend(curves) if legend else None
    deployments = list(dict.fromkeys(curve.name for curve in curves))
    places = alt.Scale(domain=deployments)
    colour = alt.Color("deployment:N", scale=places, legend=key)
    shape = alt.Shape("deployment:N", scale=places, legend=key)
    runs = sorted({curve.run for curve in curves})
    dash = alt.StrokeDash(
        "run:N",
        sort=runs,
        scale=alt.Scale(domain=runs, range=[[1, 0], [5, 4]][: len(runs)]),
        legend=alt.Legend(title=None, orient="top") if legend and len(runs) > 1 else None,
    )
    told = {"deployment": "deployment", "level": unit(curves), "measured": what}
    told |= {name: name for name in ("requests", "errors", "state", "problems")}
    told |= {"run": "run"} if len(runs) > 1 else {}
    tooltip = [alt.Tooltip(f"{field}:N", title=title) for field, title in told.items()]

    # Only dots lead through an invalid point: a line would claim what was not measured.
    line = _data(row if row["valid"] else gap(row) for row in rows)
    dots = _data(around_invalid(rows))
    each = _data(row for row in rows if row["value"] is not None)
    ends = {"y": alt.Y("low:Q", scale=y["scale"], axis=y["axis"]), "y2": alt.Y2("high:Q")}
    faint = 0.55 if len(deployments) < 6 else 0.3
    beside: list[tuple[Sequence[dict[str, Any]], dict[str, Any], tuple[Any, ...]]] = [
        (diagonal, {"strokeWidth": 1.2, "color": _NEUTRAL}, ()),
        (bounds, {"strokeWidth": 1, "opacity": faint}, (colour, alt.Detail("line:N"))),
        (
            service,
            {"strokeWidth": 1.3, "strokeDash": [4, 3], "opacity": 0.9},
            (colour, alt.Detail("run:N")),
        ),
    ]
    outlined = {
        outline: [row for row in rows if row["value"] is not None and row["steady"] == state]
        for state, outline in states.OUTLINES.items()
    }
    drawn = [
        line.mark_area(opacity=0.16).encode(x, colour, detail="run:N", **ends),
        *(
            _data(found).mark_line(clip=True, **look).encode(x, y, *channels)
            for found, look, channels in beside
            if found
        ),
        dots.mark_line(strokeWidth=1.5, strokeDash=[1, 4], opacity=0.8).encode(
            x, y, colour, detail="run:N"
        ),
        line.mark_line(strokeWidth=2).encode(x, y, colour, dash),
        each.mark_rule(strokeWidth=1.5, opacity=0.7).encode(x, colour, **ends),
        each.transform_filter("datum.valid")
        .mark_point(filled=True, size=58, opacity=1)
        .encode(x, y, colour, shape),
        each.transform_filter("!datum.valid")
        .mark_point(filled=False, size=70, strokeWidth=1.8, opacity=1)
        .encode(x, y, colour, shape),
        *(
            _data(found)
            .mark_point(shape=outline, filled=False, size=260, strokeWidth=1.3, opacity=1)
            .encode(x, y, colour)
            for outline, found in outlined.items()
            if found
        ),
        *_arrows(rows, x, colour, tooltip),
        # What the pointer meets: larger than what is seen.
        each.mark_circle(size=420, opacity=0).encode(x, y, tooltip=tooltip),
    ]
    above = marks.above(curves, x, colour, HEIGHT)
    both = alt.layer(above, alt.layer(*drawn), width=width, height=HEIGHT)
    made: alt.LayerChart = both.resolve_scale(y="independent")
    return made


def _data(rows: Iterable[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(marks.Data(values=list(rows)))


def _arrows(
    rows: Rows, x: alt.X, colour: alt.Color, tooltip: list[alt.Tooltip]
) -> list[alt.Chart | alt.FacetChart]:
    """At the upper edge, for a response time that grows for as long as one measures."""
    places = sorted({row["place"] for row in rows if row["measured"].startswith(states.UNSTABLE)})
    return [
        _data(
            row
            for row in rows
            if row["place"] == place and row["measured"].startswith(states.UNSTABLE)
        )
        .mark_point(shape="arrow", filled=True, size=320, opacity=1)
        .encode(x, colour, y=alt.value(10 + 16 * index), tooltip=tooltip)
        for index, place in enumerate(places)
    ]


def _legend(curves: Sequence[Curve]) -> alt.Legend:
    longest = max((len(curve.name) for curve in curves), default=1)
    columns = max(1, 2 * WIDTH // (8 * longest + 40))
    return alt.Legend(title=None, orient="top", columns=columns, symbolOpacity=1)
