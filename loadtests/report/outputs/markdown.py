"""`summary.md`: the run in a screenful, for a pull request or a CI page; without the picture."""

import re

from loadtests.analysis import outside
from loadtests.analysis.summary import sentence
from loadtests.analysis.verdicts.stored import NOTE
from loadtests.report import tables
from loadtests.report.charts import curves, verdicts
from loadtests.report.outputs.terminal import CLOCKS
from loadtests.report.text import numbers, scenario
from loadtests.results import Point, Run

_VERDICTS = {"BETTER": "✅", "WORSE": "❌", "EQUIVALENT": "✅", "UNRESOLVED": "❔", "INVALID": "⚠️"}
_MARKS = {"met": "✅ met", "missed": "❌ missed", "unresolved": "❔ unresolved"}
_POINTS = (
    *("level", "deployment", "flying", "throughput", "p50", "p95", "p99", "service p95"),
    *("kinds", "state", "limit"),
)
_KNEES = ("name", "level", "flying", "throughput", "beyond", "limit")

PICTURE = "![p95 and throughput against the level](curves.svg)"


def render(run: Run, *, picture: bool = True) -> str:
    names = run.names
    blocks = [f"## brownout: {escaped(run.name)}"]
    if run.status == "interrupted":
        blocks.append("**Interrupted**: this is what was measured until then.")
    if any(one.method == "stored" for one in run.verdicts):
        blocks.append(NOTE)
    for one in run.verdicts:
        blocks.append(f"**{_VERDICTS[one.verdict]} {escaped(one.sentence)}**")
        blocks.append("\n".join(f"- ⚠️ {escaped(problem)}" for problem in one.problems))
        blocks.append(escaped(verdicts.also(one, run.model)))
        changes = verdicts.changes(one, run.model)
        rows = [[*cells, "yes" if apart else "no"] for *cells, apart in changes]
        if rows:
            blocks.append(table(["metric", "change", "95 % interval", "more than chance"], rows))
    blocks.append("\n".join(f"- {escaped(_summary(run, name))}" for name in names))
    if picture:
        blocks.append(PICTURE)
    if run.problems:
        blocks.append("\n".join(f"- ⚠️ {escaped(problem)}" for problem in run.problems))
    if run.slos:
        slos = tables.slos(run)
        rows = [[_MARKS.get(text, text) for text in row] for row in slos.texts()]
        blocks.append(table(slos.titles, rows))
    if run.capacities:
        blocks.append(_formatted(tables.capacities(run).only("name", "level", "why")))
    every = tables.points(run).only(*_POINTS)
    rows = every.texts()
    points = [row.point for row in every.rows if row.point]
    for row, point in zip(rows, points, strict=True):
        row[1] += "" if point.valid else " *"
    blocks.append(table(every.titles, rows))
    if curves.is_open(curves.of_run(run)):
        blocks.append(CLOCKS)
    if any(not point.valid for point in points):
        broken = [
            f"{p.deployment} at {p.level}: {'; '.join(p.problems)}" for p in points if not p.valid
        ]
        blocks.append("\\* not valid: " + escaped(". ".join(broken)))
    noisy = [f"{p.deployment} at {p.level}: {numbers.noise(p)}" for p in points if noted(p)]
    if noisy:
        blocks.append("Without what disturbed it: " + escaped(". ".join(noisy)))
    if run.apart:
        blocks += [escaped(scenario.NOTE), _formatted(tables.apart(run))]
    if run.knees:
        blocks.append(_formatted(tables.knees(run).only(*_KNEES)))
    if any(run.ceilings.values()):
        blocks.append(_formatted(tables.ceilings(run)))
    return "\n\n".join(filter(None, blocks)) + "\n"


FILES = {"summary.md": render}


def _summary(run: Run, name: str) -> str:
    return " ".join(filter(None, (sentence(run, name), outside.line(run.of(name)))))


def noted(point: Point) -> bool:
    """Whether a point is valid, and was disturbed by enough to say so."""
    return point.valid and any(text.startswith("disturbed") for text in point.problems)


def _formatted(made: tables.ReportTable) -> str:
    return table(made.titles, made.texts())


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def escaped(text: str) -> str:
    """Text that Markdown shows as it stands: names come from users."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))
