"""The headline is about the levels beyond the knee, and ends in advice."""

import pytest

from loadtests.analysis.causes import headline as module
from loadtests.analysis.causes.headline import INSTRUMENT, limit_of
from loadtests.results import Knee, Limit, Run
from tests.support.observed import point

KNEE = Knee(level=15, low=14, high=16)


def at(level, resource, valid=True, **more):
    limit = None if resource is None else Limit(resource=resource, why=f"{resource} at {level}")
    limit = limit and limit.model_copy(update=more)
    return point(level, 100.0, level / 100, limit=limit, valid=valid)


def named(*points, knee=KNEE):
    found = limit_of(knee, points)
    return found and found.resource


def headline(*points, plan=None):
    run = Run(id="r", name="r", started="", points=points, knees={"a": KNEE}, plan=plan or {})
    return module.headline(run, "a")


def test_an_unknown_first_level_does_not_stand_above_what_the_higher_ones_show():
    points = at(10, None), at(16, "unknown"), at(20, "churn"), at(30, "churn")
    assert named(*points) == "churn"
    assert headline(*points) == "Churn at 30."


def test_the_higher_levels_have_more_weight():
    assert named(at(20, "threads"), at(40, "cpu")) == "cpu"
    assert named(at(20, "threads"), at(40, "threads"), at(80, "cpu")) == "cpu"
    points = [at(20, "cpu"), at(30, "threads"), at(40, "threads"), at(80, "cpu")]
    assert named(*points) == "cpu"
    assert named(*[at(level, "threads") for level in (20, 30, 40)], at(80, "cpu")) == "threads"


def test_levels_that_differ_name_both_limits():
    text = headline(at(20, "threads"), at(40, "threads"), at(80, "cpu"))
    assert text == "Cpu at 80. At 40 users: threads at 40."


def test_a_limit_of_few_low_levels_is_not_named_in_addition_to_that_of_the_others():
    points = [at(20, "threads"), *(at(level, "cpu") for level in (30, 40, 80))]
    assert headline(*points) == "Cpu at 80."


def test_invalid_levels_and_those_below_the_knee_are_ignored():
    points = at(10, "cpu"), at(20, "threads"), at(40, "generator", valid=False)
    assert named(*points) == "threads"
    assert named(*points, knee=Knee(level=None)) is None


def test_it_ends_in_advice_after_what_an_experiment_said():
    text = headline(at(40, "threads", advice="threads = 60", experiment="confirmed by experiment"))
    assert text == "Threads at 40. Confirmed by experiment. Threads = 60."


@pytest.mark.parametrize("resource", ["unknown", "concurrency-limit"])
def test_without_telemetry_one_line_says_what_it_would_add(resource):
    level = at(40, resource, source="outside")
    assert headline(level).endswith(f"{INSTRUMENT}.")
    assert INSTRUMENT not in headline(level, plan={"telemetry": False})
    assert INSTRUMENT not in headline(at(40, resource, source="telemetry"))


def test_a_disturbance_of_some_levels_is_no_limit_of_the_service():
    points = at(20, "threads"), at(40, "threads"), at(80, "host")
    assert named(*points) == "threads"
    assert headline(*points) == "Threads at 40."
    assert named(at(40, "unknown"), at(80, "host")) == "unknown"  # it lacks more than was taken
    assert named(at(40, "host"), at(80, "host")) == "host"
