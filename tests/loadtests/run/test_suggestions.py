"""Levels that a short look at a service suggests."""

import pytest

from loadtests import plans
from loadtests.analysis import proposals
from loadtests.run.short_look import ShortLook
from loadtests.run.suggestions import suggestion


def suggested(response_time, cpu, processes=1, cores=1, **load):
    plan = plans.altered(plans.default(), **load)
    return suggestion(plan, [ShortLook("mine", 20, response_time, cpu, processes)], cores)


@pytest.mark.parametrize(
    ("response_time", "cpu", "knee"), [(0.058, 0.001, 58), (0.058, 0.02, 3), (2.0, 0.004, 500)]
)
def test_levels_rise_from_one_to_beyond_the_knee(response_time, cpu, knee):
    found = suggested(response_time, cpu)
    assert found.levels[0] == 1
    assert knee < found.levels[-1] <= max(8 * knee, 20)
    assert list(found.levels) == sorted(set(found.levels))
    assert len(found.levels) <= 7
    assert found.at <= max(knee / 2, 1)
    assert found.at in found.levels
    assert f"about {knee} users use all of" in found.why[0]


def test_more_cores_move_the_knee_as_far_as_processes_use_them():
    assert "116 users use all of 2 cores" in suggested(0.058, 0.001, processes=4, cores=2).why[0]
    assert "58 users use all of 1 core" in suggested(0.058, 0.001, processes=1, cores=2).why[0]


def test_rates_of_the_open_model_are_shares_of_what_a_core_answers():
    found = suggested(0.05, 0.001, model="open")
    assert found.levels == (100, 250, 500, 700, 850, 1000, 1200)
    assert found.at <= 40 or found.at == found.levels[0]


def test_a_slow_service_needs_longer_measurements():
    found = suggested(5.0, 0.004)
    assert found.needed
    assert found.measure >= 30
    assert not suggested(0.05, 0.001).needed


def test_impractical_lengths_are_not_suggested():
    assert suggested(120.0, None).measure == proposals.LONGEST


def test_a_service_elsewhere_gets_the_usual_levels_and_a_failing_one_none():
    found = suggested(0.05, None)
    assert found.levels == (1, 5, 10, 20, 40, 80, 160)
    assert found.why == ("mine answers one user in 50 ms.",)
    assert suggested(None, None) is None
