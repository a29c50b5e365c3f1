"""The run as a terminal shows it: the table of points, knees, sentences, SLOs and problems."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from loadtests.analysis.sentences import sentence
from loadtests.report import curves, quantities, states
from loadtests.results import Capacity, Knee, Point, Run, SloResult

_WIDE = 120  # columns from which every quantile has room for its interval
CLOCKS = (
    "Times and SLOs count from the moment when a request was meant to start; "
    "service is the p95 from when it was sent."
)
_STATUS = {"met": "green", "missed": "bold red", "unresolved": "yellow"}


@dataclass(frozen=True, slots=True)
class Shown:
    """
    A run that rich can print, fitted to the console's width.

    Below 120 columns p50 and p99 stand without their intervals, and a mark stands for a state. What
    comes from users is never read as rich's markup: `threads[20]` is a name.
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
        if run.capacities:
            yield Text()
            yield _capacities(run.capacities, unit)
        if run.slos:
            yield Text()
            yield _slos(run.slos)
        yield Text()
        for name in names:
            yield _named(sentence(run, name), name)
        for problem in run.problems:
            yield Text.assemble(("! ", "yellow"), problem)


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
    lines = curves.of_run(run)
    columns = ["deployment", curves.short_unit(lines), "throughput", "p50", "p95", "p99", "errors"]
    if curves.is_open(lines):
        columns.insert(-1, "service")
        if not wide:
            columns.remove("p50")
    levels = table(*columns, *(["state"] if wide else []))
    places = {name: place for place, name in enumerate(names)}
    points = sorted(
        (point for name in names for point in run.of(name)),
        key=lambda point: (point.level, places[point.deployment]),
    )
    for _, each in groupby(points, key=lambda point: point.level):
        for point in each:
            levels.add_row(*_row(point, wide), style="" if point.valid else "dim")
        if len(names) > 1:
            levels.add_section()
    return levels


def _row(point: Point, wide: bool) -> list[Text]:
    rate = point.errors.rate
    every: quantities.Interval = "fitting" if wide else "none"
    compact: quantities.Interval = "fitting" if wide else "compact"
    marks = ["" if wide else states.mark(point), "" if point.valid else "*"]
    row = [
        Text(" ".join(filter(None, (point.deployment, *marks)))),
        Text(f"{point.level:,}"),
        Text(quantities.rate_estimate(point.throughput, compact)),
        Text(states.response_time(point, "p50", every)),
        Text(states.response_time(point, "p95", compact)),
        Text(states.response_time(point, "p99", every)),
        Text(quantities.percent(rate), style="red" if rate else ""),
    ]
    if point.model == "open":
        row.insert(-1, Text(quantities.duration_estimate(point.service_time.get("p95"), every)))
        if not wide:
            del row[3]
    return [*row, Text(states.said(point))] if wide else row


def _remarks(point: Point) -> Text:
    mark, style = ("  ", "dim") if point.valid else ("* ", "yellow")
    where = f"{point.deployment} at {point.level:,}: "
    return Text(mark + where + "; ".join(states.remarks(point)), style=style)


def _knees(knees: dict[str, Knee], unit: str) -> Table:
    found = table("knee of", unit, "throughput", "beyond it")
    for name, knee in knees.items():
        level = quantities.knee_level(knee) if knee.level is not None else "none in range"
        there = quantities.MISSING if knee.throughput is None else f"{knee.throughput:,.0f}/s"
        found.add_row(Text(name), level, there, quantities.beyond(knee))
    return found


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
