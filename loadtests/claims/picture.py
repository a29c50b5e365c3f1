"""All cases in one picture: does a measurement lie where the statement has it, or where not?"""

from collections.abc import Sequence
from typing import Any

from loadtests.claims.experiment import Finding
from loadtests.report.charts import pictures
from loadtests.report.charts.axes import nominal, quantity
from loadtests.report.charts.marks import Layer, layer
from loadtests.report.charts.palette import LIGHT, config

_EDGE = 0.4  # beyond either end; what lies farther out is drawn there
_ROW = 21  # pixels


def svg(findings: Sequence[Finding]) -> str:
    """A dot with its interval for each measurement, a ring for what was predicted."""
    rows = [
        row
        for finding in findings
        for number, row in enumerate(_rows(finding))
        for row in [row | {"first": number == 0}]
    ]
    return pictures.svg(_specification(rows), config(LIGHT))


def _rows(finding: Finding) -> list[dict[str, Any]]:
    return [
        {
            "case": f"{finding.experiment.name}, {case.when}, {case.what}",
            "experiment": finding.experiment.name,
            "when": case.when,
            "measured": _inside(case.place(case.measured.value)),
            "low": _inside(case.place(_or(case.measured.low, case.measured.value))),
            "high": _inside(case.place(_or(case.measured.high, case.measured.value))),
            "predicted": _inside(case.place(case.predicted)),
            "side": {True: "holds", False: "does not", None: "open"}[case.holds],
        }
        for case in finding.cases
    ]


def _or(end: float | None, value: float) -> float:
    return value if end is None else end


def _inside(place: float) -> float:
    return min(max(place, -_EDGE), 1 + _EDGE)


def _specification(rows: list[dict[str, Any]]) -> Layer:
    y = {"y": nominal("case", sort=[row["case"] for row in rows], axis=None)}
    x: dict[str, Any] = {
        "scale": {"domain": [-_EDGE, 1 + _EDGE], "nice": False},
        "title": None,
        "axis": {
            "values": [0, 0.5, 1],
            "orient": "top",
            "grid": True,
            "domain": False,
            "labelExpr": "datum.value == 0 ? 'as the statement has it' : "
            "datum.value == 1 ? 'as if it did not hold' : ''",
        },
    }
    colours = {
        "domain": ["holds", "does not", "open"],
        "range": [LIGHT.colours[0], LIGHT.colours[1], LIGHT.quiet],
    }
    colour = {"color": nominal("side", scale=colours, legend=None)}
    ends = {"x": quantity("low", **x), "x2": {"field": "high"}}
    label: dict[str, Any] = {"align": "left", "baseline": "middle", "fontSize": 12}
    names = y | {"x": {"value": -410}, "text": nominal("experiment")}
    whens = y | {"x": {"value": -240}, "text": nominal("when")}
    first = [row for row in rows if row["first"]]
    predicted, measured = (y | {"x": quantity(name, **x)} for name in ("predicted", "measured"))
    return {
        "width": 420,
        "height": {"step": _ROW},
        "layer": [
            layer(rows, "rule", y | ends | colour, strokeWidth=2),
            layer(rows, "point", predicted, size=130, strokeWidth=1.3, color=LIGHT.quiet),
            layer(rows, "point", measured | colour, filled=True, size=55, opacity=1),
            layer(first, "text", names, **label, fontWeight=600, color=LIGHT.text),
            layer(rows, "text", whens, **label, color=LIGHT.quiet),
        ],
    }
