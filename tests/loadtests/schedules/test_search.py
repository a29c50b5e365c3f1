"""The search, played against queues whose capacity is known."""

from itertools import pairwise
from types import SimpleNamespace

import pytest

from loadtests.analysis.capacity.margins import Bounds, trial
from loadtests.analysis.capacity.result import capacity, undecided
from loadtests.analysis.points import points
from loadtests.plans import PlanError
from loadtests.plans.slos import parse
from loadtests.run.controller import played
from loadtests.schedules.search import Search, search_of
from tests.support.simulated_engine import (
    SimulatedEngine,
    Station,
    System,
    record,
    stage,
    threads,
    uniform,
)

BOUNDS = Bounds(lowest=1, highest=100, within=600.0)
SLOS = {"quick": parse("p95 < 120ms at 1")}


def searched(systems, bounds=BOUNDS, alive=lambda name, number: True):
    search = Search(dict.fromkeys(systems, SLOS), bounds)
    plan = SimpleNamespace(deployments=systems, load=SimpleNamespace(settle=0.1, measure=2.0))
    engine, so_far = SimulatedEngine(systems), []
    while (step := search.next_stage(plan, so_far)) is not None:
        number = len(so_far)
        assert search.remaining(plan, so_far) >= 1
        length = step.measure or 2.0
        made = record(
            engine, stage(number, step.deployment, step.level, settle=0.5, measure=length)
        )
        point = next(p for p in points([made]) if p.request == "all")
        up = alive(step.deployment, number)
        so_far.append(played(step, made, point, alive=up, seconds=2.5))
    assert search.remaining(plan, so_far) == 0 or len(so_far) * 2.5 >= bounds.within
    return so_far


def result(so_far, name, bounds=BOUNDS):
    mine = [one for one in so_far if one.step.deployment == name]
    trials = [trial(SLOS, one.point, one.slow) for one in mine]
    return capacity(SLOS, trials, bounds, "users", 0.0)


def test_the_interval_holds_the_capacity_of_each_deployment_and_they_take_turns():
    # Beyond T users of 50 ms the p95 is nearly N * 50 ms / T, so 120 ms are reached at 2.4 T.
    systems = {name: threads(n, uniform(0.045, 0.055)) for name, n in (("a", 5), ("b", 10))}
    so_far = searched(systems)
    assert [one.step.deployment for one in so_far[:6]] == ["a", "b"] * 3
    assert result(so_far, "a").low - 1 <= 11 <= result(so_far, "a").high + 1
    assert result(so_far, "b").low - 1 <= 23 <= result(so_far, "b").high + 1
    for name in systems:
        assert not undecided(result(so_far, name), BOUNDS)
        levels = [one.step.level for one in so_far if one.step.deployment == name]
        assert levels[:3] == [1, 3, 9]
        found = result(so_far, name)
        falls = [b for a, b in pairwise(levels) if a > b]
        rises = [b for a, b in pairwise(levels) if a < b]
        assert found.low in falls
        assert found.high + 1 in rises


def searched_for(text, failing, seed, measure=2.0):
    """The capacity under an SLO of a service that fails this share at every level."""
    slos = {"x": parse(text)}
    bounds = Bounds(lowest=1, highest=40, within=400.0)
    search = Search({"a": slos}, bounds)
    plan = SimpleNamespace(
        deployments={"a": None}, load=SimpleNamespace(settle=0.1, measure=measure)
    )
    system = System([Station(uniform(0.045, 0.055))], failing=lambda level: failing)
    engine, so_far, lengths = SimulatedEngine({"a": system}, seed), [], set()
    while (step := search.next_stage(plan, so_far)) is not None:
        length = step.measure or measure
        lengths.add(length)
        played_so = stage(len(so_far), "a", step.level, settle=0.5, measure=length)
        made = record(engine, played_so)
        point = next(p for p in points([made]) if p.request == "all")
        so_far.append(played(step, made, point, seconds=0.5 + length))
    trials = [trial(slos, one.point, one.slow) for one in so_far]
    return capacity(slos, trials, bounds, "users", 0.0), bounds, lengths


def test_a_share_of_failures_that_every_level_has_is_no_capacity():
    for seed in range(4):
        found, _, _ = searched_for("errors < 0.1%", 0.004, seed)
        assert found.level is None


def test_no_failure_at_any_level_is_a_capacity_found_in_longer_stages():
    found, bounds, lengths = searched_for("errors < 0.1%", 0.0, 1)
    assert (found.level, found.above, undecided(found, bounds)) == (40, True, False)
    assert max(lengths) > 2.0


def test_a_search_ends_in_time_and_reports_its_results():
    bounds = BOUNDS.model_copy(update={"within": 10.0})
    so_far = searched({"a": threads(10, uniform(0.045, 0.055))}, bounds)
    assert len(so_far) == 4
    assert undecided(result(so_far, "a", bounds), bounds)
    assert result(so_far, "a", bounds).low >= 4


def test_a_dead_deployment_is_not_tried_again():
    so_far = searched(
        {"a": threads(2, uniform(0.045, 0.055)), "b": threads(2, uniform(0.045, 0.055))},
        alive=lambda name, number: name == "b",
    )
    assert [one.step.deployment for one in so_far].count("a") == 1
    assert not undecided(result(so_far, "b"), BOUNDS)


def test_a_plan_without_an_slo_is_refused_with_an_example():
    plan = SimpleNamespace(
        deployments={"a": None, "b": None},
        slos={"quick": parse("p95(a) < 1s at 10"), "bend": parse("knee > 5")},
        load=SimpleNamespace(levels=(1, 10)),
    )
    with pytest.raises(PlanError, match=r'^b: no SLO[^"]*"p95 < 250ms at 1"'):
        search_of(plan, (1, 10), 60.0)
    plan.deployments = {"a": None}
    assert search_of(plan, (1, 10), 60.0).bounds.highest == 10
    with pytest.raises(PlanError, match="lowest to a highest"):
        search_of(plan, (10, 1), 60.0)
    assert search_of(plan, (5,), 60.0).bounds.lowest == 5
    assert search_of(plan, (5,), 60.0).bounds.highest == 2000
    assert search_of(plan, (1000,), 60.0).bounds.highest == 10_000


def test_an_slo_that_compares_deployments_is_not_searched_for_and_refused_when_it_is_alone():
    plan = SimpleNamespace(
        deployments={"a": None, "b": None},
        slos={"better": parse("p95(a) < 0.5 * p95(b) at 10"), "quick": parse("p95 < 1s at 10")},
        load=SimpleNamespace(levels=(1, 10)),
    )
    found = search_of(plan, (1, 10), 60.0).slos
    assert {name: [*slos] for name, slos in found.items()} == {"a": ["quick"], "b": ["quick"]}
    plan.slos["quick"] = parse("p95(b) < 1s at 10")
    with pytest.raises(PlanError, match=r"^slos\.better: .* compares two .*; add an SLO that a "):
        search_of(plan, (1, 10), 60.0)
