"""The two curves, response time and throughput by level: one definition for page, SVG and PNG."""

from collections.abc import Callable, Sequence
from functools import partial

from loadtests.analysis import collapse
from loadtests.report.charts import asymptotes, axes, ceilings, pictures, rows
from loadtests.report.charts.chart import USUAL, Background, PlotSize, chart
from loadtests.report.charts.curves import Curve, is_open, of_run
from loadtests.report.charts.marks import Layer
from loadtests.report.charts.palette import LIGHT, Theme, config
from loadtests.results import Run

Chart = Callable[..., Layer]


def response_time(
    curves: Sequence[Curve], quantile: str, *, size: PlotSize = USUAL, legend: bool = False
) -> Layer:
    """p50, p95 or p99 against the level."""
    points, service = rows.times(curves, quantile), rows.service(curves, quantile)
    x = axes.levels(curves)
    bounds = asymptotes.of_times(curves, *axes.reach(x)) if _alone(curves) else []
    bases = [row["value"] for row in bounds if not row["line"]]
    measured = [*rows.known(points), *rows.known(service)]
    y = axes.times(min([*measured, *bases], default=0.0), max(measured, default=0.1))
    background = Background(bounds=bounds, service=service)
    return chart(curves, points, x, y, quantile, background, size=size, legend=legend)


p95: Chart = partial(response_time, quantile="p95")


def throughput(curves: Sequence[Curve], *, size: PlotSize = USUAL, legend: bool = False) -> Layer:
    """Successful responses a second against the level, from zero, below predicted ceilings."""
    points = rows.throughput(curves)
    high = max(rows.known(points), default=0.1)
    above = ceilings.drawn(curves, high) if _alone(curves) else []
    x, y = axes.levels(curves), axes.rates(max([high, *(row["label"] for row in above)]))
    end = axes.reach(x)
    background = Background(
        bounds=asymptotes.of_throughput(curves, *end) if _alone(curves) else [],
        diagonal=asymptotes.diagonal(end[1]) if is_open(curves) else [],
        ceilings=above,
    )
    return chart(curves, points, x, y, "throughput", background, size=size, legend=legend)


def key(curves: Sequence[Curve]) -> list[str]:
    """What the marks next to the curves mean, a phrase for each, the most important first."""
    shown = {point.steady for curve in curves for point in curve.points}
    said = {
        "drifting": "in a ring: drifting",
        "over-saturated": "in a diamond: over-saturated",
        "unsteady": "in a square: not steady",
    }
    phrases = [phrase for state, phrase in said.items() if state in shown]
    if any(collapse.unstable(point) for curve in curves for point in curve.points):
        phrases.append("arrow: unstable, no p95")
    if rows.service(curves, "p95"):
        phrases.append("dashed: service time")
    if is_open(curves):
        phrases.append("grey: as many answers as arrivals")
    if _alone(curves) and any(curve.knee and curve.knee.base_response_time for curve in curves):
        phrases.append("thin lines: asymptotes, for times those of the mean")
    high = max(rows.known(rows.throughput(curves)), default=0.0)
    if _alone(curves) and ceilings.drawn(curves, high):
        phrases.append("long dashes: predicted ceilings, each named by its resource")
    if any(curve.changes for curve in curves):
        phrases.append("numbered lines: the upstream was changed there")
    return phrases


def side_by_side(curves: Sequence[Curve]) -> Layer:
    """Both charts under one legend, as files have them."""
    titled = [
        chart | {"title": {"text": text, "anchor": "start", "offset": 14}}
        for chart, text in (
            (p95(curves, legend=True), "p95 response time of successful requests"),
            (throughput(curves, legend=True), "Throughput of successful requests"),
        )
    ]
    note = {
        "text": " · ".join(key(curves)),
        "anchor": "start",
        "orient": "bottom",
        "offset": 14,
        "fontSize": 12,
        "fontWeight": "normal",
        "color": LIGHT.quiet,
    }
    shared = dict.fromkeys(("color", "shape", "strokeDash"), "shared")
    return {"hconcat": titled, "spacing": 40, "title": note, "resolve": {"scale": shared}}


def svg_of(chart: Layer, theme: Theme = LIGHT) -> str:
    """The chart as an SVG. Raises PictureFailed."""
    return pictures.svg(chart, config(theme))


def svg(run: Run) -> str:
    """Both charts side by side. Raises PictureFailed."""
    return svg_of(side_by_side(of_run(run)))


def png(run: Run) -> bytes:
    """The picture at twice its size, so that it stays sharp where screens are dense."""
    return pictures.png(svg(run), scale=2)


def _alone(curves: Sequence[Curve]) -> bool:
    """Whether they are of one run: the asymptotes of two would hide the curves."""
    return len({curve.run for curve in curves}) == 1
