"""Advice follows from the law of ceilings, and is capped by the limit that comes next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.analysis.advice import Remedy, advice, raised
from loadtests.results import Ceiling

VARIANT = {"variant": "blocking-requests"}


def ceiling(resource, throughput, capacity=None, loaded=None):
    return Ceiling(
        resource=resource, throughput=throughput, how="-", capacity=capacity, loaded=loaded
    )


def threads(*others, reached=195.0, deployment=VARIANT, workers=1):
    own = ceiling("threads", 200.0, 40 * workers)
    return advice(Remedy("threads", own, reached, others, workers, deployment))


def test_half_as_many_threads_more_move_the_ceiling_by_half():
    assert threads() == "threads = 60 would move the ceiling to 300/s"


def test_the_next_limit_caps_what_more_threads_give():
    text = threads(ceiling("pool", 400.0), ceiling("cpu", 250.0))
    assert text == "threads = 50 would move the ceiling to 250/s; there CPU binds next"


def test_the_next_limit_counts_with_what_a_request_takes_under_load():
    text = threads(ceiling("cpu", 320.0, loaded=250.0))
    assert text == "threads = 50 would move the ceiling to 250/s; there CPU binds next"


def test_threads_that_would_gain_little_are_not_advised():
    text = threads(ceiling("cpu", 210.0))
    assert text == "more threads would gain little: CPU binds next, at about 210/s"


def test_a_setting_is_that_of_each_worker():
    text = threads(workers=2)
    assert text == "threads = 60 in each worker would move the ceiling to 300/s"


def test_a_plan_can_name_the_variable_that_sets_a_limit():
    assert threads(deployment={"command": "x"}).startswith("60 threads would")
    named = threads(deployment={"command": "x", "limit": {"env": "POOL_SIZE"}})
    assert named.startswith("POOL_SIZE = 60 would")


def test_churn_has_one_client_as_its_remedy():
    text = advice(Remedy("churn", None, 50.0, clients=True))
    assert text == "make one AsyncClient (or Session) for the life of the process"


def test_a_cause_without_a_remedy_has_no_advice():
    assert advice(Remedy("unknown", None, 50.0)) is None


@given(
    st.sampled_from(["threads", "pool", "concurrency-limit", "cpu"]),
    st.integers(1, 400),
    st.floats(1.0, 5000.0),
    st.floats(0.5, 1.1),
    st.lists(st.floats(0.5, 4.0), max_size=3),
)
def test_no_advice_predicts_less_than_was_measured_or_more_than_the_next_limit(
    resource, capacity, permits, part, others
):
    own, reached = ceiling(resource, permits, capacity), part * permits
    above = [ceiling("upstream", times * permits) for times in sorted(others)]
    text = advice(Remedy(resource, own, reached, above, 1, VARIANT)) or ""
    for told in [word for word in text.split() if word.endswith(("/s", "/s;"))]:
        value = float(told.rstrip("s;").rstrip("/").replace(",", ""))
        assert value >= 0.99 * reached
        if above:
            assert value <= 1.01 * max(above[0].throughput, permits, reached)


@pytest.mark.parametrize(("size", "larger"), [(1, 2), (2, 3), (3, 5), (40, 60)])
def test_a_raised_limit_is_half_as_large_again(size, larger):
    assert raised(size) == larger
