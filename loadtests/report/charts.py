"""The two curves, p95 and throughput by level: one definition for page, SVG and PNG."""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import vl_convert

from loadtests.report import asymptotes, axes, rows, states
from loadtests.report.curves import Curve, is_open, of_run
from loadtests.report.drawing import WIDTH, chart
from loadtests.report.palette import LIGHT, config
from loadtests.results import Run


def p95(
    curves: Sequence[Curve], *, width: int | str = WIDTH, legend: bool = False
) -> alt.LayerChart:
    """p95 against the level. `width` is in pixels, or "container" for what its box gives."""
    points, service = rows.p95(curves), rows.service(curves)
    x = axes.levels(curves)
    bounds = asymptotes.of_times(curves, *axes.reach(x)) if _alone(curves) else []
    bases = [row["value"] for row in bounds if not row["line"]]
    measured = [*rows.known(points), *rows.known(service)]
    y = axes.times(min([*measured, *bases], default=0.0), max(measured, default=0.1))
    return chart(curves, points, x, y, "p95", width, legend, bounds=bounds, service=service)


def throughput(
    curves: Sequence[Curve], *, width: int | str = WIDTH, legend: bool = False
) -> alt.LayerChart:
    """Successful responses a second against the level, from zero."""
    points = rows.throughput(curves)
    x, y = axes.levels(curves), axes.rates(max(rows.known(points), default=0.1))
    end = axes.reach(x)
    bounds = asymptotes.of_throughput(curves, *end) if _alone(curves) else []
    diagonal = asymptotes.diagonal(end[1]) if is_open(curves) else []
    return chart(
        curves, points, x, y, "throughput", width, legend, bounds=bounds, diagonal=diagonal
    )


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
    if rows.service(curves):
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
