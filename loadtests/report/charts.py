"""The two curves, p95 and throughput against concurrency: one definition for page, SVG and PNG."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import vl_convert

from loadtests.report import quantities
from loadtests.report.curves import Curve, of_run, unit
from loadtests.report.palette import LIGHT, config
from loadtests.results import Estimate, Knee, Point, Run

_WIDTH, _HEIGHT = 470, 330
_ROW = 15  # pixels that each knee takes above the plot
_TIME = "datum.value < 0.9995 ? format(datum.value * 1000, ',~r') + ' ms' : datum.value + ' s'"


def p95(
    curves: Sequence[Curve], *, width: int | str = _WIDTH, legend: bool = False
) -> alt.LayerChart:
    """p95 against concurrency. `width` is in pixels, or "container" for what its box gives."""
    rows = _rows(curves, lambda point: point.response_time.get("p95"), quantities.duration_estimate)
    low, high = _extremes(rows)
    # On a linear axis a p95 of two seconds would press all that came before flat on the floor.
    if high > 4 * low > 0:
        scale = alt.Scale(type="log", domain=[low * 0.88, high * 1.12])
        axis = alt.Axis(
            title=None, grid=True, values=one_two_five(low * 0.88, high * 1.12), labelExpr=_TIME
        )
    else:
        scale = alt.Scale(domain=[0, high * 1.08])
        axis = alt.Axis(title=None, grid=True, tickCount=6, labelExpr=_TIME)
    y = alt.Y("value:Q", scale=scale, axis=axis)
    return _chart(curves, rows, y, "p95", width, legend)


def throughput(
    curves: Sequence[Curve], *, width: int | str = _WIDTH, legend: bool = False
) -> alt.LayerChart:
    """Successful responses a second against concurrency, from zero."""
    rows = _rows(curves, lambda point: point.throughput, quantities.rate_estimate)
    axis = alt.Axis(
        title=None, grid=True, tickCount=6, labelExpr="format(datum.value, ',~r') + '/s'"
    )
    scale = alt.Scale(domain=[0, _extremes(rows)[1] * 1.08])
    return _chart(
        curves, rows, alt.Y("value:Q", scale=scale, axis=axis), "throughput", width, legend
    )


def _extremes(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """The lowest and the highest that is drawn, intervals included."""
    known = [row[end] for row in rows for end in ("low", "value", "high") if row[end] is not None]
    return (min(known), max(known)) if known else (0.0, 0.1)


def side_by_side(curves: Sequence[Curve]) -> alt.HConcatChart:
    """Both charts under one legend, as files have them."""
    titled = [
        chart.properties(title=alt.TitleParams(text, anchor="start", offset=14))
        for chart, text in (
            (p95(curves, legend=True), "p95 response time of successful requests"),
            (throughput(curves, legend=True), "Throughput of successful requests"),
        )
    ]
    both: alt.HConcatChart = alt.hconcat(*titled, spacing=40).resolve_scale(
        color="shared", shape="shared", strokeDash="shared"
    )
    return both


def curves(run: Run) -> alt.HConcatChart:
    return side_by_side(of_run(run))


def specification(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The chart as Vega-Lite reads it, without a theme."""
    spec: dict[str, Any] = json.loads(chart.to_json())
    del spec["config"]  # Altair's own sizes; ours come with the theme
    return spec


def svg_of(chart: alt.TopLevelMixin) -> str:
    """The chart as an SVG on white, with no browser and no network."""
    text: str = vl_convert.vegalite_to_svg(
        specification(chart), config=config(LIGHT), allowed_base_urls=[]
    )
    return text


def svg(run: Run) -> str:
    return svg_of(curves(run))


def png(run: Run) -> bytes:
    """The curves at twice their size, so that they stay sharp where screens are dense."""
    image: bytes = vl_convert.vegalite_to_png(
        specification(curves(run)), scale=2, config=config(LIGHT), allowed_base_urls=[]
    )
    return image


FILES = {"curves.svg": svg, "curves.png": png}


def one_two_five(low: float, high: float) -> list[float]:
    """The 1, 2 and 5 of every decade within [low, high]; over three decades the 1 alone."""
    steps = (1, 2, 5) if high / low < 2000 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _rows(
    curves: Sequence[Curve],
    measured: Callable[[Point], Estimate | None],
    text: Callable[[Estimate | None], str],
) -> list[dict[str, Any]]:
    """One row for a point: what is drawn as numbers, what the tooltip says as text."""
    rows = []
    for curve in curves:
        for point in curve.points:
            estimate = measured(point)
            rows.append(
                {
                    "deployment": curve.name,
                    "run": curve.run,
                    "level": point.level,
                    "value": estimate.value if estimate else None,
                    "low": estimate.low if estimate else None,
                    "high": estimate.high if estimate else None,
                    "valid": point.valid,
                    "measured": text(estimate),
                    "requests": f"{point.requests:,}",
                    "errors": quantities.errors(point.errors),
                    "problems": ("" if point.valid else "not valid: ")
                    + ("; ".join(point.problems) or "none"),
                }
            )
    return rows


def _chart(
    curves: Sequence[Curve],
    rows: list[dict[str, Any]],
    y: alt.Y,
    what: str,
    width: int | str,
    legend: bool,
) -> alt.LayerChart:
    x = _x(curves)
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
    told |= {name: name for name in ("requests", "errors", "problems")}
    told |= {"run": "run"} if len(runs) > 1 else {}
    tooltip = [alt.Tooltip(f"{field}:N", title=title) for field, title in told.items()]

    # Only dots lead through an invalid point: a line would claim what was not measured.
    line = alt.Chart(alt.InlineData(values=[row if row["valid"] else _gap(row) for row in rows]))
    dots = alt.Chart(alt.InlineData(values=_around_invalid(rows)))
    each = alt.Chart(alt.InlineData(values=[row for row in rows if row["value"] is not None]))
    ends = {"y": alt.Y("low:Q", scale=y["scale"], axis=y["axis"]), "y2": alt.Y2("high:Q")}
    drawn = alt.layer(
        line.mark_area(opacity=0.16).encode(x, colour, detail="run:N", **ends),
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
        # What the pointer meets: larger than what is seen.
        each.mark_circle(size=420, opacity=0).encode(x, y, tooltip=tooltip),
    )
    both = alt.layer(_knee_marks(curves, x, colour), drawn, width=width, height=_HEIGHT)
    chart: alt.LayerChart = both.resolve_scale(y="independent")
    return chart


def _gap(row: dict[str, Any]) -> dict[str, Any]:
    return row | dict.fromkeys(("value", "low", "high"))


def _around_invalid(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The invalid points and the neighbours of each on its curve; gaps for the others."""
    kept = []
    for index, row in enumerate(rows):
        near = [row, *rows[max(index - 1, 0) : index], *rows[index + 1 : index + 2]]
        curve = [(r["deployment"], r["run"]) == (row["deployment"], row["run"]) for r in near]
        invalid = any(same and not r["valid"] for same, r in zip(curve, near, strict=True))
        kept.append(row if invalid else _gap(row))
    return kept


def _x(curves: Sequence[Curve]) -> alt.X:
    """
    Levels are mostly doubled from one to the next. On a linear axis the low ones would lie on each
    other; on a log axis a throughput that follows the load looks as if it took off. A square root
    keeps both readable.
    """
    levels = sorted({point.level for curve in curves for point in curve.points}) or [1]
    low = min([*levels, *(knee.level for _, knee in _knees(curves) if knee.level)])
    high = levels[-1]
    if high > 500 * low:
        scale = alt.Scale(type="log", base=2, domain=[low * 0.85, high * 1.18])
    elif high > 4 * low:
        scale = alt.Scale(type="sqrt", domain=[0, high * 1.08])
    else:
        scale = alt.Scale(domain=_padded(low, high))
    axis = alt.Axis(title=unit(curves), values=levels, format=",d", labelOverlap="greedy")
    return alt.X("level:Q", scale=scale, axis=axis)


def _padded(low: float, high: float) -> list[float]:
    margin = (high - low) * 0.06 or low * 0.5
    return [low - margin, high + margin]


def _legend(curves: Sequence[Curve]) -> alt.Legend:
    longest = max((len(curve.name) for curve in curves), default=1)
    columns = max(1, 2 * _WIDTH // (8 * longest + 40))
    return alt.Legend(title=None, orient="top", columns=columns, symbolOpacity=1)


def _knees(curves: Sequence[Curve]) -> list[tuple[Curve, Knee]]:
    found = [(curve, curve.knee) for curve in curves if curve.knee and curve.knee.level is not None]
    return sorted(found, key=lambda pair: pair[1].level or 0.0)


def _knee_marks(
    curves: Sequence[Curve], x: alt.X, colour: alt.Color
) -> alt.LayerChart | alt.FacetChart:
    """A row above the plot for each knee, its interval and number, and a rule down to the axis."""
    found = _knees(curves)
    rows = [
        {
            "deployment": curve.name,
            "row": row,
            "level": knee.level,
            "low": knee.low,
            "high": knee.high,
            "text": f"knee {quantities.level(knee.level or 0.0)} {curve.run}".rstrip(),
            "interval": quantities.knee_level(knee),
        }
        # The highest knee stands lowest: then no rule runs through the label of another.
        for row, (curve, knee) in enumerate(reversed(found))
    ]
    height = _ROW if len(found) < 8 else _ROW * 0.75
    scale = alt.Scale(domain=[0, 1], range=[-_ROW * 0.7, -_ROW * 0.7 - height], zero=False)
    y = alt.Y("row:Q", scale=scale, axis=None)
    base = alt.Chart(alt.InlineData(values=rows))
    told = [
        alt.Tooltip("deployment:N"),
        alt.Tooltip("interval:N", title=f"knee, {unit(curves)}"),
    ]
    rule = base.mark_rule(strokeDash=[2, 3], opacity=0.75 if len(found) < 8 else 0.4)
    return alt.layer(
        rule.encode(x, y, colour, y2=alt.value(_HEIGHT)),
        base.mark_rule(strokeWidth=3, opacity=0.45).encode(alt.X("low:Q"), y, colour, x2="high:Q"),
        base.mark_point(shape="diamond", filled=True, size=60, opacity=1).encode(
            x, y, colour, tooltip=told
        ),
        base.mark_text(align="left", dx=9, fontSize=11.5, baseline="middle").encode(
            x, y, colour, text="text:N"
        ),
    )
