"""The two curves, p95 and throughput by level: one definition for page, SVG and PNG."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import vl_convert

from loadtests.report import asymptotes, axes, marks, quantities, states
from loadtests.report.curves import Curve, is_open, of_run, unit
from loadtests.report.palette import LIGHT, config
from loadtests.results import Estimate, Point, Run

_WIDTH, _HEIGHT = 470, 330
_APART = 1.05  # service and response time that differ by less look like one line
_NEUTRAL = "#8b949e"  # reads on white and on black

Rows = list[dict[str, Any]]


def p95(
    curves: Sequence[Curve], *, width: int | str = _WIDTH, legend: bool = False
) -> alt.LayerChart:
    """p95 against the level. `width` is in pixels, or "container" for what its box gives."""
    rows = _rows(curves, lambda p: p.response_time.get("p95"), lambda p: _time(p))
    service = _service(curves)
    x = axes.levels(curves)
    bounds = asymptotes.of_times(curves, *axes.reach(x)) if _alone(curves) else []
    known = [*_known(rows), *_known(service), *(row["value"] for row in bounds if not row["line"])]
    y = axes.times(min(known, default=0.0), max(_known(rows), default=0.1))
    return _chart(curves, rows, x, y, "p95", width, legend, bounds=bounds, service=service)


def throughput(
    curves: Sequence[Curve], *, width: int | str = _WIDTH, legend: bool = False
) -> alt.LayerChart:
    """Successful responses a second against the level, from zero."""
    rows = _rows(curves, lambda p: p.throughput, lambda p: quantities.rate_estimate(p.throughput))
    x, y = axes.levels(curves), axes.rates(max(_known(rows), default=0.1))
    end = axes.reach(x)
    bounds = asymptotes.of_throughput(curves, *end) if _alone(curves) else []
    diagonal = asymptotes.diagonal(end[1]) if is_open(curves) else []
    return _chart(curves, rows, x, y, "throughput", width, legend, bounds=bounds, diagonal=diagonal)


def key(curves: Sequence[Curve]) -> list[str]:
    """What is drawn beside the curves themselves, a phrase for each; in the order of importance."""
    shown = {point.steady for curve in curves for point in curve.points}
    said = {
        "drifting": "in a ring: drifting",
        "over-saturated": "in a diamond: over-saturated",
        "none": "in a square: not steady",
    }
    phrases = [phrase for state, phrase in said.items() if state in shown]
    if any(states.unstable(point) for curve in curves for point in curve.points):
        phrases.append("arrow: unstable, no p95")
    if _service(curves):
        phrases.append("dashed: service time")
    if is_open(curves):
        phrases.append("grey: as many answers as arrivals")
    if _alone(curves) and any(curve.knee and curve.knee.base for curve in curves):
        phrases.append("thin lines: asymptotes, for times those of the mean")
    return phrases


def side_by_side(curves: Sequence[Curve]) -> alt.HConcatChart:
    """Both charts under one legend, as files have them."""
    titled = [
        chart.properties(title=alt.TitleParams(text, anchor="start", offset=14))
        for chart, text in (
            (p95(curves, legend=True), "p95 response time of successful requests"),
            (throughput(curves, legend=True), "Throughput of successful requests"),
        )
    ]
    note = " · ".join(key(curves))
    title = alt.TitleParams(
        note,
        anchor="start",
        orient="bottom",
        offset=14,
        fontSize=12,
        fontWeight="normal",
        color=LIGHT.quiet,
    )
    both: alt.HConcatChart = alt.hconcat(*titled, spacing=40, title=title).resolve_scale(
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


def _alone(curves: Sequence[Curve]) -> bool:
    """Whether they are of one run: the asymptotes of two would hide the curves."""
    return len({curve.run for curve in curves}) == 1


def _known(rows: Rows) -> list[float]:
    """All that is drawn, intervals included."""
    return [row[end] for row in rows for end in ("low", "value", "high") if row[end] is not None]


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
                    "errors": quantities.errors(point.errors),
                    "state": states.told(point),
                    "problems": ("" if point.valid else "not valid: ")
                    + ("; ".join(point.problems) or "none"),
                }
            )
    return rows


def _time(point: Point) -> str:
    text = states.response_time(point, "p95")
    service = point.service_time.get("p95")
    if point.model == "closed" or service is None:
        return text
    return f"{text}; service time {quantities.duration_estimate(service)}"


def _service(curves: Sequence[Curve]) -> Rows:
    """p95 from the actual sending, of the curves where that differs from the intended one."""
    return [
        row if row["valid"] else _gap(row)
        for curve in curves
        if any(map(_differs, curve.points))
        for row in _rows([curve], lambda p: p.service_time.get("p95"), _time)
    ]


def _differs(point: Point) -> bool:
    if point.model == "closed" or not point.valid:
        return False
    service, response = point.service_time.get("p95"), point.response_time.get("p95")
    if service is None or response is None:
        return service is not response
    return response.value > _APART * service.value


def _chart(
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
    line = _data(row if row["valid"] else _gap(row) for row in rows)
    dots = _data(_around_invalid(rows))
    each = _data(row for row in rows if row["value"] is not None)
    ends = {"y": alt.Y("low:Q", scale=y["scale"], axis=y["axis"]), "y2": alt.Y2("high:Q")}
    faint = 0.55 if len(deployments) < 6 else 0.3
    drawn = [
        line.mark_area(opacity=0.16).encode(x, colour, detail="run:N", **ends),
        _data(diagonal).mark_line(clip=True, strokeWidth=1.2, color=_NEUTRAL).encode(x, y),
        _data(bounds)
        .mark_line(clip=True, strokeWidth=1, opacity=faint)
        .encode(x, y, colour, detail="line:N"),
        _data(service)
        .mark_line(clip=True, strokeWidth=1.3, strokeDash=[4, 3], opacity=0.9)
        .encode(x, y, colour, detail="run:N"),
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
            _data(row for row in rows if row["value"] is not None and row["steady"] == state)
            .mark_point(shape=outline, filled=False, size=260, strokeWidth=1.3, opacity=1)
            .encode(x, y, colour)
            for state, outline in states.OUTLINES.items()
        ),
        *_arrows(rows, x, colour, tooltip),
        # What the pointer meets: larger than what is seen.
        each.mark_circle(size=420, opacity=0).encode(x, y, tooltip=tooltip),
    ]
    above = marks.above(curves, x, colour, _HEIGHT)
    both = alt.layer(above, alt.layer(*drawn), width=width, height=_HEIGHT)
    chart: alt.LayerChart = both.resolve_scale(y="independent")
    return chart


def _data(rows: Any) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(rows)))


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


def _gap(row: dict[str, Any]) -> dict[str, Any]:
    return row | dict.fromkeys(("value", "low", "high"))


def _around_invalid(rows: Rows) -> Rows:
    """The invalid points and the neighbours of each on its curve; gaps for the others."""
    kept = []
    for index, row in enumerate(rows):
        near = [row, *rows[max(index - 1, 0) : index], *rows[index + 1 : index + 2]]
        curve = [(r["deployment"], r["run"]) == (row["deployment"], row["run"]) for r in near]
        invalid = any(same and not r["valid"] for same, r in zip(curve, near, strict=True))
        kept.append(row if invalid else _gap(row))
    return kept


def _legend(curves: Sequence[Curve]) -> alt.Legend:
    longest = max((len(curve.name) for curve in curves), default=1)
    columns = max(1, 2 * _WIDTH // (8 * longest + 40))
    return alt.Legend(title=None, orient="top", columns=columns, symbolOpacity=1)
