"""`summary.md`: the run in a screenful, for a pull request or a CI page; without the picture."""

import re

from loadtests.analysis import outside
from loadtests.analysis.summary import sentence
from loadtests.analysis.verdicts.stored import NOTE
from loadtests.report.charts import ceilings, curves, verdicts
from loadtests.report.outputs.terminal import CLOCKS
from loadtests.report.text import limits, quantities, states
from loadtests.results import Point, Run, Verdict

_VERDICTS = {"BETTER": "✅", "WORSE": "❌", "EQUIVALENT": "✅", "UNRESOLVED": "❔", "INVALID": "⚠️"}
_STATUS = {"met": "✅ met", "missed": "❌ missed", "unresolved": "❔ unresolved"}


PICTURE = "![p95 and throughput against the level](curves.svg)"


def render(run: Run, *, picture: bool = True) -> str:
    names = curves.names(run)
    lines = curves.of_run(run)
    unit, clocks = curves.unit(lines), ["service"] if curves.is_open(lines) else []
    blocks = [f"## brownout: {escaped(run.name)}"]
    if run.status == "interrupted":
        blocks.append("**Interrupted**: this is what was measured until then.")
    if any(one.method == "stored" for one in run.verdicts):
        blocks.append(NOTE)
    for one in run.verdicts:
        blocks.append(f"**{_VERDICTS[one.verdict]} {escaped(one.sentence)}**")
        blocks.append("\n".join(f"- ⚠️ {escaped(problem)}" for problem in one.problems))
        blocks.append(escaped(_besides(run, one)))
        rows = [[*cells, "yes" if apart else "no"] for *cells, apart in _changes(run, one)]
        if rows:
            blocks.append(table(["metric", "change", "95 % interval", "more than chance"], rows))
    blocks.append("\n".join(f"- {escaped(_told(run, name))}" for name in names))
    if picture:
        blocks.append(PICTURE)
    if run.problems:
        blocks.append("\n".join(f"- ⚠️ {escaped(problem)}" for problem in run.problems))
    if run.slos:
        header = ["SLO", "deployment", "result", "measured", "why"]
        rows = [
            [
                f"{slo.name}: {slo.text}",
                slo.deployment,
                _STATUS[slo.status],
                quantities.slo_estimate(slo.text, slo.measured),
                slo.why,
            ]
            for slo in run.slos
        ]
        blocks.append(table(header, rows))
    if run.capacities:
        blocks.append(table(["capacity of", unit, "why"], _capacities(run)))
    header = [unit, "deployment", "throughput", "p50", "p95", "p99", *clocks, "errors", "state"]
    points = [point for name in names for point in run.of(name)]
    points.sort(key=lambda point: point.level)
    limited = limits.any_of(points)
    header += ["limit"] if limited else []
    blocks.append(table(header, [_row(point, limited) for point in points]))
    if clocks:
        blocks.append(CLOCKS)
    if any(not point.valid for point in points):
        broken = [
            f"{p.deployment} at {p.level}: {'; '.join(p.problems)}" for p in points if not p.valid
        ]
        blocks.append("\\* not valid: " + escaped(". ".join(broken)))
    noisy = [f"{p.deployment} at {p.level}: {quantities.noise(p)}" for p in points if noted(p)]
    if noisy:
        blocks.append("Without what disturbed it: " + escaped(". ".join(noisy)))
    knees = [
        [
            name,
            quantities.knee_level(knee),
            quantities.MISSING if knee.throughput is None else f"{knee.throughput:,.0f}/s",
            quantities.beyond(knee),
            knee.limit or quantities.MISSING,
        ]
        for name, knee in run.knees.items()
    ]
    if knees:
        header = ["knee of", unit, "throughput there", "beyond it", "limit"]
        if not limited:
            header, knees = header[:-1], [row[:-1] for row in knees]
        blocks.append(table(header, knees))
    predicted = [
        [
            line.name,
            met.ceiling.resource,
            "; ".join(filter(None, (met.origin, met.ceiling.finding))),
            quantities.rate(met.ceiling.throughput),
            quantities.rate_estimate(met.measured),
            quantities.MISSING if met.ratio is None else quantities.proportion(met.ratio),
        ]
        for line in lines
        for met in ceilings.met(line)
    ]
    if predicted:
        header = ["ceiling of", "resource", "from", "predicted", "measured", "measured / predicted"]
        blocks.append(table(header, predicted))
    return "\n\n".join(filter(None, blocks)) + "\n"


FILES = {"summary.md": render}


def _told(run: Run, name: str) -> str:
    return " ".join(filter(None, (sentence(run, name), outside.line(run.of(name)))))


def noted(point: Point) -> bool:
    """Whether a point is valid, and was disturbed by enough to say so."""
    return point.valid and any(text.startswith("disturbed") for text in point.problems)


def _row(point: Point, limited: bool) -> list[str]:
    times = [states.response_time(point, quantile) for quantile in ("p50", "p95", "p99")]
    if point.model == "open":
        times.append(quantities.duration_estimate(point.service_time.get("p95")))
    return [
        f"{point.level:,}",
        point.deployment + ("" if point.valid else " *"),
        quantities.rate_estimate(point.throughput),
        *times,
        quantities.errors(point.errors),
        states.said(point),
        *([limits.said(point)] if limited else []),
    ]


def _besides(run: Run, verdict: Verdict) -> str:
    model = next((point.model for point in run.points), "closed")
    return verdicts.also(verdict, model)


def _changes(run: Run, verdict: Verdict) -> list[tuple[str, str, str, bool]]:
    model = next((point.model for point in run.points), "closed")
    return verdicts.changes(verdict, model)


def _capacities(run: Run) -> list[list[str]]:
    return [[name, quantities.capacity(found), found.why] for name, found in run.capacities.items()]


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def escaped(text: str) -> str:
    """Text that Markdown shows as it stands: names come from users."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))
