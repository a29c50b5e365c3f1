"""The scripts of the page."""

from functools import cache
from pathlib import Path

import vl_convert

from loadtests.report import page

_NAMES = "window.vegaEmbed = vegaEmbed;"


@cache
def vega() -> str:
    """
    Vega, Vega-Lite and Vega-Embed: what the report's pictures are drawn with.

    The first call of a process takes a second.
    """
    text: str = vl_convert.javascript_bundle(snippet=_NAMES)
    return text


def own() -> str:
    """The page's own, and what a report has of its own."""
    return page.render("tip.js") + Path(__file__).with_name("degradation.js").read_text(
        encoding="utf-8"
    )
