"""Two runs side by side, for a terminal and as a page: curves, ratios with intervals, verdicts."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from loadtests.analysis.verdicts.stored import NOTE
from loadtests.compare.saved_runs import METRICS, Comparison, LevelRatios, Pair, unlike
from loadtests.report import page
from loadtests.report.charts import curves, figures, verdicts
from loadtests.report.charts.curves import Curve
from loadtests.report.outputs.terminal import table, verdict_line
from loadtests.report.text import limits, numbers, states
from loadtests.results import Knee, Point, Run

BOLD = "beyond the margin and more than chance within the runs, the number of ratios allowed for."


@dataclass(frozen=True, slots=True)
class PrintedComparison:
    """A comparison that rich can print, the verdicts last; a ratio that changed is bold."""

    comparison: Comparison

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        found = self.comparison
        unit = curves.short_unit(overlaid(found))
        yield Text.assemble(("A  ", "bold"), f"{found.a.name}  {found.a.id}")
        yield Text.assemble(("B  ", "bold"), f"{found.b.name}  {found.b.id}")
        for difference in found.differences:
            yield Text.assemble(("! ", "yellow"), difference)
        for pair in found.pairs:
            yield Text()
            yield Text.assemble((label(pair), "bold"), ": B / A")
            ratios = table(unit, *METRICS, left=0)
            for level in pair.levels:
                ratios.add_row(f"{level.level:,}", *(_ratio(pair, level, m) for m in METRICS))
            yield ratios
            for level in pair.levels:
                for problem in _remarks(found, pair, level):
                    yield Text(f"  at {level.level:,}: {problem}")
            if pair.knee_a and pair.knee_b:
                yield Text(f"  knee: A {knee(pair.knee_a)}, B {knee(pair.knee_b)}")
        for alone in lonely(found):
            yield Text(alone)
        if found.pairs:
            yield Text()
            yield Text(f"Bold: {BOLD}", style="dim")
            yield Text(NOTE, style="dim")
        for pair in found.pairs:
            for problem in doubts(found, pair):
                yield Text.assemble(("! ", "yellow"), f"{label(pair)}: {problem}")
            if besides := verdicts.also(pair.verdict, found.b.model):
                yield Text(f"{label(pair)}: {besides[:1].lower()}{besides[1:]}")
        yield Text()
        yield from map(verdict_line, found.verdicts)


def render(comparison: Comparison) -> PrintedComparison:
    return PrintedComparison(comparison)


def html(comparison: Comparison) -> str:
    """The page; A solid, B dashed."""
    lines = overlaid(comparison)
    names = list(dict.fromkeys(line.name for line in lines))
    return page.render(
        "comparison.html",
        a=comparison.a,
        b=comparison.b,
        differences=comparison.differences,
        lonely=list(lonely(comparison)),
        names=names,
        looks=page.looks(names),
        unit=curves.unit(lines),
        short=curves.short_unit(lines),
        figures=page.figures(lines),
        key=figures.key(lines),
        pairs=[(label(pair), pair, list(_levels(comparison, pair))) for pair in comparison.pairs],
        verdicts=page.verdicts(_judged(comparison)),
        limited=any(limits.any_of(line.points) for line in lines),
        knee=knee,
        changed=changed,
        bold=BOLD,
    )


def _judged(comparison: Comparison) -> Run:
    """Run B with the verdicts; what was said of both runs is not said again for each."""
    found = [
        pair.verdict.model_copy(update={"problems": doubts(comparison, pair)})
        for pair in comparison.pairs
    ]
    return comparison.b.model_copy(update={"verdicts": found})


def overlaid(comparison: Comparison) -> list[Curve]:
    """The curves of both runs; the two of a pair share a name, and so a colour."""
    a, b = comparison.a, comparison.b
    lines = []
    for pair in comparison.pairs:
        name = label(pair)
        lines.append(Curve(name=name, points=a.of(pair.a), knee=pair.knee_a, run="A"))
        lines.append(Curve(name=name, points=b.of(pair.b), knee=pair.knee_b, run="B"))
    lines += [line for line in curves.of_run(a, "A") if line.name in comparison.alone_a]
    lines += [line for line in curves.of_run(b, "B") if line.name in comparison.alone_b]
    return lines


def label(pair: Pair) -> str:
    return pair.a if pair.a == pair.b else f"{pair.a} → {pair.b}"


def knee(knee: Knee | None) -> str:
    if knee is None:
        return numbers.MISSING
    return numbers.knee_level(knee)


def lonely(comparison: Comparison) -> Iterator[str]:
    """What has no counterpart, in words."""
    for run, names in (("A", comparison.alone_a), ("B", comparison.alone_b)):
        if names:
            yield f"Only in {run}: {', '.join(names)}."
    if not comparison.pairs:
        yield "No deployment has the same name in both runs, so there are no ratios."


def changed(pair: Pair, level: int, metric: str) -> bool:
    """Whether the ratio differs from 1 by more than chance and than the margin."""
    verdict = pair.verdict
    if (metric, level) == (verdict.metric, verdict.level):
        return verdict.verdict in ("BETTER", "WORSE")
    return any(one.changed for one in verdict.changes if (one.metric, one.level) == (metric, level))


def doubts(comparison: Comparison, pair: Pair) -> list[str]:
    """The verdict's problems without what makes the runs unlike, which is told above."""
    return [one for one in pair.verdict.problems if one not in unlike(comparison.differences)]


def _ratio(pair: Pair, level: LevelRatios, metric: str) -> Text:
    bold = changed(pair, level.level, metric)
    return Text(numbers.ratio_estimate(level.ratios[metric]), style="bold" if bold else "")


def _remarks(comparison: Comparison, pair: Pair, level: LevelRatios) -> list[str]:
    """Problems of a level, and which of the two was not in a steady state."""
    sides = {"A": comparison.a.of(pair.a), "B": comparison.b.of(pair.b)}
    moving = [
        f"{side} is {states.said(point)}"
        for side, points in sides.items()
        for point in points
        if point.level == level.level and states.moving(point)
    ]
    return [*level.problems, *moving]


def _levels(
    comparison: Comparison, pair: Pair
) -> Iterator[tuple[LevelRatios, Point, Point, list[str]]]:
    """Each level with its point in A and in B, and what there is to say of them."""
    a = {point.level: point for point in comparison.a.of(pair.a)}
    b = {point.level: point for point in comparison.b.of(pair.b)}
    for level in pair.levels:
        yield level, a[level.level], b[level.level], _remarks(comparison, pair, level)
