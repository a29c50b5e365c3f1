"""
`junit.xml`: the run as test cases, for CI.

A case for each SLO, capacity and verdict, one for each deployment that fails most requests at every
level, and one for each measurement: a level on a deployment.
What was missed, or got worse, is a failure; what could not be decided or measured is skipped, with
the reason. The time of a case is what was measured, in seconds; SLOs, capacities and verdicts are
drawn from the measurements, and took none.
"""

from collections.abc import Iterator
from io import BytesIO

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from loadtests.analysis.capacity import result
from loadtests.analysis.capacity.margins import Bounds
from loadtests.analysis.numbers import load
from loadtests.characters import for_xml
from loadtests.outcomes import answering_nothing_well
from loadtests.results import Capacity, Point, Run, SloResult, Verdict

Outcome = type[Failure] | type[Skipped]

_ASKED = Bounds(lowest=1, highest=1, within=0.0)  # of these the resolution alone counts


def render(run: Run) -> bytes:
    suite = TestSuite(for_xml(f"brownout {run.name}"))
    suite.timestamp = run.started
    properties = [("run", run.id), ("status", run.status)]
    for name, value in [*properties, *(("problem", problem) for problem in run.problems)]:
        suite.add_property(name, for_xml(value))
    suite.add_testcases([*_cases(run)])
    root = JUnitXml(for_xml(run.name))
    root.add_testsuite(suite)
    content = BytesIO()
    root.write(content)
    return content.getvalue() + b"\n"


FILES = {"junit.xml": render}


def _cases(run: Run) -> Iterator[TestCase]:
    yield from map(_slo, run.slos)
    for name, found in run.capacities.items():
        yield _capacity(name, found)
    yield from map(_verdict, run.verdicts)
    for name in answering_nothing_well(run):
        why = "most requests failed at every level"
        yield _case(name, "answers", Failure, "failed", why)
    yield from (_measurement(point) for point in run.points if point.request == "all")


def _slo(slo: SloResult) -> TestCase:
    outcomes: dict[str, Outcome] = {"missed": Failure, "unresolved": Skipped}
    name = f"{slo.name}: {slo.text}"
    return _case(slo.deployment, name, outcomes.get(slo.status), slo.status, slo.why)


def _capacity(name: str, found: Capacity) -> TestCase:
    if result.misses_everywhere(found):
        return _case(name, "capacity", Failure, "missed", found.why)
    if result.undecided(found, _ASKED):
        return _case(name, "capacity", Skipped, "unresolved", found.why)
    return _case(name, "capacity", None, "found", found.why)


def _verdict(verdict: Verdict) -> TestCase:
    outcomes: dict[str, Outcome] = {"WORSE": Failure, "UNRESOLVED": Skipped, "INVALID": Skipped}
    at = "" if verdict.level is None else f" at {verdict.level}"
    name = f"{verdict.title}: {verdict.metric}{at}"
    kind = verdict.verdict
    return _case(verdict.b, name, outcomes.get(kind), kind, verdict.sentence)


def _measurement(point: Point) -> TestCase:
    outcome = None if point.valid else Skipped
    name = f"measured at {load(point.level, point.model)}"
    why = "; ".join(point.problems)
    return _case(point.deployment, name, outcome, "invalid", why, point.seconds)


def _case(
    deployment: str,
    name: str,
    outcome: Outcome | None,
    kind: str,
    why: str,
    seconds: float = 0.0,
) -> TestCase:
    """Passed when there is no outcome; `why` is then its output."""
    case = TestCase(for_xml(name), for_xml(deployment), round(seconds, 3))
    if outcome is not None:
        case.result = [outcome(for_xml(why), kind)]
    elif why:
        case.system_out = for_xml(why)
    return case
