"""A page that needs nothing but itself: styles, scripts and charts inside, no network."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import altair
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from loadtests.report import charts, palette, quantities, states
from loadtests.report.curves import Curve

# The outlines of Vega's symbols in a box of 16 by 16, for legends in HTML.
_OUTLINES = {
    "circle": "M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 1 1 0-11z",
    "square": "M3 3h10v10h-10z",
    "triangle-up": "M8 2.5l6 10.5h-12z",
    "diamond": "M8 1.5l5 6.5l-5 6.5l-5-6.5z",
    "triangle-down": "M8 13.5l6-10.5h-12z",
    "cross": "M6 2h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
}


def render(template: str, **values: Any) -> str:
    """The template, filled; what comes from users is escaped."""
    return _environment().get_template(template).render(**values)


def figures(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Both charts: as a specification that follows the box and the theme, and as a still image."""
    drawn = {
        "p95": ("p95 response time", charts.p95),
        "throughput": ("Throughput", charts.throughput),
    }
    return [
        {
            "id": identifier,
            "title": title,
            "spec": charts.specification(chart(curves, width="container")),
            "still": Markup(charts.svg_of(chart(curves))),
        }
        for identifier, (title, chart) in drawn.items()
    ]


def looks(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """For each deployment its colour (a CSS variable) and the outline of its shape."""
    return {
        name: {
            "colour": f"var(--series-{index % len(palette.LIGHT.colours)})",
            "outline": _OUTLINES[palette.SHAPES[index % len(palette.SHAPES)]],
        }
        for index, name in enumerate(names)
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("loadtests.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "bundle": Markup(_bundle()),
        "light": palette.LIGHT,
        "dark": palette.DARK,
        "configs": {
            "light": palette.config(palette.LIGHT, "transparent"),
            "dark": palette.config(palette.DARK, "transparent"),
        },
    }
    environment.filters |= {
        "duration": quantities.duration_estimate,
        "rate": quantities.rate_estimate,
        "ratio": quantities.ratio_estimate,
        "percent": quantities.percent,
        "knee": quantities.knee_level,
        "slo": quantities.slo_estimate,
        "errors": quantities.errors,
        "plain": quantities.duration,
        "beyond": quantities.beyond,
        "capacity": quantities.capacity,
        "time": states.response_time,
        "state": states.said,
        "remarks": states.remarks,
    }
    return environment


def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script; it defines `vegaEmbed`."""
    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)
    return script.replace("</script", "<\\/script")
