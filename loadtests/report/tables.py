"""The tables of a run as columns and cells; terminal, Markdown and HTML only format them.

`points.csv` has columns of its own: numbers in full, where these are rounded for people.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from loadtests.report.charts import ceilings as predicted
from loadtests.report.charts import curves
from loadtests.report.text import limits, numbers, scenario, states
from loadtests.results import Point, Run

Status = Literal["", "good", "bad", "open", "strong"]
_STATUS: dict[str, Status] = {"met": "good", "missed": "bad", "unresolved": "open"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its heading, and whether it holds numbers, names or sentences."""

    name: str
    title: str
    kind: Literal["number", "name", "sentence"] = "number"


class Cell(NamedTuple):
    text: str
    status: Status = ""
    tip: str = ""
    """Shown by a pointer."""


Cells = Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Row:
    """The cells by the names of their columns."""

    cells: Cells
    deployment: str
    point: Point | None = None

    @property
    def valid(self) -> bool:
        return self.point is None or self.point.valid

    @property
    def remarks(self) -> list[str]:
        """What there is to say of the point of the row."""
        return states.remarks(self.point) if self.point else []


@dataclass(frozen=True, slots=True)
class ReportTable:
    columns: Sequence[Column]
    rows: Sequence[Row]

    def only(self, *names: str) -> "ReportTable":
        """Return the table with these columns in this order, as far as it has them."""
        by_name = {column.name: column for column in self.columns}
        return ReportTable([by_name[name] for name in names if name in by_name], self.rows)

    @property
    def groups(self) -> list[list[Row]]:
        """The rows that follow each other with the same text in the first column."""
        found: list[list[Row]] = []
        first = self.columns[0].name
        for row in self.rows:
            if found and found[-1][0].cells[first] == row.cells[first]:
                found[-1].append(row)
            else:
                found.append([row])
        return found

    @property
    def titles(self) -> list[str]:
        return [column.title for column in self.columns]

    def texts(self) -> list[list[str]]:
        """Return the text of each cell, by row."""
        return [[row.cells[column.name].text for column in self.columns] for row in self.rows]


def points(
    run: Run,
    request: str = "all",
    *,
    intervals: numbers.Interval = "fitting",
    main: numbers.Interval = "fitting",
) -> ReportTable:
    """
    Return the table of all levels and deployments.

    Args:
        main: how the intervals of throughput and p95 are written; `intervals` is of the others.
    """
    lines, names = curves.of_run(run), run.names
    found = [point for point in run.points if point.request == request]
    found.sort(key=lambda point: (point.level, names.index(point.deployment)))
    is_open = curves.is_open(lines)
    columns = [
        Column("level", curves.short_unit(lines)),
        Column("deployment", "deployment", "name"),
        *([Column("flying", "in flight")] if scenario.flying(run.points) else []),
        *(Column(name, name) for name in ("throughput", "p50", "p95", "p99")),
        *(Column(f"service {name}", f"service {name}") for name in ("p95", "p99") if is_open),
        *(Column(name, "errors") for name in ("errors", "kinds")),
        Column("requests", "requests"),
        Column("state", "state", "name"),
        *([Column("limit", "limit", "name")] if limits.any_of(found) else []),
    ]
    return ReportTable(columns, [_of_point(point, intervals, main) for point in found])


def _of_point(point: Point, intervals: numbers.Interval, main: numbers.Interval) -> Row:
    times = {
        name: Cell(states.response_time(point, name, main if name == "p95" else intervals))
        for name in ("p50", "p95", "p99")
    }
    service = {
        f"service {name}": Cell(numbers.duration_estimate(estimate, intervals))
        for name in ("p95", "p99")
        for estimate in [point.service_time.get(name)]
    }
    rate = numbers.percent(point.errors.rate)
    tip = f"{point.deployment} at {point.level:,}\n{limits.tip(point)}" if point.limit else ""
    cells = (
        times
        | service
        | {
            "level": Cell(f"{point.level:,}"),
            "deployment": Cell(point.deployment),
            "flying": Cell(scenario.in_flight(point.in_flight)),
            "throughput": Cell(numbers.rate_estimate(point.throughput, main)),
            "errors": Cell(rate, "bad" if point.errors.rate else ""),
            "kinds": Cell(numbers.errors(point.errors)),
            "requests": Cell(f"{point.requests:,}"),
            "state": Cell(
                states.said(point), "open" if point.steady not in ("steady", None) else ""
            ),
            "limit": Cell(limits.said(point), tip=tip),
        }
    )
    return Row(cells, point.deployment, point)


def knees(run: Run) -> ReportTable:
    """Return the table of the knees; the limit only where one is known."""
    flying = any(knee.in_flight is not None for knee in run.knees.values())
    columns = [
        Column("name", "knee of", "name"),
        Column("level", curves.unit(curves.of_run(run))),
        *([Column("flying", "in flight")] if flying else []),
        Column("throughput", "throughput"),
        Column("before", "response time before it"),
        Column("beyond", "beyond it"),
        Column("growth", "p95 grows by"),
    ]
    if any(knee.limit for knee in run.knees.values()):
        columns.append(Column("limit", "limit", "name"))
    rows = [
        _row(
            name,
            level=numbers.knee_level(knee),
            throughput=None if knee.throughput is None else f"{knee.throughput:,.0f}/s",
            before=_duration(knee.base_response_time),
            beyond=numbers.beyond(knee),
            growth=None if knee.slope is None else f"{numbers.duration(knee.slope)} per user",
            limit=knee.limit,
            flying=scenario.in_flight(knee.in_flight),
        )
        for name, knee in run.knees.items()
    ]
    return ReportTable(columns, rows)


def ceilings(run: Run) -> ReportTable:
    """Return the table of predicted ceilings and what was measured below them."""
    columns = [
        Column("name", "ceiling of", "name"),
        Column("resource", "resource", "name"),
        Column("from", "from", "sentence"),
        Column("predicted", "predicted"),
        Column("measured", "measured"),
        Column("ratio", "measured / predicted"),
    ]
    rows = [
        _row(
            line.name,
            strong=met.binds,
            resource=met.ceiling.resource,
            predicted=numbers.rate(met.ceiling.throughput),
            measured=numbers.rate_estimate(met.measured),
            ratio=None if met.ratio is None else numbers.proportion(met.ratio),
            **{"from": "; ".join(filter(None, (met.origin, met.ceiling.finding)))},
        )
        for line in curves.of_run(run)
        for met in predicted.met(line)
    ]
    return ReportTable(columns, rows)


def apart(run: Run) -> ReportTable:
    """Return the table of a locustfile's events that are no requests of its tasks."""
    columns = [
        Column("name", "deployment", "name"),
        Column("level", "users"),
        Column("event", "event", "name"),
        *(Column(name, name) for name in ("count", "failed")),
        Column("rate", "per second"),
        *(Column(name, name) for name in ("p50", "p95")),
    ]
    rows = [
        _row(
            one.deployment,
            level=f"{one.level:,}",
            event=scenario.event(one),
            count=f"{one.count:,}",
            failed=f"{one.failed:,}",
            p50=scenario.value(one, "p50"),
            p95=scenario.value(one, "p95"),
            rate=None if one.per_second is None else numbers.rate(one.per_second),
        )
        for one in scenario.apart(run)
    ]
    return ReportTable(columns, rows)


def capacities(run: Run) -> ReportTable:
    """Return the table of what a search for capacities found."""
    columns = [
        Column("name", "capacity of", "name"),
        Column("level", curves.unit(curves.of_run(run))),
        Column("slo", "fails first", "name"),
        Column("took", "took"),
        Column("why", "why", "sentence"),
        Column("tried", "levels tried", "sentence"),
    ]
    rows = [
        _row(
            name,
            level=numbers.capacity(found),
            slo=found.slo,
            took=numbers.duration(found.seconds),
            why=found.why,
            tried=", ".join(
                f"{point.level:,}{'' if point.valid else ' (not valid)'}" for point in run.of(name)
            ),
        )
        for name, found in run.capacities.items()
    ]
    return ReportTable(columns, rows)


def slos(run: Run) -> ReportTable:
    """Return the table of the SLOs and their results."""
    columns = [
        Column("slo", "SLO", "name"),
        Column("deployment", "deployment", "name"),
        Column("result", "result", "name"),
        Column("measured", "measured"),
        Column("why", "why", "sentence"),
    ]
    rows = [
        Row(
            {
                "slo": Cell(f"{slo.name}: {slo.text}"),
                "deployment": Cell(slo.deployment),
                "result": Cell(slo.status, _STATUS[slo.status]),
                "measured": Cell(numbers.slo_estimate(slo.text, slo.measured)),
                "why": Cell(slo.why),
            },
            slo.deployment,
        )
        for slo in run.slos
    ]
    return ReportTable(columns, rows)


def _row(deployment: str, *, strong: bool = False, **texts: str | None) -> Row:
    marked = ("resource", "ratio") if strong else ()
    cells = {
        name: Cell(text or numbers.MISSING, "strong" if name in marked else "")
        for name, text in {"name": deployment, **texts}.items()
    }
    return Row(cells, deployment)


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else numbers.duration(seconds)


def by_request(run: Run) -> list[tuple[str, ReportTable]]:
    """Return the points of all requests together, then of each one where there are several."""
    requests = dict.fromkeys(point.request for point in run.points if point.request != "all")
    shown: Iterable[str] = ["all", *(requests if len(requests) > 1 else ())]
    return [(request, points(run, request)) for request in shown]
