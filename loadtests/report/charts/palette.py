"""How a deployment looks, everywhere alike: a colour and a shape by its place in the run.

The hues are those of Okabe and Ito (Color Universal Design, 2008), which people with any common
colour blindness can tell apart; the yellow is left out, and some are darker on white or lighter on
black so that a thin line has contrast. Colours and shapes repeat with different periods, so the
first 42 deployments all differ.

Phases have hues of their own, after Paul Tol's "muted" scheme: what a response waits for stands out
against the upstream, which is grey, and neighbours in a bar differ in lightness as well as in hue.
"""

from dataclasses import dataclass
from typing import Any

from loadtests.recording.phases import NAMES

SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    background: str
    text: str
    quiet: str  # axis labels, captions
    line: str  # grid and rules
    colours: tuple[str, ...]
    phases: tuple[str, ...]  # as recording.phases.NAMES


LIGHT = Theme(
    background="#ffffff",
    text="#1b1f24",
    quiet="#57606a",
    line="#e3e6ea",
    colours=("#0072b2", "#d55e00", "#00815d", "#b0558a", "#c28400", "#3a9ad9", "#6e7681"),
    phases=(
        "#332288",
        "#cc6677",
        "#c9a227",
        "#aa4499",
        "#cdd4dc",
        "#882255",
        "#44aa99",
        "#2b52ee",
    ),
)
DARK = Theme(
    background="#14171b",
    text="#e8eaed",
    quiet="#a2abb5",
    line="#2c3138",
    colours=("#4aa8e0", "#f0803c", "#2fc196", "#dd8fbb", "#e6ab2e", "#8cc9f2", "#a9b1ba"),
    phases=(
        "#8f80ff",
        "#e58a97",
        "#e3c75f",
        "#b95bad",
        "#4b5662",
        "#d84a9e",
        "#5cc4b3",
        "#2b52ee",
    ),
)
# Inside a page, whose style sheet says which of the two themes holds.
INHERITED = Theme(
    background="transparent",
    text="var(--text)",
    quiet="var(--quiet)",
    line="var(--line)",
    colours=tuple(f"var(--series-{index})" for index in range(len(LIGHT.colours))),
    phases=tuple(f"var(--phase-{name})" for name in NAMES),
)


def config(theme: Theme) -> dict[str, Any]:
    """The Vega-Lite configuration of a theme."""
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
        "background": theme.background,
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
