"""`report.html`: everything about a run on one page that opens offline."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import tomli_w

from loadtests.analysis import outside
from loadtests.analysis.causes import headline
from loadtests.analysis.summary import sentence
from loadtests.report import page
from loadtests.report.charts import ceilings, curves, figures, phases
from loadtests.report.charts.curves import Curve
from loadtests.report.charts.phases import Panel
from loadtests.report.text import limits
from loadtests.results import Point, Run


def render(run: Run) -> str:
    lines = curves.of_run(run)
    return page.render(
        "report.html",
        **values(run),
        figures=page.figures(lines),
        verdicts=page.verdicts(run),
        key=figures.key(lines),
        plan=tomli_w.dumps(_without_null(run.plan)),
        started=started(run),
        facts=_facts(run.environment),
        ways={name: _facts(how) for name, how in run.deployments.items()},
    )


def values(run: Run) -> dict[str, Any]:
    """What the templates of a run's sections show."""
    names = curves.names(run)
    lines = curves.of_run(run)
    return {
        "run": run,
        "names": names,
        "is_open": curves.is_open(lines),
        "tried": {name: run.of(name) for name in run.capacities},
        "unit": curves.unit(lines),
        "short": curves.short_unit(lines),
        "looks": page.looks(names),
        "sentences": {name: without_name(sentence(run, name), name) for name in names},
        "outside": {name: outside.line(run.of(name)) for name in names},
        "tables": _tables(run),
        "limited": limits.any_of(run.points),
        "causes": [found for line in lines if (found := _cause(line, run))],
        "ceilings": [(line.name, list(ceilings.met(line))) for line in lines if line.ceilings],
        "failing": [p for p in run.points if p.request == "all" and p.errors.kinds],
    }


def started(run: Run) -> str:
    """When, in UTC."""
    return run.started.replace("T", " ").replace("Z", "").removesuffix("+00:00")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why one deployment degrades: where its time goes, and the levels at which something binds."""

    name: str
    panels: list[Panel]
    phases: list[str]  # those that can be seen
    headline: str  # what limits it, and advice; empty: nothing does
    limits: list[Point]


def _cause(curve: Curve, run: Run) -> Cause | None:
    shown = phases.panels(curve)
    bound = [point for point in curve.points if point.limit is not None]
    if not shown and not bound:
        return None
    return Cause(curve.name, shown, phases.used(shown), headline.told(run, curve.name), bound)


FILES = {"report.html": render}


def without_name(text: str, name: str) -> str:
    """The sentence after its "name: "; the page shows the name separately."""
    rest = text.removeprefix(f"{name}: ")
    return rest[:1].upper() + rest[1:]


def _tables(run: Run) -> list[tuple[str, list[tuple[int, list[Point]]]]]:
    """(request, its points by level); all requests first, each alone only where there are some."""
    requests = list(dict.fromkeys(point.request for point in run.points if point.request != "all"))
    shown = ["all", *(requests if len(requests) > 1 else [])]
    places = {name: index for index, name in enumerate(curves.names(run))}
    tables = []
    for request in shown:
        points = [point for point in run.points if point.request == request]
        points.sort(key=lambda point: (point.level, places[point.deployment]))
        levels = [(level, list(each)) for level, each in groupby(points, lambda p: p.level)]
        tables.append((request, levels))
    return tables


def _facts(facts: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested facts as flat rows: {"versions": {"locust": "2"}} -> {"versions: locust": "2"}."""
    flat: dict[str, str] = {}
    for name, value in facts.items():
        key = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            flat |= _facts(value, f"{key}: ")
        elif isinstance(value, (list, tuple)):
            flat[key] = " ".join(map(str, value))
        elif value is not None:
            flat[key] = str(value)
    return flat


def _without_null(value: Any) -> Any:
    """TOML has no null: a key without a value is left out."""
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_without_null(item) for item in value if item is not None]
    return value
