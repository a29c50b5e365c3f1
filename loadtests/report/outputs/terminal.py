"""The run as a terminal shows it: the table of points, knees, sentences, SLOs and problems."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from loadtests.analysis import outside
from loadtests.analysis.summary import sentence
from loadtests.analysis.verdicts.stored import NOTE
from loadtests.report.charts import ceilings, curves, verdicts
from loadtests.report.charts.curves import Curve
from loadtests.report.text import limits, quantities, states
from loadtests.results import Capacity, Knee, Point, Run, SloResult, Verdict

_WIDE = 120  # columns from which every quantile has room for its interval
CLOCKS = (
    "Times and SLOs count from the moment when a request was meant to start; "
    "service is the p95 from when it was sent."
)
_VERDICTS = {
    "BETTER": "green",
    "EQUIVALENT": "green",
    "WORSE": "red",
    "UNRESOLVED": "yellow",
    "INVALID": "yellow",
}
_STATUS = {"met": "green", "missed": "bold red", "unresolved": "yellow"}


@dataclass(frozen=True, slots=True)
class Shown:
    """
    A run that rich can print, fitted to the console's width.

    Below 120 columns p50 and p99 stand without their intervals or give way to what binds, and a
    mark stands for a state. What comes from users is never read as rich's markup: `threads[20]` is
    a name.
    """

    run: Run

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        run, names = self.run, curves.names(self.run)
        unit = curves.unit(curves.of_run(run))
        wide = options.max_width >= _WIDE
        yield _points(run, names, wide)
        if curves.is_open(curves.of_run(run)):
            yield Text(CLOCKS, style="dim")
        if not wide and (marks := states.legend(run)):
            yield Text(marks, style="dim")
        for name in names:
            yield from map(_remarks, filter(states.remarks, run.of(name)))
        if run.knees:
            yield Text()
            yield _knees(run.knees, unit)
        if any(run.ceilings.values()):
            yield Text()
            yield from map(_ceilings, filter(lambda line: line.ceilings, curves.of_run(run)))
        if run.capacities:
            yield Text()
            yield _capacities(run.capacities, unit)
        if run.slos:
            yield Text()
            yield _slos(run.slos)
        yield Text()
        for name in names:
            yield _named(sentence(run, name), name)
            if seen := outside.line(run.of(name)):
                yield Text(f"  {seen}", style="dim")
        for problem in run.problems:
            yield Text.assemble(("! ", "yellow"), problem)
        if any(one.method == "stored" for one in run.verdicts):
            yield Text()
            yield Text(NOTE, style="dim")
        for one in run.verdicts:
            yield from _verdict(one, next((p.model for p in run.points), "closed"))


def render(run: Run) -> Shown:
    return Shown(run)


def table(*headers: str, left: int = 1) -> Table:
    """An empty table in our style; the first `left` columns hold text, the others numbers."""
    made = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        header_style="bold",
    )
    for index, header in enumerate(headers):
        text = index < left
        made.add_column(
            header,
            justify="left" if text else "right",
            overflow="fold",
            no_wrap=not text,
        )
    return made


def _points(run: Run, names: list[str], wide: bool) -> Table:
    points = [point for name in names for point in run.of(name)]
    columns = _columns(run, points, wide)
    levels = table(*columns)
    for column, name in zip(levels.columns, columns, strict=True):
        column.justify = "left" if name in ("deployment", "state", "limit") else "right"
    places = {name: place for place, name in enumerate(names)}
    points.sort(key=lambda point: (point.level, places[point.deployment]))
    for _, each in groupby(points, key=lambda point: point.level):
        for point in each:
            cells = _cells(point, wide)
            style = "" if point.valid else "dim"
            levels.add_row(*(cells[name] for name in columns), style=style)
        if len(names) > 1:
            levels.add_section()
    return levels


def _columns(run: Run, points: list[Point], wide: bool) -> list[str]:
    """The columns that fit. The limiting resource comes before a further quantile."""
    lines = curves.of_run(run)
    is_open, limited = curves.is_open(lines), limits.any_of(points)
    quantiles = ["p50", "p95", "p99"]
    if not wide:
        quantiles = quantiles[is_open or limited : 2 if is_open and limited else 3]
    return [
        *("deployment", curves.short_unit(lines), "throughput", *quantiles),
        *(["service"] if is_open else []),
        "errors",
        *(["state"] if wide else []),
        *(["limit"] if limited else []),
    ]


def _cells(point: Point, wide: bool) -> dict[str, Text]:
    rate = point.errors.rate
    every: quantities.Interval = "fitting" if wide else "none"
    compact: quantities.Interval = "fitting" if wide else "compact"
    marks = ["" if wide else states.mark(point), "" if point.valid else "*"]
    level = Text(f"{point.level:,}")
    return {
        "deployment": Text(" ".join(filter(None, (point.deployment, *marks)))),
        "users": level,
        "rate": level,
        "throughput": Text(quantities.rate_estimate(point.throughput, compact)),
        "p50": Text(states.response_time(point, "p50", every)),
        "p95": Text(states.response_time(point, "p95", compact)),
        "p99": Text(states.response_time(point, "p99", every)),
        "service": Text(quantities.duration_estimate(point.service_time.get("p95"), every)),
        "errors": Text(quantities.percent(rate), style="red" if rate else ""),
        "state": Text(states.said(point)),
        "limit": Text(limits.said(point)),
    }


def _remarks(point: Point) -> Text:
    mark, style = ("  ", "dim") if point.valid else ("* ", "yellow")
    where = f"{point.deployment} at {point.level:,}: "
    return Text(mark + where + "; ".join(states.remarks(point)), style=style)


def _knees(knees: dict[str, Knee], unit: str) -> Table:
    found = table("knee of", unit, "throughput", "beyond it")
    for name, knee in knees.items():
        level = quantities.knee_level(knee)
        there = quantities.MISSING if knee.throughput is None else f"{knee.throughput:,.0f}/s"
        found.add_row(Text(name), level, there, quantities.beyond(knee))
    return found


def _ceilings(curve: Curve) -> Text:
    """All of a deployment in one line, the lowest first; then what is different under load."""
    found = [met.ceiling for met in ceilings.met(curve)]
    told = [
        f"{one.resource} {quantities.rate(one.throughput)} ({ceilings.origin(one)})"
        for one in found
    ]
    text = f"{curve.name}: predicted ceilings: {', '.join(told)}"
    findings = [f"{one.resource}: {one.finding}" for one in found if one.finding]
    return _named(". ".join([text, *findings]), curve.name)


def _capacities(capacities: dict[str, Capacity], unit: str) -> Table:
    found = table("capacity of", unit, "breaks first", "took", "why")
    found.columns[4].justify, found.columns[4].no_wrap = "left", False
    for name, one in capacities.items():
        found.add_row(
            Text(name),
            quantities.capacity(one),
            Text(one.slo or quantities.MISSING),
            quantities.duration(one.seconds),
            Text(one.why),
        )
    return found


def _verdict(verdict: Verdict, model: str) -> Iterator[RenderableType]:
    yield Text()
    rows = verdicts.changes(verdict, model)
    if len(rows) > 1:
        changes = table(verdict.title, "change", "95 % interval", "")
        for what, change, interval, apart in rows:
            style = "bold" if apart else ""
            mark = "more than chance" if apart else ""
            changes.add_row(Text(what), Text(change, style=style), Text(interval), Text(mark))
        yield changes
        yield Text()
    for problem in verdict.problems:
        yield Text.assemble(("! ", "yellow"), problem)
    if besides := verdicts.also(verdict, model):
        yield Text(besides)
    yield verdict_line(verdict)


def verdict_line(verdict: Verdict) -> Text:
    head = f"{verdict.title}: {verdict.verdict}."
    line = _named(verdict.sentence, head)
    line.stylize(_VERDICTS[verdict.verdict], 0, len(head))
    return line


def _named(text: str, name: str) -> Text:
    line = Text(text)
    if text.startswith(name):
        line.stylize("bold", 0, len(name))
    return line


def _slos(slos: list[SloResult]) -> Table:
    results = table("SLO", "deployment", "result", "why", left=4)
    results.columns[2].no_wrap = True
    for slo in slos:
        results.add_row(
            Text(f"{slo.name}: {slo.text}"),
            Text(slo.deployment),
            Text(slo.status, style=_STATUS[slo.status]),
            Text(slo.why),
        )
    return results
