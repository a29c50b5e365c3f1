"""A schedule is pure: these tests play whole runs in microseconds."""

from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.plans import UrlDeployment
from loadtests.plans.slos import parse
from loadtests.results import Errors, Estimate, Point
from loadtests.schedules import Played, Step, ladder


def plan(deployments, levels, repeats=1, slos=(), restarts=False):
    return SimpleNamespace(
        slos={text: parse(text) for text in slos},
        deployments=dict.fromkeys(deployments),
        load=SimpleNamespace(
            levels=tuple(levels), repeats=repeats, restarts=restarts, settle=2.0, measure=5.0
        ),
    )


def play(a_plan, result=lambda step: (0.1, 0.0, True)):
    so_far = []
    while (step := ladder.next_stage(a_plan, so_far)) is not None:
        p95, failures, alive = result(step)
        so_far.append(Played(step, p95, failures, alive))
        assert len(so_far) < 10_000
    return [one.step for one in so_far]


plans = st.builds(
    plan,
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(1, 500), min_size=1, max_size=6, unique=True).map(sorted),
    st.integers(1, 3),
    restarts=st.booleans(),
)


@given(plans)
def test_every_deployment_plays_every_level_the_given_number_of_times(a_plan):
    steps = play(a_plan)
    assert Counter((step.deployment, step.level) for step in steps) == {
        (name, level): a_plan.load.repeats
        for name in a_plan.deployments
        for level in a_plan.load.levels
    }
    assert steps == ladder.expected(a_plan)


@given(plans)
def test_levels_never_go_down(a_plan):
    """Levels rise within a repeat that begins with a restart; in the whole run where none does."""
    climbs = [[]]
    for step in play(a_plan):
        if step.restart:
            climbs.append([])
        climbs[-1].append(step.level)
    assert all(levels == sorted(levels) for levels in climbs)
    restarted = a_plan.load.restarts and a_plan.load.repeats > 1
    assert len(climbs) == (a_plan.load.repeats if restarted else 1)


@given(plans)
def test_the_order_of_deployments_is_reversed_at_every_turn(a_plan):
    steps, width = play(a_plan), len(a_plan.deployments)
    turns = [
        [step.deployment for step in steps[i : i + width]] for i in range(0, len(steps), width)
    ]
    assert all(turn == turns[i % 2] for i, turn in enumerate(turns))
    assert len(turns) < 2 or turns[0] == turns[1][::-1]


def test_a_repeat_restarts_deployments_that_skip_levels():
    a_plan = plan("ab", [1, 10], repeats=3, restarts=True)
    steps = play(a_plan, lambda step: (0.1, 0.0, step != Step("a", 10)))
    assert [n for n, step in enumerate(steps) if step.restart] == [4, 6]
    assert [step.deployment for step in steps[4:]] == ["b"] * 4


def test_services_that_ran_before_are_not_restarted():
    url = UrlDeployment(url="http://127.0.0.1:9000")
    a_plan = plan("ab", [1, 10], repeats=2, restarts=True)
    a_plan.deployments = {"a": url, "b": url}
    assert not any(step.restart for step in play(a_plan))
    a_plan.deployments["b"] = None
    assert sum(step.restart for step in play(a_plan)) == 1


def test_a_deployment_with_p95_above_two_seconds_skips_higher_levels():
    steps = play(
        plan("ab", [1, 10, 100]),
        lambda step: (2.1 if step == Step("a", 10) else 0.1, 0.0, True),
    )
    assert Step("a", 100) not in steps
    assert Step("b", 100) in steps


def test_a_slow_upstream_is_no_collapse():
    a_plan = plan("a", [1, 10, 40, 80])
    times = {1: 3.05, 10: 3.1, 40: 3.4, 80: 16.0}
    assert len(play(a_plan, lambda step: (times[step.level], 0.0, True))) == 4
    slower = {1: 3.05, 10: 15.5}
    assert play(a_plan, lambda step: (slower[step.level], 0.0, True)) == [
        Step("a", 1),
        Step("a", 10),
    ]


@pytest.mark.parametrize("result", [(2.4, 0.0, True), (None, 1.0, True)])
def test_a_collapsed_deployment_is_played_once_at_the_levels_that_its_slos_name(result):
    slos = ["p95(a) < 250ms at 80", "p95(b) < 250ms at 40", "errors < 1%"]

    def collapsing(step):
        return (0.1, 0.0, True) if step.level == 1 else result

    steps = play(plan("ab", [1, 20, 40, 80], 2, slos), collapsing)
    assert steps.count(Step("a", 80)) == 1
    assert Step("a", 40) not in steps
    assert (steps.count(Step("b", 40)), Step("b", 80) in steps) == (1, False)
    both = play(plan("ab", [1, 40, 80], 1, ["p95(a) < p95(b) at 80"]), collapsing)
    assert Step("b", 80) in both
    assert Step("a", 80) in both


def test_a_dead_deployment_is_not_played_at_the_levels_that_slos_name():
    a_plan = plan("a", [1, 80], 1, ["p95 < 250ms at 80"])
    assert play(a_plan, lambda step: (None, 1.0, False)) == [Step("a", 1)]


def test_a_deployment_that_mostly_fails_skips_higher_levels():
    steps = play(plan("a", [1, 10]), lambda step: (None, 0.6, True))
    assert steps == [Step("a", 1)]


def test_a_dead_deployment_is_not_played_again_even_at_its_level():
    steps = play(plan("ab", [1, 10], repeats=2), lambda s: (0.1, 0.0, s != Step("b", 1)))
    assert steps.count(Step("b", 1)) == 1
    assert steps.count(Step("a", 10)) == 2


def point(step, model, steady):
    return Point(
        deployment=step.deployment, request="all", model=model, level=step.level, requests=9,
        seconds=1, throughput=Estimate(value=9), response_time={}, service_time={},
        errors=Errors(rate=0), steady=steady,
    )  # fmt: skip


def test_a_deployment_stops_at_the_first_rate_that_it_cannot_answer():
    def so_far(model):
        step = Step("a", 10)
        return [Played(step, None, 0.0, point=point(step, model, "over-saturated"))]

    a_plan = plan("a", [10, 20], repeats=2)
    assert ladder.next_stage(a_plan, so_far("open")) == Step("a", 10)  # the other repeat
    assert ladder.next_stage(a_plan, 2 * so_far("open")) is None
    assert ladder.next_stage(a_plan, 2 * so_far("closed")) == Step("a", 20)
