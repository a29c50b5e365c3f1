"""Findings in words, for the terminal and the page."""

from collections import Counter
from collections.abc import Sequence

from rich.text import Text

from loadtests.claims.experiment import ClaimCase, Finding, Unit
from loadtests.report.text import numbers
from loadtests.results import Estimate

STYLES = {"confirmed": "bold green", "refuted": "bold red", "true only when": "bold yellow"}
OPEN = "not measured"


def lines(finding: Finding) -> Text:
    """The verdict and the statement, then what came of each case."""
    verdict = finding.verdict or OPEN
    text = Text.assemble((verdict, STYLES.get(verdict, "bold")), f"  {finding.experiment.claim}")
    for case in finding.cases:
        text.append(
            f"\n  {case.when}: {case.what} {measured(case)}"
            f" (if so {value(case.unit, case.if_true)}, if not {value(case.unit, case.if_false)},"
            f" predicted {value(case.unit, case.predicted)})",
            style="" if case.holds is not None else "dim",
        )
    if finding.why:
        text.append(f"\n  {finding.why}", style="dim")
    return text


def summary(findings: Sequence[Finding]) -> str:
    """How many of each verdict, and how often the model was right."""
    verdicts = Counter(finding.verdict or OPEN for finding in findings)
    parts = [f"{count} {verdict}" for verdict in (*STYLES, OPEN) if (count := verdicts[verdict])]
    cases = [case for finding in findings for case in finding.cases]
    near = sum(case.as_predicted for case in cases)
    counted = f"{len(findings)} statement{'s' if len(findings) != 1 else ''}"
    if not findings:
        return "No statement was measured."
    return f"{counted}: {', '.join(parts)}. {near} of {len(cases)} cases came as predicted."


def value(unit: Unit, number: float) -> str:
    match unit:
        case "seconds":
            return numbers.duration(number)
        case "per second":
            return numbers.rate_estimate(Estimate(value=number))
        case "share":
            return numbers.percent(number)
        case "number":
            return f"{number:.3g}"


def measured(case: ClaimCase) -> str:
    """The measured value, with its interval if there is more than one value."""
    found = case.measured
    if found.low is None or found.high is None or found.low == found.high:
        return value(case.unit, found.value)
    match case.unit:
        case "seconds":
            return numbers.duration_estimate(found)
        case "per second":
            return numbers.rate_estimate(found)
        case "share":
            low, high = (numbers.percent(max(end, 0.0)) for end in (found.low, found.high))
            return f"{numbers.percent(max(found.value, 0.0))} ({low} to {high})"
        case "number":
            return numbers.ratio_estimate(found)
