"""SLOs: met only when all of the interval keeps the promise."""

import pytest
from simulated_engine import (
    SimulatedEngine,
    Station,
    System,
    constant,
    exponential,
    ladder,
    threads,
)

from loadtests.analysis.knees import knee
from loadtests.analysis.points import points
from loadtests.analysis.slo_results import Evidence, slo_result
from loadtests.slos import parse

LEVELS = (1, 5, 10, 20, 40)
FINE = threads(10, constant(0.05))
FAILING = System([Station(constant(0.05), 100)], failing=lambda n: 0.1 if n == 40 else 0.0)


def judged(text, system=FINE, levels=LEVELS, planned=LEVELS, **options):
    records = ladder(SimulatedEngine({"a": system}, **options), "a", levels)
    found = [point for point in points(records) if point.request == "all"]
    evidence = Evidence(
        deployment="a",
        levels=planned,
        points={point.level: point for point in found},
        records=records,
        knee=knee(found, 0.0),
    )
    return slo_result("slo", parse(text), evidence)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("p95 < 60ms at 10", "met"),
        ("p95 > 60ms at 10", "missed"),
        ("p95 < 60ms at 40", "missed"),
        ("mean < 60ms at 10", "met"),
        ("throughput > 150/s at 20", "met"),
        ("throughput > 250/s at 20", "missed"),
        ("errors <= 5% at 40", "met"),
        ("errors <= 0%", "met"),
        ("knee > 9", "met"),
        ("knee > 11", "missed"),
    ],
)
def test_a_clear_case_is_met_or_missed(text, status):
    assert judged(text).status == status


def test_a_threshold_within_the_interval_is_unresolved_and_says_so():
    system = threads(100, exponential(0.05))
    seen = judged("p95 < 150ms at 10", system)
    assert seen.measured.low < 0.15 < seen.measured.high
    assert seen.status == "unresolved"
    assert seen.why.endswith("its 95 % interval holds the threshold.")


@pytest.mark.parametrize(
    "text", ["p95 < 9s at 40", "errors < 50% at 40", "errors < 50%", "throughput > 1/s at 40"]
)
def test_a_level_that_was_not_measured_is_unresolved(text):
    seen = judged(text, levels=(1, 5, 10, 20))
    assert (seen.status, seen.measured) == ("unresolved", None)
    assert seen.why == "40 users were not measured."


def test_an_invalid_point_is_unresolved_and_gives_the_reason():
    seen = judged("p95 < 9s at 10", cpu=0.99)
    assert seen.status == "unresolved"
    assert "the load generator was the bottleneck" in seen.why


def test_too_few_requests_are_unresolved():
    seen = judged("p99 < 9s at 1")
    assert seen.status == "unresolved"
    assert "too few" in seen.why


def test_a_failure_is_too_slow_for_every_quantile_that_it_reaches():
    assert judged("p50 < 60ms at 40", FAILING).status == "met"
    seen = judged("p95 < 60ms at 40", FAILING)
    assert (seen.status, seen.measured) == ("missed", None)
    assert "of the requests at 40 users fail, which counts as too slow" in seen.why
    assert judged("mean < 60ms at 40", FAILING).status == "missed"


def test_a_quick_failure_never_improves_a_quantile():
    slow = System([Station(constant(0.5), 100)], failing=lambda n: 0.3)
    assert judged("p95 < 400ms at 40", slow).status == "missed"


def test_errors_at_every_level_are_missed_when_one_level_misses():
    seen = judged("errors < 1%", FAILING)
    assert seen.status == "missed"
    assert "at 40 users failed" in seen.why


def test_no_failure_among_few_requests_does_not_prove_that_they_are_rare():
    assert judged("errors < 0.001% at 40").status == "unresolved"
    assert judged("errors < 1% at 40").status == "met"


def test_a_knee_beyond_the_levels_meets_what_they_reach_and_no_more():
    endless = System([Station(constant(0.05))])
    assert judged("knee > 30", endless).status == "met"
    assert judged("knee < 30", endless).status == "missed"
    assert judged("knee > 100", endless).status == "unresolved"
    assert judged("knee > 1", endless, levels=(1, 5)).status == "unresolved"
