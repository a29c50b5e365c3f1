"""How a deployment looks, everywhere alike: a colour and a shape by its place in the run.

The hues are those of Okabe and Ito (Color Universal Design, 2008), which people with any common
colour blindness can tell apart; the yellow is left out, and some are darker on white or lighter on
black so that a thin line has contrast. Colours and shapes repeat with different periods, so the
first 42 deployments all differ.
"""

from dataclasses import dataclass
from typing import Any

SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    background: str
    text: str
    quiet: str  # axis labels, captions
    line: str  # grid and rules
    colours: tuple[str, ...]


LIGHT = Theme(
    background="#ffffff",
    text="#1b1f24",
    quiet="#57606a",
    line="#e3e6ea",
    colours=("#0072b2", "#d55e00", "#00815d", "#b0558a", "#c28400", "#3a9ad9", "#6e7681"),
)
DARK = Theme(
    background="#14171b",
    text="#e8eaed",
    quiet="#a2abb5",
    line="#2c3138",
    colours=("#4aa8e0", "#f0803c", "#2fc196", "#dd8fbb", "#e6ab2e", "#8cc9f2", "#a9b1ba"),
)


def config(theme: Theme, background: str | None = None) -> dict[str, Any]:
    """The Vega-Lite configuration of a theme; the background is the theme's unless given."""
    axis = {
        "domainColor": theme.quiet,
        "gridColor": theme.line,
        "labelColor": theme.quiet,
        "labelFontSize": 12,
        "labelPadding": 6,
        "tickColor": theme.quiet,
        "titleColor": theme.quiet,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
    }
    return {
        "background": background or theme.background,
        "font": FONT,
        "padding": 6,
        "view": {"stroke": None},
        "axis": axis,
        "axisY": {"domain": False, "ticks": False},
        "axisX": {"grid": False, "tickSize": 4},
        "legend": {
            "labelColor": theme.text,
            "labelFontSize": 12.5,
            "labelLimit": 320,
            "symbolSize": 90,
            "symbolStrokeWidth": 2,
            "titleColor": theme.quiet,
        },
        "title": {
            "color": theme.text,
            "fontSize": 14,
            "fontWeight": 600,
            "subtitleColor": theme.quiet,
        },
        "text": {"color": theme.text},
        "rule": {"color": theme.quiet},
        "range": {"category": list(theme.colours), "symbol": list(SHAPES)},
    }
