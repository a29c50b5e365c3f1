"""The run as a terminal shows it: the table of points, knees, sentences, SLOs and problems."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

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
from loadtests.report.text import numbers, scenario, states
from loadtests.results import Point, Run, Verdict

_KNEES = ("name", "level", "flying", "throughput", "beyond")
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
_STYLES = {"good": "green", "bad": "red", "open": "yellow"}


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
            yield formatted(tables.knees(run).only(*_KNEES))
        if run.apart:
            yield Text()
            yield Text(scenario.NOTE, style="dim")
            yield formatted(tables.apart(run))
        if any(run.ceilings.values()):
            yield Text()
            yield from map(_ceilings, filter(lambda line: line.ceilings, curves.of_run(run)))
        if run.capacities:
            yield Text()
            yield formatted(tables.capacities(run).only("name", "level", "slo", "took", "why"))
        if run.slos:
            yield Text()
            yield formatted(tables.slos(run).only("slo", "deployment", "result", "why"))
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


def formatted(made: tables.Table) -> Table:
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


def _points(run: Run, names: list[str], wide: bool) -> Table:
    main: numbers.Interval = "fitting" if wide else "compact"
    every = tables.points(run, intervals="fitting" if wide else "none", main=main)
    rows = [
        replace(row, cells={**row.cells, "deployment": tables.Cell(_marked(row, wide))})
        for row in every.rows
    ]
    shown = formatted(tables.Table(every.columns, rows).only(*_columns(every, wide)))
    if len(names) > 1:
        last = -1
        for group in every.groups:
            last += len(group)
            shown.rows[last].end_section = True
    return shown


def _marked(row: tables.Row, wide: bool) -> str:
    marks = ["" if wide or not row.point else states.mark(row.point), "" if row.valid else "*"]
    return " ".join(filter(None, (row.deployment, *marks)))


def _columns(every: tables.Table, wide: bool) -> list[str]:
    """Return as many columns as there is room for: what binds says more than another quantile."""
    names = {column.name for column in every.columns}
    is_open, limited = "service p95" in names, "limit" in names
    quantiles = ["p50", "p95", "p99"]
    if not wide:
        quantiles = quantiles[is_open or limited : 2 if is_open and limited else 3]
    return [
        *("deployment", "level", "flying", "throughput", *quantiles, "service p95", "errors"),
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
    line.stylize(_VERDICTS[verdict.verdict], 0, len(head))
    return line


def _named(text: str, name: str) -> Text:
    line = Text(text)
    if text.startswith(name):
        line.stylize("bold", 0, len(name))
    return line
