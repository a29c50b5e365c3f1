"""The exit code of a run: what it comes from, and what `--unresolved` may change."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.analysis.collapse import answers_nothing_well, first_collapsed, skipped
from loadtests.outcomes import Ending, Outcome, endings_of, exit_code
from loadtests.results import Errors, Estimate, Point, Run, SloResult, Verdict
from mock_upstream import standard_streams

CODES = {"interrupted": 130, "died": 4, "failed": 1, "invalid": 3, "unresolved": 3, "fine": 0}


def point(level=1, rate=0.0, p95=0.1, name="a", model="closed", requests=500, **more):
    return Point(
        deployment=name, request="all", model=model, level=level, requests=requests,
        seconds=5.0, throughput=Estimate(value=100 * (1 - rate)), service_time={},
        response_time={"p95": Estimate(value=p95)} if p95 else {}, errors=Errors(rate=rate), **more,
    )  # fmt: skip


def run(*points, **more):
    return Run(id="r", name="r", started="", points=list(points), **more)


def slo(status, valid=True):
    return SloResult(name="x", text="t", deployment="a", status=status, valid=valid, why="w.")


def verdict(kind, method="interleaved"):
    return Verdict(
        verdict=kind, method=method, a="a", b="b", metric="p95", level=1, margin=0.05, sentence="s"
    )


def codes(found, unresolved):
    return Outcome(Path(), found, frozenset(endings_of(found))).exit_code(unresolved)


@pytest.mark.parametrize("unresolved", [None, "pass", "fail"])
@pytest.mark.parametrize("ending", Ending)
def test_only_unresolved_outcomes_are_changed_by_the_option(ending, unresolved):
    expected = CODES[ending.value]
    if ending is Ending.UNRESOLVED and unresolved:
        expected = {"pass": 0, "fail": 1}[unresolved]
    assert exit_code({ending}, unresolved) == expected


@given(st.sets(st.sampled_from(Ending)))
def test_a_failure_stays_a_failure_next_to_unresolved_results(endings):
    red = endings - {Ending.FINE, Ending.UNRESOLVED}
    assert (exit_code(endings, "pass") == 0) == (not red)
    if red:
        assert exit_code(endings | {Ending.UNRESOLVED}, "pass") == exit_code(red)
    more = {*endings, Ending.FAILED}
    assert exit_code(more, "pass") in (1, 4, 130)


@pytest.mark.parametrize(
    ("found", "plain", "passing"),
    [
        (run(), 0, 0),
        (run(slos=[slo("met")]), 0, 0),
        (run(slos=[slo("missed"), slo("unresolved")]), 1, 1),
        (run(slos=[slo("unresolved")]), 3, 0),
        (run(slos=[slo("unresolved", valid=False)]), 3, 3),
        (run(slos=[slo("unresolved"), slo("unresolved", valid=False)]), 3, 3),
        (run(verdicts=[verdict("WORSE")]), 1, 1),
        (run(verdicts=[verdict("UNRESOLVED")]), 3, 0),
        (run(verdicts=[verdict("INVALID")]), 3, 3),
        (run(verdicts=[verdict("EQUIVALENT")]), 0, 0),
    ],
)
def test_each_part_of_a_run_has_its_exit_code(found, plain, passing):
    assert codes(found, None) == plain
    assert codes(found, "pass") == passing


def test_a_deployment_that_answers_nothing_well_is_a_failure():
    broken = [point(1, 1.0, None, "b"), point(10, 0.6, 0.1, "b")]
    fine = [point(1, 0.0), point(10, 0.9)]
    assert codes(run(*fine), "pass") == 0
    assert codes(run(*fine, *broken), "pass") == 1
    assert codes(run(*broken, verdicts=[verdict("INVALID")]), "pass") == 3
    assert not answers_nothing_well([])
    assert not answers_nothing_well([point(1, 0.0, requests=0)])


def test_a_deployment_without_a_level_that_counts_was_not_measured():
    without = [point(1, name="b", requests=0), point(10, 0.3, 0.1, "b", valid=False)]
    assert codes(run(point(1, 0.0), *without), "pass") == 3
    assert codes(run(point(1, 0.0), *without, point(40, 0.0, None, "b")), "pass") == 0
    noisy = point(40, 0.0, None, "b", valid=False, noisy=True)  # its intervals hold
    assert codes(run(point(1, 0.0), *without, noisy), "pass") == 0
    assert codes(run(*without, slos=[slo("missed")]), "pass") == 1
    assert codes(run(*without, verdicts=[verdict("EQUIVALENT")]), "pass") == 0


def test_failures_of_levels_that_are_not_valid_do_not_fail_a_deployment_alone():
    stopped = point(1, 1.0, None, valid=False)
    assert not answers_nothing_well([stopped])
    assert answers_nothing_well([stopped, point(10, 1.0, None)])


def test_the_levels_that_a_collapse_left_out_are_said_with_the_reason():
    points = [point(1), point(10, p95=0.3), point(40, p95=2.4)]
    assert first_collapsed(points)[0].level == 40
    assert skipped("a", points, [1, 10, 40, 80, 160]) == (
        "a was not measured at 80 and 160 users, because at 40 users p95 is 2.4 s, more than 2 s."
    )
    assert skipped("a", [*points, point(160, 1.0, None)], [1, 10, 40, 80, 160]) == (
        "a was not measured at 80 users, because at 40 users p95 is 2.4 s, more than 2 s."
    )
    assert skipped("a", points, [1, 10, 40]) == ""
    assert skipped("a", points[:2], [1, 10, 40]) == ""  # the run was interrupted


def test_a_slow_upstream_a_failure_and_an_unstable_rate_have_different_outcomes():
    slow = [point(1, p95=3.05), point(10, p95=9.0)]
    assert skipped("a", slow, [1, 10, 20]) == ""
    assert "30 % of" not in skipped("a", [point(1, rate=0.3)], [1, 5])
    assert skipped("a", [point(1, rate=0.6)], [1, 5]) == (
        "a was not measured at 5 users, because at 1 user 60 % of the requests fail."
    )
    unstable = point(400, p95=None, model="open", steady="over-saturated")
    assert skipped("a", [unstable], [400, 800]) == (
        "a was not measured at 800/s, because at 400/s it answers 100/s of 400/s."
    )


@pytest.mark.parametrize("code", ["a text", "", [1], 2.5])
def test_a_library_that_exits_without_a_number_has_crashed(code):
    assert standard_streams._code(code, []) == standard_streams.CRASHED
