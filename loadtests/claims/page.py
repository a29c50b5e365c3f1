"""`claims.md`: all findings on one page, with pictures."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from loadtests.claims import picture, text
from loadtests.claims.experiment import ClaimCase, Finding
from loadtests.claims.measurements import Measurement
from loadtests.report import writing
from loadtests.report.charts import figures
from loadtests.report.charts.pictures import PictureFailed
from loadtests.report.outputs.markdown import escaped, table

_CURVES = 3  # levels from which on a curve says more than a number

_ABOUT = """\
Each statement about FastAPI and HTTP clients is tested by experiment. A table shows the measured
value, the value that theory predicts from the settings, and the values for which the statement is
true. The verdict follows from the numbers: *confirmed* if every case agrees with the statement,
*refuted* if no case does, otherwise *true only when*. Intervals are 95 %; counts have none.

<!-- not run: nine minutes; tests/end_to_end/test_claims.py plays parts of it -->
```bash
brownout claims
```
"""
_KEY = """\
A dot is a measurement with its interval, and a ring is the prediction. Blue: the statement is true;
orange: it is not. Values outside of the plot are drawn at its edge."""


def write(findings: Sequence[Finding], seen: Mapping[str, Measurement], folder: Path) -> Path:
    """Write the page into the folder, its pictures into `claims/` in it; the page's path."""
    pictures = folder / "claims"
    pictures.mkdir(exist_ok=True)
    drawn = [name for name, one in seen.items() if _levels(one) >= _CURVES]
    page = folder / "claims.md"
    writing.replace(
        page, render(findings, {name: seen[name] for name in drawn}).encode(), private=False
    )
    renders = {name: partial(figures.svg, seen[name].run) for name in drawn}
    if any(finding.cases for finding in findings):
        renders["cases"] = partial(picture.svg, findings)
    for name, draw in renders.items():
        with suppress(PictureFailed):  # the page says in words what it would show
            writing.replace(pictures / f"{name}.svg", draw().encode(), private=False)
    return page


def render(findings: Sequence[Finding], drawn: Mapping[str, Measurement]) -> str:
    """
    Args:
        drawn: the plans whose curves are shown, by name.
    """
    blocks = ["# Frequent statements, measured", _ABOUT.strip()]
    blocks.append(f"**{text.summary(findings)}**{_where(drawn)}")
    header = ["statement", "verdict", "why"]
    rows = [
        [one.experiment.claim, one.verdict or text.OPEN, one.why or one.experiment.theory]
        for one in findings
    ]
    blocks.append(table(header, rows))
    if any(finding.cases for finding in findings):
        blocks.append(f"![Every case: measured, predicted](claims/cases.svg)\n\n{_KEY}")
    for finding in findings:
        blocks += _section(finding)
    for name, one in drawn.items():
        about = f"Plan `{name}`: p95 and throughput"
        blocks += [f"## {about}", f"![{about}](claims/{name}.svg)", _requests(one)]
    # The statements are Markdown themselves, as far as code goes.
    return "\n\n".join(blocks).replace("\\`", "`") + "\n"


def _section(finding: Finding) -> list[str]:
    experiment = finding.experiment
    because = f": {escaped(finding.why)}" if finding.why else ""
    found = [
        f"## {escaped(experiment.claim)}",
        f"**{(finding.verdict or text.OPEN).capitalize()}**{because}.",
        escaped(experiment.theory),
    ]
    if finding.cases:
        header = ["case", "measure", "if it held", "if not", "predicted", "measured"]
        found.append(table(header, [_row(case) for case in finding.cases]))
    plans = ", ".join(f"`{name}`" for name in experiment.plans)
    found.append(f"`brownout claims --only {experiment.name}` plays {plans}.")
    return found


def _row(case: ClaimCase) -> list[str]:
    numbers = (case.if_true, case.if_false, case.predicted)
    off = "" if case.as_predicted else " (not as predicted)"
    texts = [text.value(case.unit, number) for number in numbers]
    return [case.when, case.what, *texts, text.measured(case) + off]


def _levels(seen: Measurement) -> int:
    return len({point.level for point in seen.run.points})


def _requests(seen: Measurement) -> str:
    paths = ", ".join(f"`{request.path}`" for request in seen.plan.requests)
    return (
        f"All requests of the plan together: {paths}; an upstream of {seen.plan.upstream.latency}."
    )


def _where(drawn: Mapping[str, Measurement]) -> str:
    """The machine, as the first run tells it."""
    for one in drawn.values():
        facts = one.run.environment
        return f" On {facts.get('cpu')}, {facts.get('cores')} cores, Python {facts.get('python')}."
    return ""
