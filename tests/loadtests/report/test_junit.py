"""junit.xml, read again as CI reads it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from junitparser import Failure, JUnitXml, Skipped

from loadtests.report.outputs import junit
from loadtests.results import Errors, Verdict
from tests.support import example_runs


def suite_of(run):
    (suite,) = JUnitXml.fromstring(junit.render(run))
    return suite


def cases(run):
    return {(case.classname, case.name): case for case in suite_of(run)}


def outcome(case):
    return [(type(one), one.message) for one in case.result]


def test_a_run_is_one_suite_that_says_which_run_it_is():
    run = example_runs.example()
    suite = suite_of(run)
    assert (suite.name, suite.timestamp) == ("brownout example", run.started)
    assert [(one.name, one.value) for one in suite.properties()] == [
        ("run", run.id),
        ("status", "complete"),
        ("problem", run.problems[0]),
    ]


def test_the_suite_counts_its_cases_and_the_seconds_that_were_measured():
    run = example_runs.example()
    suite = suite_of(run)
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (4 + 21, 1, 0, 2)
    assert suite.time == pytest.approx(21 * example_runs.SECONDS)


def test_each_slo_on_each_deployment_is_met_missed_or_skipped():
    found = cases(example_runs.example())
    assert outcome(found["blocking-requests", "p95: p95 < 250ms at 40"]) == []
    assert outcome(found["async-aiohttp", "p95: p95 < 250ms at 40"]) == []
    missed = found["async-httpx", "calm: errors < 0.1%"]
    assert outcome(missed) == [(Failure, "7.6 % of the requests fail at 160 users.")]
    unresolved = found["async-httpx", "p99: p99 < 200ms at 1"]
    why = "p99 at 1 user needs 368 successful requests and has 88."
    assert outcome(unresolved) == [(Skipped, why)]
    met = found["blocking-requests", "p95: p95 < 250ms at 40"]
    assert met.system_out == "p95 at 40 users is 80.3 ms, below 250 ms."


def test_a_point_that_is_not_valid_is_skipped_with_its_problems():
    found = cases(example_runs.example())
    reason = "the generator was the bottleneck: 96 % of its core"
    assert outcome(found["async-httpx", "measured at 80 users"]) == [(Skipped, reason)]
    valid = found["async-httpx", "measured at 1 user"]
    assert (outcome(valid), valid.time) == ([], example_runs.SECONDS)


def test_a_deployment_that_fails_most_requests_at_every_level_is_a_failure():
    run = example_runs.example()

    def failing(point):
        if point.deployment != "async-httpx":
            return point
        return point.model_copy(update={"errors": Errors(rate=1.0, kinds={"404": 9})})

    found = cases(run.model_copy(update={"points": [failing(point) for point in run.points]}))
    failed = [(Failure, "most requests failed at every level")]
    assert outcome(found["async-httpx", "answers"]) == failed
    assert ("async-aiohttp", "answers") not in found


def test_a_request_of_several_has_no_case_of_its_own():
    run = example_runs.example()
    part = run.points[0].model_copy(update={"request": "/data"})
    more = run.model_copy(update={"points": [*run.points, part]})
    assert len(suite_of(more)) == len(suite_of(run))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("BETTER", None),
        ("EQUIVALENT", None),
        ("WORSE", Failure),
        ("UNRESOLVED", Skipped),
        ("INVALID", Skipped),
    ],
)
def test_a_verdict_fails_when_it_is_worse_and_is_skipped_when_there_is_none(kind, expected):
    verdict = Verdict(
        verdict=kind,
        method="interleaved",
        a="base",
        b="head",
        metric="p95",
        level=40,
        margin=0.05,
        sentence="p95 of head is 1.02 times that of base.",
    )
    run = example_runs.example().model_copy(update={"verdicts": [verdict]})
    case = cases(run)["head", "head against base: p95 at 40"]
    assert outcome(case) == ([(expected, verdict.sentence)] if expected else [])
    assert case.system_out == (None if expected else verdict.sentence)


def test_a_capacity_fails_when_the_lowest_level_breaks_and_is_skipped_while_it_is_wide():
    run = example_runs.searched()
    wide = run.capacities["blocking-requests"]
    narrow = wide.model_copy(update={"low": 78.0, "high": 81.0})
    run = run.model_copy(update={"capacities": run.capacities | {"narrow": narrow}})
    found = {
        name: outcome(case) for (name, title), case in cases(run).items() if title == "capacity"
    }
    assert found == {
        "blocking-requests": [(Skipped, wide.why)],
        "async-httpx": [(Failure, "errors < 0.1% fails at 1 user")],
        "async-aiohttp": [],
        "narrow": [],
    }


def test_levels_of_the_open_model_are_rates():
    assert outcome(cases(example_runs.open_model())["blocking-requests", "measured at 400/s"]) == []


def test_a_run_of_nothing_is_a_suite_without_cases():
    empty = example_runs.example().model_copy(update={"points": [], "slos": [], "problems": []})
    assert suite_of(empty).tests == 0


texts = st.text(st.characters() | st.sampled_from("\x00\x07\x1b\x7f\ud800\ufffe<&>\"'\r\n\t]"))


@given(name=texts, why=texts)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_text_breaks_the_file(name, why):
    run = example_runs.renamed(example_runs.example(), "async-httpx", name)
    slos = [slo.model_copy(update={"name": name, "why": why}) for slo in run.slos]
    run = run.model_copy(update={"name": name, "slos": slos, "problems": [why]})
    suite = suite_of(run)
    assert suite.tests == len([*suite]) == 25
    shown = {one.message for case in suite for one in case.result if isinstance(one, Failure)}
    if why.isprintable() and why.strip():
        assert shown == {why}
