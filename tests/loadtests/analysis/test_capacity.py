"""Capacity from trials of which the truth is known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.analysis.capacity.boundary import found
from loadtests.analysis.capacity.margins import Bounds, Slack, Trial, searchable, trial
from loadtests.analysis.capacity.result import capacity, misses_everywhere, undecided
from loadtests.plans.slos import parse
from loadtests.results import Errors, Estimate, Point
from loadtests.schedules.search import next_level

BOUNDS = Bounds(lowest=1, highest=400, within=600.0)
SLOS = {"quick": parse("p95 < 200ms at 1")}


def at(level, margin, error=0.02, name="quick", **options):
    return Trial(level, {name: Slack(margin, error)}, {name: "seen"}, **options)


def said(*trials, bounds=BOUNDS, slos=SLOS):
    return capacity(slos, trials, bounds, "users", 60.0)


def point(level=10, *, p95=0.1, requests=1000, rate=0.0, throughput=100.0, valid=True):
    def about(value):
        return Estimate(value=value, low=0.98 * value, high=1.02 * value)

    times = {"p50": None, "p95": about(p95), "p99": None, "mean": about(p95 / 2)}
    return Point(
        deployment="a",
        request="all",
        level=level,
        requests=requests,
        seconds=5.0,
        throughput=about(throughput),
        response_time=times,
        service_time=times,
        errors=Errors(rate=rate),
        valid=valid,
    )


def judged(text, seen, **slow):
    return trial({"x": parse(text)}, seen, slow or seen.response_time).margins.get("x")


def test_the_capacity_lies_between_met_and_missed_levels():
    result = said(at(10, 0.4), at(40, 0.1), at(44, -0.1), at(80, -0.4))
    assert (result.low, result.high, result.above) == (40, 43, False)
    assert 40 <= result.level <= 43
    assert result.slo == "quick"


def test_a_noisy_look_decides_nothing_and_many_do():
    assert said(at(10, 0.4), at(40, 0.04), at(44, -0.04)).low == 10
    many = said(at(10, 0.4), *[at(40, 0.04), at(44, -0.04)] * 4)
    assert (many.low, many.high) == (40, 43)


def test_levels_near_the_border_inform_each_other():
    alone = said(at(10, 0.4), at(38, 0.05, 0.03), at(44, -0.1, 0.03))
    near = said(*[at(n, math.log(41 / n), 0.03) for n in (10, 32, 36, 38, 39, 42, 44, 46, 50)])
    assert (alone.low, alone.high) == (10, 43)
    assert 36 <= near.low <= 39
    assert 41 <= near.high <= 45


def test_the_highest_level_can_meet_all_slos():
    result = said(at(10, 0.4), at(400, 0.2))
    assert (result.level, result.above, undecided(result, BOUNDS)) == (400, True, False)


def test_the_lowest_level_can_miss_an_slo():
    result = said(at(1, -0.4))
    assert (result.level, result.slo) == (None, "quick")
    assert misses_everywhere(result)
    assert not undecided(result, BOUNDS)


def test_an_undecided_search_says_so():
    for result in (said(), said(Trial(1, {}, {})), said(at(1, 0.001), at(2, -0.001))):
        assert result.level is None
        assert undecided(result, BOUNDS)


def test_the_slo_that_is_missed_first_decides():
    both = SLOS | {"sure": parse("errors < 1%")}
    trials = [
        Trial(level, {"quick": Slack(a, 0.01), "sure": Slack(b, 0.01)}, {"quick": "", "sure": ""})
        for level, a, b in ((10, 0.4, 0.4), (20, 0.3, -0.3), (40, -0.2, -0.4))
    ]
    result = said(*trials, slos=both)
    assert (result.slo, result.low, result.high) == ("sure", 10, 19)


def test_a_service_that_remembers_its_overload_has_a_summary():
    up, down = at(40, 0.2, 0.01), at(40, -0.2, 0.01)
    result = said(*[at(10, 0.4), up, at(80, -0.4), down] * 2)
    assert (result.low, result.high) == (10, 79)
    assert "not from above" in result.why


def test_too_low_a_throughput_at_few_users_is_no_reason_to_stop():
    few = [at(n, -0.4, name="much", rate=10.0 * n, rising=frozenset({"much"})) for n in (1, 2, 4)]
    assert found(few).unreached == "much"
    assert next_level(few, BOUNDS) == 12
    enough = at(8, 0.2, name="much", rate=90.0, rising=frozenset({"much"}))
    assert found([*few, enough]).passing == 8


def test_failures_are_infinitely_slow_and_few_of_them_decide_nothing():
    never = Estimate(value=math.inf, low=math.inf, high=math.inf)
    assert judged("p95 < 200ms at 1", point(rate=0.2), p95=never).value < -0.4
    assert judged("p95 < 200ms at 1", point()).value > 0.4
    assert judged("p95 < 200ms at 1", point(), p95=None) is None
    assert judged("p95 < 200ms at 1", point(valid=False)) is None
    few = judged("errors < 1%", point(rate=0.008, requests=500))
    assert few.value / few.error < 1
    none = judged("errors < 0.001%", point())
    assert none.value / none.error < 0.5
    assert judged("throughput > 90/s at 1", point()).value > 0


def test_no_failures_meet_a_share_with_three_expected_failures():
    def sure(requests, stages=1, effective=None):
        seen = point(requests=requests)
        if effective:
            errors = seen.errors.model_copy(update={"effective": effective})
            seen = seen.model_copy(update={"errors": errors})
        one = trial({"quick": parse("errors < 0.1%")}, seen, {})
        return found([one] * stages).passing == 10

    assert sure(3300)
    assert not sure(2900)
    assert sure(1100, stages=3)
    assert not sure(900, stages=3)
    assert not sure(33_000, effective=900)


def test_a_stage_that_is_too_short_for_its_slo_says_how_long_the_next_must_be():
    errors = {"x": parse("errors < 0.1%")}
    assert trial(errors, point(requests=1000), {}).longer == pytest.approx(3)
    assert trial(errors, point(requests=10), {}).longer == 8
    assert trial(errors, point(requests=5000), {}).longer == 1


@pytest.mark.parametrize(
    ("steady", "model"), [("drifting", "closed"), ("none", "closed"), (None, "open")]
)
def test_a_stage_that_moves_or_may_grow_misses_an_slo_and_meets_none(steady, model):
    slos = {"x": parse("p95 < 200ms at 1"), "y": parse("errors < 5%")}
    for p95, judged_so in ((0.1, {}), (0.4, {"x"})):
        moving = point(p95=p95).model_copy(update={"steady": steady, "model": model})
        seen = trial(slos, moving, moving.response_time)
        assert set(seen.margins) == set(judged_so)
        assert seen.longer == 2


@pytest.mark.parametrize("text", ["p95 > 20ms at 1", "throughput < 5/s at 1", "errors > 1%"])
def test_an_slo_that_has_no_highest_level_is_refused(text):
    with pytest.raises(ValueError, match="does not end at a highest level"):
        searchable({"odd": parse(text)}, "a")


@given(st.integers(1, 400), st.floats(0.3, 20), st.integers(1, 3))
def test_a_border_that_is_seen_without_noise_is_always_found(border, steep, lowest):
    bounds = Bounds(lowest=lowest, highest=500, within=600.0)
    trials = []
    while (level := next_level(trials, bounds)) is not None:
        margin = min(max(steep * math.log((border + 0.5) / level), -0.5), 0.5)
        trials.append(at(level, margin, 0.0001))
        assert len(trials) < 60
    result = capacity(SLOS, trials, bounds, "users", 0.0)
    assert not undecided(result, bounds)
    if border < lowest:
        assert misses_everywhere(result)
    else:
        assert result.low <= border <= result.high <= bounds.narrow(round(result.low))


def test_users_that_wait_in_vain_miss_a_share_of_errors_that_their_requests_meet():
    hanging = point(80, rate=0.004).model_copy(
        update={"errors": Errors(rate=0.004, effective=230, unanswered=29), "steady": "none"}
    )
    found = trial({"x": parse("errors < 1%")}, hanging, hanging.response_time)
    assert found.margins["x"].value < 0
    assert found.seen["x"] == "29 of 80 users waited in vain"
