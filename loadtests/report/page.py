"""A page that needs nothing but itself: styles, charts and a few lines of script, no network."""

import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from loadtests.analysis.numbers import load
from loadtests.recording.phases import NAMES
from loadtests.report.charts import figures as charts
from loadtests.report.charts import palette, phases
from loadtests.report.charts import verdicts as pictures
from loadtests.report.charts.chart import USUAL, PlotSize
from loadtests.report.charts.curves import Curve
from loadtests.report.charts.marks import Layer
from loadtests.report.charts.pictures import PictureFailed
from loadtests.report.text import limits, numbers, states
from loadtests.results import Run

# The outlines of Vega's symbols in a box of 16 by 16, for legends in HTML.
_OUTLINES = {
    "circle": "M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 1 1 0-11z",
    "square": "M3 3h10v10h-10z",
    "triangle-up": "M8 2.5l6 10.5h-12z",
    "diamond": "M8 1.5l5 6.5l-5 6.5l-5-6.5z",
    "triangle-down": "M8 13.5l6-10.5h-12z",
    "cross": "M6 2h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
}
SIZES = {"wide": USUAL, "narrow": PlotSize(262, 250)}


def render(template: str, **values: Any) -> str:
    """The template, filled; what comes from users is escaped."""
    return _environment().get_template(template).render(**values)


def figures(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Both charts, each drawn for a desktop and for a phone: text must not shrink with its box."""
    drawn: list[tuple[str, str, charts.Chart]] = [
        ("p95", "p95 response time", charts.p95),
        ("throughput", "Throughput", charts.throughput),
    ]
    return [
        {"id": name, "title": title, "drawn": drawings(name, partial(chart, curves))}
        for name, title, chart in drawn
    ]


def drawings(name: str, draw: Callable[..., Layer]) -> list[dict[str, Any]]:
    """A picture in both sizes; `name` is its own on the page."""
    return [
        {"box": box, "svg": _inline(f"{name}-{box}", draw(size=size))}
        for box, size in SIZES.items()
    ]


def _inline(name: str, chart: Layer) -> Markup:
    try:
        svg = charts.svg_of(chart, palette.INHERITED)
    except PictureFailed as error:
        return Markup('<p class="missing">This picture could not be drawn: {}.</p>').format(error)
    # What one picture calls "clip0" must not be meant by another on the same page.
    svg = re.sub(r'(id="|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"(\.\d\d)\d+", r"\1", svg)  # hundredths of a pixel, twelve digits deep
    return Markup(svg)


def verdicts(run: Run) -> list[dict[str, Any]]:
    """What the page shows of each verdict, pictures of interleaved ones included."""
    found = []
    for place, one in enumerate(run.verdicts, 1):
        head = f"{one.title}: {one.verdict}. "
        figures = [
            {
                "id": name,
                "title": title,
                "what": what,
                "drawn": drawings(f"{name}-{place}", partial(draw, one)),
            }
            for name, (title, what, draw) in pictures.PICTURES.items()
            if one.method == "interleaved" and one.interval_after_round
        ]
        found.append(
            {
                "verdict": one,
                "status": pictures.STATUS[one.verdict],
                "sentence": one.sentence.removeprefix(head),
                "figures": figures,
                "changes": pictures.changes(one, run.model),
                "besides": pictures.also(one, run.model),
            }
        )
    return found


def looks(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The place, the colour (a CSS variable) and the outline of the shape of each deployment."""
    return {
        name: {
            "place": str(index),
            "colour": f"var(--series-{index % len(palette.LIGHT.colours)})",
            "outline": _OUTLINES[palette.SHAPES[index % len(palette.SHAPES)]],
        }
        for index, name in enumerate(names)
    }


class _Bytecode(FileSystemBytecodeCache):
    """
    Compiled templates, next to the compiled modules of this package and as those are: where the
    folder cannot be written, each process compiles them again.
    """

    def dump_bytecode(self, bucket: Bucket) -> None:
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                super().dump_bytecode(bucket)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("loadtests.report"),
        # To compile them takes a fifth of the time in which a report is written.
        bytecode_cache=_Bytecode(str(Path(cache_from_source(__file__)).parent)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "light": palette.LIGHT,
        "dark": palette.DARK,
        "phase_names": NAMES,
        "phase_words": phases.WORDS,
    }
    environment.filters |= {
        "duration": numbers.duration_estimate,
        "rate": numbers.rate_estimate,
        "ratio": numbers.ratio_estimate,
        "proportion": numbers.proportion,
        "percent": numbers.percent,
        "knee": numbers.knee_level,
        "slo": numbers.slo_estimate,
        "errors": numbers.errors,
        "plain": numbers.duration,
        "beyond": numbers.beyond,
        "capacity": numbers.capacity,
        "time": states.response_time,
        "state": states.said,
        "remarks": states.remarks,
        "load": load,
        "limit": limits.said,
        "limit_told": limits.tip,
        "limit_sentences": limits.sentences,
        "limit_numbers": limits.figures,
        "source": limits.source,
        "short": numbers.short_duration,
        "per_second": numbers.rate,
    }
    return environment
