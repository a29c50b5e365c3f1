"""A verdict in pictures and rows: the rounds, the shift of the distribution, every other metric."""

from collections.abc import Sequence
from typing import Any

from loadtests.analysis.numbers import loads
from loadtests.analysis.verdicts.text import amount, named, within
from loadtests.analysis.verdicts.text import change as signed
from loadtests.report.charts.axes import Channel, nominal, quantity
from loadtests.report.charts.chart import PlotSize
from loadtests.report.charts.marks import Layer, layer
from loadtests.results import Change, Estimate, Verdict

STATUS = {
    "BETTER": "good",
    "WORSE": "bad",
    "EQUIVALENT": "good",
    "UNRESOLVED": "open",
    "INVALID": "open",
}
_SHORT = {"cpu": "CPU"}
_PERCENT = "(datum.value > 0 ? '+' : '') + format(datum.value, '.3~g') + ' %'"


def blocks(verdict: Verdict, size: PlotSize) -> Layer:
    """Each block of the metric that decides over time, by deployment."""
    names = [verdict.a, verdict.b]
    rows: list[dict[str, Any]] = [
        {
            "deployment": one.deployment,
            "minutes": one.at / 60,
            "value": one.value,
            "told": f"{one.deployment}\nround: {one.round}\n{named(verdict.metric)}: "
            f"{amount(verdict.metric, one.value)}{'' if one.usable else ' (not used)'}",
            "usable": one.usable,
        }
        for one in verdict.blocks
        if one.value is not None
    ]
    values = [row["value"] for row in rows]
    colour = {
        "color": nominal("deployment", scale={"domain": names}, legend=None),
        "shape": nominal("deployment", scale={"domain": names}, legend=None),
    }
    x = {"x": quantity("minutes", axis={"title": "minutes", "tickCount": 6})}
    y = {
        "y": quantity(
            "value", scale={"domain": _around(values), "zero": False}, axis=_axis(verdict)
        )
    }
    place = x | y | colour
    used = [row for row in rows if row["usable"]]
    left_out = [row for row in rows if not row["usable"]]
    return _framed(
        [
            layer(used, "line", place, strokeWidth=1, opacity=0.4),
            layer(used, "point", place, filled=True, size=52, opacity=1),
            layer(left_out, "point", place, filled=False, size=62, strokeWidth=1.6, opacity=1),
            layer(rows, "circle", place, spoken=True, size=320, opacity=0, fill="#000"),
        ],
        size,
    )


def rounds(verdict: Verdict, size: PlotSize) -> Layer:
    """The change in each round, and what was known after it."""
    ratios = dict.fromkeys((one.round, one.ratio) for one in verdict.blocks if one.ratio)
    dots: list[dict[str, Any]] = [
        {
            "round": number,
            "value": 100 * (ratio - 1),
            "told": f"round {number}\nchange: {signed(ratio)}",
        }
        for number, ratio in ratios
    ]
    known: list[dict[str, Any]] = [
        {
            "round": dot["round"],
            "value": 100 * (one.value - 1),
            "low": 100 * (one.low - 1),
            "high": 100 * (one.high - 1),
            "told": f"after round {dot['round']}\nchange: {estimate(one)}",
        }
        for dot, one in zip(dots, verdict.interval_after_round, strict=False)
        if one.low is not None and one.high is not None
    ]
    values = [row["value"] for row in (*dots, *known)]
    shown = [v for row in known[-1:] for v in (row["low"], row["high"])]
    y = _change([*values, *shown, 100 * verdict.margin, -100 * verdict.margin])
    axis = {"title": "round", "format": "d", "tickMinStep": 1}
    x = {"x": quantity("round", axis=axis, scale={"nice": False, "zero": False, "padding": 14})}
    ends = {"y": quantity("low", scale=y["scale"], axis=y["axis"]), "y2": {"field": "high"}}
    colour = {"color": {"value": "#8b949e"}}
    place = x | {"y": y}
    return _framed(
        [
            *_references(y, verdict.margin),
            layer(known, "area", x | ends | colour, opacity=0.22, clip=True),
            layer(known, "line", place | colour, strokeWidth=2, clip=True),
            layer(known, "rule", x | ends | colour, strokeWidth=1.2, opacity=0.6, clip=True),
            layer(dots, "point", place, filled=True, size=48, opacity=1),
            layer(known, "circle", place, spoken=True, size=160, opacity=0, fill="#000"),
            layer(dots, "circle", place, spoken=True, size=320, opacity=0, fill="#000"),
        ],
        size,
    )


def shift(verdict: Verdict, size: PlotSize) -> Layer:
    """The change at each quantile of the response times."""
    rows: list[dict[str, Any]] = [
        {
            "q": 100 * one.q,
            "value": 100 * (one.ratio.value - 1),
            "low": 100 * ((one.ratio.low or one.ratio.value) - 1),
            "high": 100 * ((one.ratio.high or one.ratio.value) - 1),
            "told": f"p{100 * one.q:g}\nchange: {estimate(one.ratio)}",
        }
        for one in verdict.shift
    ]
    margin = 100 * verdict.margin
    y = _change([v for row in rows for v in (row["low"], row["high"])] + [margin, -margin])
    axis = {"title": "quantile of the response times, %", "values": [5, 20, 40, 50, 60, 80, 95]}
    x = {"x": quantity("q", axis=axis, scale={"domain": [0, 101]})}
    ends = {"y": quantity("low", scale=y["scale"], axis=y["axis"]), "y2": {"field": "high"}}
    place = x | {"y": y}
    return _framed(
        [
            *_references(y, verdict.margin),
            layer(rows, "area", x | ends, opacity=0.16),
            layer(rows, "line", place, strokeWidth=2),
            layer(rows, "rule", x | ends, strokeWidth=1.4, opacity=0.7),
            layer(rows, "point", place, filled=True, size=48, opacity=1),
            layer(rows, "circle", place, spoken=True, size=320, opacity=0, fill="#000"),
        ],
        size,
    )


def metrics(verdict: Verdict, size: PlotSize) -> Layer:
    """The change of every metric at every level, with its interval; failures apart."""
    found = [(verdict.metric, verdict.level or 0, verdict.ratio)]
    found += [(one.metric, one.level, one.change) for one in verdict.changes]
    several = len({level for _, level, _ in found}) > 1
    rows: list[dict[str, Any]] = [
        {
            "what": f"{_SHORT.get(metric, metric)}{f' at {level:,}' if several else ''}",
            "value": 100 * (ratio.value - 1),
            "low": 100 * (ratio.low - 1),
            "high": 100 * (ratio.high - 1),
            "told": f"{named(metric)} at {level:,}\nchange: {estimate(ratio)}",
        }
        for metric, level, ratio in found
        if metric != "errors" and ratio and ratio.low is not None and ratio.high is not None
    ]
    margin = 100 * verdict.margin
    x = _change([v for row in rows for v in (row["low"], row["high"])] + [margin, -margin])
    y = {
        "y": nominal(
            "what",
            sort=None,
            axis={"title": None, "domain": False, "ticks": False, "grid": True, "minExtent": 84},
        )
    }
    ends = {"x": quantity("low", scale=x["scale"], axis=x["axis"]), "x2": {"field": "high"}}
    place = y | {"x": x}
    return _framed(
        [
            *_references(x, verdict.margin, "x"),
            layer(rows, "rule", y | ends, strokeWidth=2, opacity=0.7),
            layer(rows, "point", place, filled=True, size=58, opacity=1),
            layer(rows, "circle", place, spoken=True, size=320, opacity=0, fill="#000"),
        ],
        size,
    )


def changes(verdict: Verdict, model: str) -> list[tuple[str, str, str, bool]]:
    """
    What decides, then every other metric and level: (what, change, interval, whether it changed).

    Nothing of a stored one, whose runs have too many levels; see `also`.
    """
    found: list[tuple[str, str, str, bool]] = []
    if verdict.method == "stored":
        return found
    if verdict.ratio is not None and verdict.level is not None:
        what = _where(verdict.metric, verdict.level, model)
        decided = verdict.verdict in ("BETTER", "WORSE")
        found.append((what, signed(verdict.ratio.value), within(verdict.ratio), decided))
    for one in verdict.changes:
        if one.change is None:
            continue
        told = (
            difference(one.change)
            if one.metric == "errors"
            else (signed(one.change.value), within(one.change))
        )
        found.append((_where(one.metric, one.level, model), *told, one.changed))
    return found


def also(verdict: Verdict, model: str) -> str:
    """What changed in a stored comparison other than what decides; empty if nothing did."""
    groups: dict[str, list[Change]] = {}
    for one in verdict.changes:
        if one.changed and verdict.method == "stored":
            groups.setdefault(one.metric, []).append(one)
    told = []
    for metric, every in groups.items():
        levels = loads([one.level for one in every], model)
        spans = sorted((one.change for one in every if one.change), key=lambda one: one.value)
        ends = [_amount(metric, one) for one in spans[:: max(len(spans) - 1, 1)]]
        told.append(f"{named(metric)} at {levels} ({' to '.join(dict.fromkeys(ends))})")
    return f"Changed besides: {'; '.join(told)}." if told else ""


def _amount(metric: str, change: Estimate) -> str:
    return difference(change)[0] if metric == "errors" else signed(change.value)


def estimate(ratio: Estimate) -> str:
    """E.g. "+2.1 % (-0.3 to +4.5 %)"."""
    return f"{signed(ratio.value)} ({within(ratio)})"


def difference(errors: Estimate) -> tuple[str, str]:
    """The difference of two shares of failures, in percentage points."""
    ends = [errors.value, errors.low or 0.0, errors.high or 0.0]
    value, low, high = (f"{100 * end:+.2f}" if end else "0" for end in ends)
    return f"{value} points", f"{low} to {high} points"


def _where(metric: str, level: int, model: str) -> str:
    return f"{named(metric)} at {level:,}{'/s' if model == 'open' else ' users'}"


def _references(change: Channel, margin: float, axis: str = "y") -> list[Layer]:
    """No change, and the margin."""
    zero = [{"value": 0.0}]
    edges = [{"value": 100 * margin}, {"value": -100 * margin / (1 + margin)}]
    grey = {"color": {"value": "#8b949e"}}
    return [
        layer(zero, "rule", {axis: change} | grey, strokeWidth=1.4),
        layer(edges, "rule", {axis: change} | grey, strokeWidth=1.1, strokeDash=[5, 4]),
    ]


def _change(values: Sequence[float]) -> Channel:
    domain = _around(values)
    axis = {
        "title": None,
        "grid": True,
        "tickCount": 6,
        "labelExpr": _PERCENT,
        "labelOverlap": "greedy",
    }
    return quantity("value", scale={"domain": domain}, axis=axis)


def _around(values: Sequence[float]) -> list[float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    return [low - room, high + room]


def _axis(verdict: Verdict) -> dict[str, Any]:
    labels = {
        "throughput": "format(datum.value, ',~r') + '/s'",
        "memory": "format(datum.value / 1e6, ',~r') + ' MB'",
    }
    times = "format(datum.value * 1000, ',~r') + ' ms'"
    label = labels.get(verdict.metric, times)
    return {"title": None, "grid": True, "tickCount": 6, "labelExpr": label}


def _framed(layers: list[Layer], size: PlotSize) -> Layer:
    return {"layer": layers, "width": size.width, "height": size.height}


PICTURES = {
    "rounds": ("Change in each round", "B over A, and its interval as it narrowed", rounds),
    "blocks": ("The blocks over time", "of the metric that decides", blocks),
    "metrics": ("Every metric", "B over A, by level", metrics),
    "shift": ("Shift of the whole distribution", "B over A by quantile", shift),
}
"""Of an interleaved comparison: title, what it shows, and how it is drawn."""
