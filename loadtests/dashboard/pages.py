"""The page and what is put into it: the sections and charts of the report."""

import json
from functools import partial
from typing import Any

from loadtests.report import page
from loadtests.report.charts import figures, palette
from loadtests.report.charts.curves import Curve, of_run
from loadtests.report.outputs import html
from loadtests.report.text import numbers, states
from loadtests.results import QUANTILES, Estimate, Run

SECTIONS = ("findings", "changes", "why", "knees", "slos", "points", "errors")
NOW, THEN = "now", "then"  # in this order their lines are drawn and dashed
_DRAWN: dict[str, figures.Chart] = {
    **{name: partial(figures.response_time, quantile=name) for name in QUANTILES},
    "throughput": figures.throughput,
}
CHARTS = tuple(f"{name}-{box}" for name in _DRAWN for box in page.SIZES)


def template() -> str:
    return page.render("dashboard.html", quantiles=list(QUANTILES))


def drawn(run: Run | None, over: Run | None = None) -> dict[str, str]:
    """Each chart in each size, in the words of Vega-Lite, as JSON; `over`: with an earlier run."""
    curves = _curves(run, over)
    config = palette.config(palette.INHERITED)
    return {
        f"{name}-{box}": json.dumps(draw(curves, size=size) | {"config": config})
        for name, draw in _DRAWN.items()
        for box, size in page.SIZES.items()
    }


def sections(run: Run) -> dict[str, str]:
    """The sections of the report, as HTML; empty where there is nothing to say."""
    values = html.values(run)
    found = {name: page.render(f"sections/{name}.html", **values) for name in SECTIONS}
    return found | {"legend": legend(run)}


def legend(run: Run | None, over: Run | None = None) -> str:
    """The legend: the mark of each deployment in the charts, and what else is drawn there."""
    curves = _curves(run, over)
    shown = list(dict.fromkeys(curve.name for curve in curves))
    return page.render(
        "dashboard/legend.html",
        names=shown,
        looks=page.looks(shown),
        key=figures.key(curves),
        over=over,
        apart=_apart(run, over),
        started=html.started(over) if over else "",
    )


def table(over: Run) -> str:
    """The points of an earlier run."""
    return page.render("dashboard/over.html", **html.values(over), started=html.started(over))


def rows(run: Run) -> list[dict[str, Any]]:
    """The points as Locust's own tables take them: times in milliseconds, errors in percent."""
    return [
        {
            "deployment": point.deployment,
            "level": point.level,
            "throughput": round(point.throughput.value, 1),
            **{name: _milliseconds(point.response_time.get(name)) for name in QUANTILES},
            "errors": round(100 * point.errors.rate, 2),
            "state": states.said(point)
            if point.valid
            else f"invalid: {'; '.join(point.problems[:1])}",
        }
        for name in run.names
        for point in run.of(name)
    ]


def _milliseconds(estimate: Estimate | None) -> float | str:
    return numbers.MISSING if estimate is None else float(f"{1000 * estimate.value:.4g}")


def _curves(run: Run | None, over: Run | None) -> list[Curve]:
    now, then = (NOW, THEN) if _apart(run, over) else ("", "")
    return [*(of_run(run, now) if run else []), *(of_run(over, then) if over else [])]


def _apart(run: Run | None, over: Run | None) -> bool:
    """Whether there are two runs to be told apart."""
    return run is not None and over is not None
