"""
The run as a terminal shows it: sentences first, then SLOs and capacities, then tables of details
and what is to be said of points, grouped by its kind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from loadtests.analysis import outside
from loadtests.analysis.summary import sentence
from loadtests.analysis.verdicts.stored import NOTE
from loadtests.report import tables
from loadtests.report.charts import ceilings, curves, verdicts
from loadtests.report.charts.curves import Curve
from loadtests.report.text import numbers, remarks, scenario, states
from loadtests.results import Point, Run, Verdict

_KNEES = ("name", "level", "flying", "throughput", "beyond")
_WIDE = 120  # columns from which every quantile has room for its interval
_UNBOUND = 10_000  # columns, to see how many a table would take
CLOCKS = (
    "Times and SLOs count from the moment when a request was meant to start; "
    "service is the p95 from when it was sent."
)
_STYLES = {"good": "green", "bad": "red", "open": "yellow"}


Detail = Literal["least", "usual", "full"]


@dataclass(frozen=True, slots=True)
class PrintedRun:
    """
    A run that rich can print, fitted to the console's width.

    Below 120 columns p50 and p99 stand without their intervals or give way to what binds, and a
    mark stands for a state. What comes from users is never read as rich's markup: `threads[20]` is
    a name.

    `detail`: "least" is sentences, SLOs, capacities, problems and verdicts; "full" has each remark
    on each point, and problems with all of their lines.
    """

    run: Run
    detail: Detail = "usual"

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        run = self.run
        yield from self._sentences()
        yield from self._answers(console, options)
        if self.detail != "least":
            yield from self._details(console, options)
        if run.problems:
            yield Text()
        for problem in run.problems:
            shown = problem if self.detail == "full" else problem.partition("\n")[0]
            yield Text.assemble(("! ", "yellow"), shown)
        if any(one.method == "stored" for one in run.verdicts):
            yield Text()
            yield Text(NOTE, style="dim")
        for one in run.verdicts:
            yield from _verdict(one, run.model)

    def _sentences(self) -> Iterator[RenderableType]:
        for name in self.run.names:
            yield _named(sentence(self.run, name), name)
            seen = outside.line(self.run.of(name))
            if seen and self.detail != "least":
                yield Text(f"  {seen}", style="dim")

    def _answers(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The tables of what was asked; reasons follow as sentences where there is no room."""
        run = self.run
        for made, names in (
            (tables.capacities(run), ("name", "level", "slo", "took", "why")),
            (tables.slos(run), ("slo", "deployment", "result", "why")),
        ):
            if not made.rows:
                continue
            yield Text()
            whole = formatted(made.only(*names))
            if _fits(whole, console, options):
                yield whole
                continue
            yield _at_most(formatted(made.only(*names[:-1])))
            if names[0] == "name":  # the sentence of the deployment has said why
                continue
            for row in made.rows:
                named = f"{row.cells[names[0]].text} ({row.deployment})"
                yield _named(f"{named}: {row.cells['why'].text}", named)

    def _details(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        run, names = self.run, self.run.names
        wide = options.max_width >= _WIDE
        if run.points:
            yield Text()
            yield _points(run, names, console, options)
        if curves.is_open(curves.of_run(run)):
            yield Text(CLOCKS, style="dim")
        if not wide and (marks := states.legend(run)):
            yield Text(marks, style="dim")
        found = [point for name in names for point in run.of(name)]
        if self.detail == "full":
            yield from map(_remarks, filter(states.remarks, found))
        else:
            for remark in remarks.grouped(found):
                mark, style = ("  ", "dim") if remark.valid else ("* ", "yellow")
                yield Text(mark + remark.text, style=style)
        if run.knees:
            yield Text()
            yield _at_most(formatted(tables.knees(run).only(*_KNEES)))
        if run.apart:
            yield Text()
            yield Text(scenario.NOTE, style="dim")
            yield _at_most(formatted(tables.apart(run)))
        if any(run.ceilings.values()):
            yield Text()
            yield from map(_ceilings, filter(lambda line: line.ceilings, curves.of_run(run)))


def render(run: Run, detail: Detail = "usual") -> PrintedRun:
    return PrintedRun(run, detail)


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


def formatted(made: tables.ReportTable) -> Table:
    """Return the table in our style; rows that are not valid are dim."""
    shown = table(*made.titles)
    for column, described in zip(shown.columns, made.columns, strict=True):
        column.justify = "right" if described.kind == "number" else "left"
        column.no_wrap = described.kind == "number" or described.name == "result"
    for row in made.rows:
        cells = (row.cells[column.name] for column in made.columns)
        texts = [Text(cell.text, style=_STYLES.get(cell.status, "")) for cell in cells]
        shown.add_row(*texts, style="" if row.valid else "dim")
    return shown


def _fits(made: Table, console: Console, options: ConsoleOptions) -> bool:
    """Whether no cell of the table wraps."""
    unbound = options.update(max_width=_UNBOUND)
    return console.measure(made, options=unbound).maximum <= options.max_width


def _at_most(made: Table) -> Table:
    """Return the table with its names cut short, rather than wrapped, where they have no room."""
    for column in made.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
        if column.justify == "right":
            column.min_width = max(len(str(cell)) for cell in (column.header, *column.cells))
    return made


def _points(run: Run, names: list[str], console: Console, options: ConsoleOptions) -> Table:
    """Return the table with as much as fits: intervals go first, then quantiles."""
    if options.max_width >= _WIDE:
        made = _with(run, names, "fitting", "fitting", wide=True)
        if _fits(made, console, options):
            return made
    for main, fewer in _NARROWER:
        made = _with(run, names, "none", main, wide=False, fewer=fewer)
        if _fits(made, console, options):
            return made
    return _at_most(made)


_NARROWER: Sequence[tuple[numbers.Interval, int]] = (
    ("compact", 0),
    ("none", 0),
    ("none", 1),
    ("none", 2),
)
"""How the intervals of throughput and p95 are written, and how many quantiles less there are."""


def _with(
    run: Run,
    names: list[str],
    intervals: numbers.Interval,
    main: numbers.Interval,
    *,
    wide: bool,
    fewer: int = 0,
) -> Table:
    every = tables.points(run, intervals=intervals, main=main)
    rows = [
        replace(row, cells={**row.cells, "deployment": tables.Cell(_marked(row, wide))})
        for row in every.rows
    ]
    shown = formatted(tables.ReportTable(every.columns, rows).only(*_columns(every, wide, fewer)))
    if len(names) > 1:
        last = -1
        for group in every.groups:
            last += len(group)
            shown.rows[last].end_section = True
    return shown


def _marked(row: tables.Row, wide: bool) -> str:
    marks = ["" if wide or not row.point else states.mark(row.point), "" if row.valid else "*"]
    return " ".join(filter(None, (row.deployment, *marks)))


def _columns(every: tables.ReportTable, wide: bool, fewer: int) -> list[str]:
    """Return as many columns as there is room for: what binds says more than another quantile."""
    names = {column.name for column in every.columns}
    is_open, limited = "service p95" in names, "limit" in names
    quantiles = ["p50", "p95", "p99"]
    if not wide:
        quantiles = quantiles[is_open or limited : 2 if is_open and limited else 3]
        quantiles = [name for name in quantiles if name == "p95" or not fewer]
    return [
        *("deployment", "level", "flying", "throughput", *quantiles),
        *(["service p95"] if fewer < 2 else []),
        "errors",
        *(["state"] if wide else []),
        "limit",
    ]


def _remarks(point: Point) -> Text:
    mark, style = ("  ", "dim") if point.valid else ("* ", "yellow")
    where = f"{point.deployment} at {point.level:,}: "
    return Text(mark + where + "; ".join(states.remarks(point)), style=style)


def _ceilings(curve: Curve) -> Text:
    """All of a deployment in one line, the lowest first; then what is different under load."""
    found = [met.ceiling for met in ceilings.met(curve)]
    told = [
        f"{one.resource} {numbers.rate(one.throughput)} ({ceilings.origin(one)})" for one in found
    ]
    text = f"{curve.name}: predicted ceilings: {', '.join(told)}"
    findings = [f"{one.resource}: {one.finding}" for one in found if one.finding]
    return _named(". ".join([text, *findings]), curve.name)


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
    line.stylize(_STYLES[verdicts.STATUS[verdict.verdict]], 0, len(head))
    return line


def _named(text: str, name: str) -> Text:
    line = Text(text)
    if text.startswith(name):
        line.stylize("bold", 0, len(name))
    return line
