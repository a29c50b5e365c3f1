"""SLOs: met only when all of the interval keeps the promise."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    return slo_result("slo", parse(text), evidence("a", system, levels, planned, **options))


def evidence(name, system=FINE, levels=LEVELS, planned=LEVELS, **options):
    records = ladder(SimulatedEngine({name: system}, **options), name, levels)
    found = [point for point in points(records) if point.request == "all"]
    return Evidence(
        deployment=name,
        levels=planned,
        points={point.level: point for point in found},
        records=records,
        knee=knee(found),
    )


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


SYSTEMS = {
    "fine": FINE,
    "quick": threads(20, constant(0.04)),  # 0.8 of the time of "fine" up to 10 users, 0.4 beyond
    "noisy": threads(100, exponential(0.05)),
    "endless": System([Station(constant(0.05))]),
    "failing": FAILING,
    "broken": System([Station(constant(0.02), 100)], failing=lambda n: 0.1),
    "verge": System([Station(constant(0.05), 100)], failing=lambda n: 0.05),
    "rare": System([Station(constant(0.02), 100)], failing=lambda n: 0.002),
    "dead": System([Station(constant(0.02), 100)], failing=lambda n: 1.0),
}
FEW = (1, 5, 10, 20)  # levels


@cache
def measured(name, system, levels=LEVELS, **options):
    return evidence(name, SYSTEMS[system], levels, **options)


def compared(text, a, b, **options):
    """Of two deployments; a and b name their systems, or are (name, levels that were measured)."""
    sides = [
        measured(name, *(one if isinstance(one, tuple) else (one,)), **options)
        for name, one in (("a", a), ("b", b))
    ]
    return slo_result("slo", parse(text), *sides)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("p95(a) < 0.9 * p95(b) at 10", "met"),
        ("p95(a) < 0.7 * p95(b) at 10", "missed"),
        ("p95(a) < p95(b) at 40", "met"),
        ("p95(a) > p95(b) at 40", "missed"),
        ("mean(a) < 0.5 * mean(b) at 40", "met"),
        ("throughput(a) > 2 * throughput(b) at 40", "met"),
        ("throughput(a) > throughput(b) * 3 at 40", "missed"),
        ("knee(a) > 1.5 * knee(b)", "met"),
        ("knee(a) > 2.5 * knee(b)", "missed"),
    ],
)
def test_a_ratio_is_met_or_missed_by_the_factor(text, status):
    seen = compared(text, "quick", "fine")
    assert (seen.status, seen.deployment) == (status, "a")
    assert seen.measured.low <= seen.measured.value <= seen.measured.high


def test_a_ratio_is_told_with_both_numbers_and_its_interval():
    seen = compared("p95(a) < 0.9 * p95(b) at 10", "quick", "fine")
    assert seen.why == "p95 at 10 users is 40 ms on a and 50 ms on b, a ratio of 0.8 (0.8 to 0.8)."
    seen = compared("knee(a) > 1.5 * knee(b)", "quick", "fine")
    assert seen.why.startswith("the knee is 20 users on a and 10 users on b, a ratio of 2 (1.9")


def test_a_factor_within_the_interval_of_the_ratio_is_unresolved():
    seen = compared("p95(a) < p95(b) at 10", "noisy", "noisy")
    assert seen.measured.low < 1 < seen.measured.high
    assert seen.status == "unresolved"
    assert seen.why.endswith("), and the 95 % interval of the ratio holds 1.")
    assert compared("p95(a) < 2 * p95(b) at 10", "noisy", "noisy").status == "met"


@pytest.mark.parametrize("metric", ["p50", "p95", "p99", "mean", "throughput"])
def test_a_side_that_was_not_measured_leaves_a_ratio_unresolved_and_is_named(metric):
    text = f"{metric}(a) < 9 * {metric}(b) at 40"
    few = ("fine", FEW)
    seen = compared(text, "fine", few)
    assert (seen.status, seen.measured) == ("unresolved", None)
    assert seen.why == "b: 40 users were not measured."
    assert compared(text, few, "fine").why == "a: 40 users were not measured."
    both = compared(text, few, few)
    assert both.why == "a: 40 users were not measured; b: 40 users were not measured."
    assert both.status == "unresolved"


def test_a_ratio_of_what_is_invalid_or_too_short_is_unresolved():
    seen = compared("p95(a) < 9 * p95(b) at 10", "fine", "fine", cpu=0.99)
    assert seen.status == "unresolved"
    assert seen.why.count("the load generator was the bottleneck") == 2
    seen = compared("p99(a) < 9 * p99(b) at 1", "fine", "fine")
    assert seen.status == "unresolved"
    assert "b: " in seen.why
    assert "are too few" in seen.why


@pytest.mark.parametrize("metric", ["p95", "p99", "mean"])
def test_a_failing_deployment_is_never_faster(metric):
    seen = compared(f"{metric}(a) < 9 * {metric}(b) at 10", "broken", "fine")
    assert (seen.status, seen.measured) == ("missed", None)
    assert seen.why.startswith("a: ")
    assert "of the requests at 10 users fail" in seen.why
    both = compared(f"{metric}(a) < 9 * {metric}(b) at 10", "broken", "broken")
    assert (both.status, both.measured) == ("unresolved", None)
    assert both.why.endswith("which gives no ratio.")


def test_a_quantile_is_faster_than_one_that_fails_and_a_mean_is_not():
    assert compared("p95(a) < 0.5 * p95(b) at 10", "fine", "broken").status == "met"
    assert compared("p50(a) < 0.5 * p50(b) at 10", "fine", "broken").status == "missed"
    seen = compared("mean(a) < 0.5 * mean(b) at 10", "fine", "rare")
    assert seen.status == "unresolved"
    assert seen.why.endswith("no mean is slow enough, so there is no mean to be better than.")


def test_a_quantile_that_may_just_fail_leaves_a_ratio_unresolved():
    seen = compared("p95(a) < 2 * p95(b) at 10", "verge", "fine")
    assert seen.status == judged("p95 < 100ms at 10", SYSTEMS["verge"]).status == "unresolved"
    assert "a ratio of 1 (at least " in seen.why


def test_nothing_answered_is_no_throughput_to_be_better_than():
    assert compared("throughput(a) > 0.1 * throughput(b) at 10", "dead", "fine").status == "missed"
    seen = compared("throughput(a) > 9 * throughput(b) at 10", "fine", "dead")
    assert seen.status == "unresolved"
    assert seen.why.endswith(" and 0/s on b, so there is no throughput to be better than.")
    seen = compared("throughput(a) > 0.1 * throughput(b) at 10", "dead", "dead")
    assert (seen.status, seen.measured) == ("unresolved", None)


def test_a_knee_beyond_the_levels_is_as_far_as_they_reach():
    assert compared("knee(a) > 3 * knee(b)", "endless", "fine").status == "met"
    seen = compared("knee(a) > 5 * knee(b)", "endless", "fine")
    assert seen.status == "unresolved"
    assert seen.why.startswith("a: no knee was found up to 40 users; b: the knee is 10 users, a ")
    assert "a ratio of at least 3." in seen.why
    assert compared("knee(a) > knee(b)", "fine", "endless").status == "missed"
    assert "a ratio of at most 0.2" in compared("knee(a) > knee(b)", "fine", "endless").why
    assert compared("knee(a) > knee(b)", "endless", "endless").status == "unresolved"


@given(
    metric=st.sampled_from(["p50", "p95", "p99", "mean", "throughput", "knee"]),
    a=st.sampled_from([*SYSTEMS]),
    b=st.sampled_from([*SYSTEMS]),
    level=st.sampled_from([5, 40]),
    factor=st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]),
    comparison=st.sampled_from("<>"),
)
@settings(max_examples=60)
def test_a_promise_read_from_right_to_left_is_the_same_promise(
    metric, a, b, level, factor, comparison
):
    at = "" if metric == "knee" else f" at {level}"
    there = parse(f"{metric}(a) {comparison} {factor} * {metric}(b){at}")
    back = parse(f"{metric}(b) {'<>'[comparison == '<']} {1 / factor} * {metric}(a){at}")
    first, second = measured("a", a), measured("b", b)
    status = slo_result("slo", there, first, second).status
    assert slo_result("slo", back, second, first).status == status
