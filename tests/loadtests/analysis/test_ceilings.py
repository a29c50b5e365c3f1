"""What each resource permits, against systems whose bounds follow from arithmetic."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.analysis.causes import ceilings
from loadtests.analysis.causes.demand import demand
from loadtests.analysis.causes.service_gauges import PoolGauges, ThreadGauges
from loadtests.results import Estimate, Limit
from mock_upstream.profiles.profile import Profile
from tests.support.observed import CALL, CPU, level


def of(*seen, settings=None, profile=None):
    """Ceilings by resource."""
    found = ceilings.ceilings(seen, settings or {}, profile)
    assert [one.throughput for one in found] == sorted(one.throughput for one in found)
    return {one.resource: one for one in found}


def blocking(users, threads=10, **more):
    busy = min(users, threads)
    return level(
        users, gauges={"threads": ThreadGauges(total=threads, busy=busy, waiting=0)}, **more
    )


@given(threads=st.integers(1, 1000), seconds=st.floats(0.01, 2))
def test_threads_permit_their_number_over_the_time_that_a_request_holds_one(threads, seconds):
    found = of(blocking(1, threads, call=seconds))["threads"]
    assert found.throughput == pytest.approx(threads / (seconds + CPU / 2))


def test_a_ceiling_names_the_values_of_its_formula():
    assert of(blocking(1))["threads"].how == "10 threads / 50.5 ms"


def test_threads_that_no_request_holds_have_no_ceiling():
    assert "threads" not in of(level(1), level(20))


def test_a_thread_is_held_for_what_it_does_after_the_answer_too():
    """A call before the answer and one after it, as long as six of these."""
    calls = {"calls": 2.0, "call": 0.2, "thread": 0.4}
    threads = {"threads": ThreadGauges(total=10, busy=1, waiting=0)}
    found = of(level(1, gauges=calls | threads, upstream={"asked": 0.2}, call=0.1))
    assert found["threads"].throughput == pytest.approx(25, rel=0.01)


def test_a_thread_is_held_by_work_that_calls_no_upstream():
    gauges = {"threads": ThreadGauges(total=10, busy=1, waiting=0), "thread": 0.151}
    assert of(level(1, gauges=gauges))["threads"].throughput == pytest.approx(10 / 0.151, rel=0.01)


def test_threads_that_validate_answers_have_no_ceiling():
    gauges = {"threads": ThreadGauges(total=10, busy=0.1, waiting=0), "thread": 0.0001}
    assert "threads" not in of(level(1, gauges=gauges), level(20, gauges=gauges))


def test_a_thread_that_waits_for_its_pool_or_a_core_holds_what_it_needs():
    gauges = {"threads": ThreadGauges(total=10, busy=1, waiting=0), "thread": 0.250}
    found = of(level(1, gauges=gauges, phases={"pool_wait": 0.2}))
    assert found["threads"].throughput == pytest.approx(10 / 0.05, rel=0.02)
    busy = of(level(60, 150, gauges=gauges | {"cpu": 0.95}))
    assert busy["threads"].throughput == pytest.approx(10 / (CALL + CPU / 2 + 0.95 / 150))


def test_two_calls_hold_a_thread_for_both():
    found = of(blocking(1), blocking(10))
    one = replace(blocking(1), gauges=replace(blocking(1).gauges, calls=2.02))
    assert of(one)["threads"].throughput == pytest.approx(found["threads"].throughput / 2)


def test_repeated_calls_do_not_count_as_calls_of_a_request():
    one = replace(level(1), gauges=replace(level(1).gauges, calls=3.1, retried=2.1))
    assert demand([one]).calls == 1


def test_a_call_that_waited_is_not_as_long_as_it_seems():
    """The lowest level is beyond the knee: its calls waited for a connection."""
    one = replace(level(20, 98), gauges=replace(level(20, 98).gauges, call=0.3))
    assert demand([one]).call == pytest.approx(CALL + CPU)


def test_cpu_is_bounded_by_cores_and_by_workers():
    def bound(workers, cores):
        return of(level(5, workers=workers, cores=cores))["cpu"].throughput

    assert bound(1, 4) == pytest.approx(1 / CPU)
    assert bound(4, 2) == pytest.approx(2 / CPU)
    assert bound(4, 1) == pytest.approx(1 / CPU)


def test_work_without_load_is_not_cpu_of_requests():
    one = replace(level(5), idle=0.05, cpu=level(5).cpu + 0.05)
    assert of(one)["cpu"].throughput == pytest.approx(1 / CPU)


def test_cpu_that_is_too_little_to_be_counted_is_taken_from_a_higher_level():
    ticks = replace(level(1, black_box=True), cpu=0.04)
    higher = replace(level(20, black_box=True), cpu=0.2)
    assert of(ticks, higher)["cpu"].how == "1 core / 0.51 ms"


def test_settings_describe_a_service_without_telemetry():
    settings = {"threads": 20, "pool": 30, "max_concurrent": 10, "workers": 2}
    found = of(level(1, black_box=True, workers=2), settings=settings)
    assert [found[name].how for name in ("concurrency-limit", "threads", "pool")] == [
        "20 at a time / 50 ms",
        "40 threads / 50 ms",
        "60 connections / 50 ms",
    ]


def test_a_pool_without_a_limit_has_no_ceiling():
    endless = (PoolGauges(client="aiohttp", limit=None, used=1.0, waiting=0.0),)
    assert "pool" not in of(level(1, gauges={"pools": endless}))


def test_servers_of_the_upstream():
    queue = {"servers": 4, "busy": 0.2, "service": CALL}
    assert of(level(1, upstream=queue))["upstream"].how == "4 servers / 50 ms"


def test_rate_limits_of_the_upstream_are_for_calls():
    limits = [
        {"kind": "sliding_window", "limit": 300, "per": "2s"},
        {"kind": "concurrency", "limit": 6},
        {"kind": "fixed_window", "limit": 5, "per": "1s", "key": "header:user"},
    ]
    profile = Profile.model_validate({"latency": "50ms", "limits": limits})
    two = replace(level(1), gauges=replace(level(1).gauges, calls=2.0))
    found = [one for one in ceilings.ceilings([two], {}, profile) if one.resource == "upstream"]
    assert [one.how for one in found] == [
        "6 at a time / 101 ms",
        "a rate limit of 150/s / 2 calls",
    ]


def test_a_plan_of_another_version_has_no_profile():
    assert ceilings.profile_of({}) is None
    assert ceilings.profile_of({"upstream": {"latency": 3, "speed": "high"}}) is None
    assert ceilings.profile_of({"upstream": "{"}) is None
    assert ceilings.profile_of({"upstream": {"latency": "5ms"}}) is not None
    assert ceilings.settings_of({"deployments": {"a": "x"}}, "a") == {}


def test_cpu_that_a_request_takes_under_load_gives_a_second_ceiling_and_a_finding():
    """A quiet service keeps its connections; under load it opens one for each call."""
    seen = [level(n, x, cpu=cpu) for n, x, cpu in ((20, None, 0.001), (90, 640, 0.0015))]
    found = of(*seen)["cpu"]
    assert found.throughput == pytest.approx(1000)
    assert found.loaded == pytest.approx(1 / 0.0015)
    assert found.capacity == 1
    assert found.finding == (
        "measured 640/s of 1,000/s predicted: at 90 users a request takes 1.5 ms of it instead of "
        "1 ms: 50 % more under load"
    )
    churn = [Limit(resource="churn", why="-")]
    assert ceilings.explained([found], churn)[0].finding == f"{found.finding}: churn"
    assert ceilings.explained([found], [])[0].finding == found.finding


def test_a_constant_cost_of_a_request_is_not_reported():
    found = of(level(20), level(90, 640))["cpu"]
    assert found.loaded == pytest.approx(found.throughput)
    assert found.finding is None


def test_a_ceiling_below_a_measured_throughput_is_left_out():
    """A plan says ten threads, and the service answers what twenty would."""

    def measured(users):
        one = level(users, black_box=True)
        known = Estimate(
            value=one.throughput, low=0.98 * one.throughput, high=1.02 * one.throughput
        )
        return replace(one, point=one.point.model_copy(update={"throughput": known}))

    settings = {"threads": 10}
    assert "threads" in of(measured(1), measured(10), settings=settings)
    assert "threads" not in of(measured(1), measured(20), settings=settings)


def test_without_a_valid_level_nothing_is_predicted():
    one = level(1)
    broken = replace(one, point=one.point.model_copy(update={"valid": False}))
    assert ceilings.ceilings([broken], {"threads": 4}, None) == []
