"""`report.html`: everything about a run on one page that opens offline."""

from dataclasses import dataclass
from typing import Any

import tomli_w

from loadtests.analysis import outside
from loadtests.analysis.causes import headline
from loadtests.analysis.summary import sentence
from loadtests.report import page, tables
from loadtests.report.charts import curves, figures, phases
from loadtests.report.charts.curves import Curve
from loadtests.report.charts.phases import Panel
from loadtests.report.text import scenario
from loadtests.results import Point, Run

_POINTS = (
    *(
        "level",
        "deployment",
        "flying",
        "throughput",
        "p50",
        "p95",
        "p99",
        "service p95",
        "service p99",
    ),
    *("errors", "requests", "state", "limit"),
)
_CAPACITIES = ("name", "level", "slo", "why", "tried", "took")


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
    names = run.names
    lines = curves.of_run(run)
    return {
        "run": run,
        "names": names,
        "is_open": curves.is_open(lines),
        "unit": curves.unit(lines),
        "short": curves.short_unit(lines),
        "points": [(request, table.only(*_POINTS)) for request, table in tables.by_request(run)],
        "tables": {
            "knees": tables.knees(run),
            "capacities": tables.capacities(run).only(*_CAPACITIES),
            "ceilings": tables.ceilings(run),
            "slos": tables.slos(run),
            "apart": tables.apart(run),
        },
        "apart_note": scenario.NOTE,
        "looks": page.looks(names),
        "sentences": {name: without_name(sentence(run, name), name) for name in names},
        "outside": {name: outside.line(run.of(name)) for name in names},
        "causes": [found for line in lines if (found := _cause(line, run))],
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
    return Cause(curve.name, shown, phases.used(shown), headline.headline(run, curve.name), bound)


FILES = {"report.html": render}


def without_name(text: str, name: str) -> str:
    """The sentence after its "name: "; the page shows the name separately."""
    rest = text.removeprefix(f"{name}: ")
    return rest[:1].upper() + rest[1:]


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
