"""The limit that is named: each cause against those that look alike; no name without evidence."""

from dataclasses import replace

import pytest

from loadtests.analysis.causes import limits
from loadtests.analysis.causes.ceilings import ceilings
from loadtests.analysis.causes.service_gauges import ThreadGauges
from loadtests.analysis.runs import run_of
from loadtests.report.charts.ceilings import origin
from loadtests.results import Estimate, Limit
from mock_upstream.profiles.profile import Profile
from tests.support.observed import CALL, CPU, full, level, point, used_up
from tests.support.simulated_engine import Station, System, exponential
from tests.support.simulated_engine import threads as servers_of
from tests.support.simulated_upstream import played

LIMITED = Profile.model_validate(
    {
        "latency": "50ms",
        "limits": [{"kind": "token_bucket", "limit": 100, "per": "1s", "burst": 10}],
    }
)


def named(low, *beyond, settings=None, profile=None):
    """What limits the highest level."""
    seen = [low, *beyond]
    found = limits(seen, ceilings(seen, settings or {}, profile))
    return found.get(seen[-1].level)


def resource(*seen, **options):
    found = named(*seen, **options)
    return found and found.resource


def blocking(users, permits=None, *, threads=10, waiting=0.0, pool=20, queued=0.0, **more):
    """A service with threads, that hold a connection each."""
    here = level(users, permits)
    busy = min(here.rate * CALL, threads)
    held = {
        "threads": ThreadGauges(total=threads, busy=threads if waiting else busy, waiting=waiting),
        "pools": used_up(pool, queued, "requests")
        if queued
        else replace_pool(here, pool, min(busy, pool)),
    }
    return level(users, permits, gauges=held | more.pop("gauges", {}), **more)


def replace_pool(here, limit, used):
    pool = {"client": "requests", "limit": limit, "used": used}
    return (here.gauges.pools[0].model_copy(update=pool),)


def test_a_level_that_follows_the_load_has_no_limit():
    assert named(level(1), level(10), level(20)) is None


def test_threads_are_named_with_their_numbers_and_the_next_ceiling():
    found = named(blocking(1), blocking(20, 198, waiting=10), blocking(40, 198, waiting=30))
    assert found.resource == "threads"
    assert found.why == (
        "thread pool: 10 of 10 threads busy, 30 requests waiting; "
        "10 threads / 50.5 ms = 198/s is the ceiling"
    )
    assert found.next == (
        "With more threads the next ceiling is the connection pool, at about 396/s"
    )
    assert found.ceiling == pytest.approx(198, rel=0.01)
    assert found.source == "telemetry"
    assert found.evidence[0] == ("threads busy", "10 of 10")


def test_a_pool_that_is_smaller_than_the_threads_binds_although_both_are_full():
    seen = [blocking(n, 98, waiting=n - 10, pool=5, queued=5) for n in (20, 40)]
    assert resource(blocking(1, pool=5), *seen) == "pool"


def test_a_pool_without_threads():
    beyond = [level(n, 98, gauges={"pools": used_up(5, n - 5)}) for n in (20, 40)]
    found = named(level(1, gauges={"pools": used_up(5, 0)}), *beyond)
    assert found.resource == "pool"
    assert found.why.startswith("connection pool: 4.9 of 5 connections of httpx2 in use, 35 calls")


def test_an_upstream_whose_servers_are_full_binds_although_the_threads_are_full():
    queue = {"servers": 4, "busy": 0.99, "queued": 0.2, "service": CALL, "stay": 0.25}
    idle = {"servers": 4, "busy": 0.2, "queued": 0.0, "service": CALL}
    beyond = [blocking(n, 80, waiting=n - 10, upstream=queue) for n in (20, 40)]
    found = named(blocking(1, upstream=idle), *beyond)
    assert found.resource == "upstream"
    assert found.why == (
        "upstream: 3.96 of 4 servers busy, a call waits 200 ms for one; "
        "4 servers / 50 ms = 80/s is the ceiling"
    )


def test_servers_that_are_busy_without_a_queue_are_kept_busy_by_the_threads():
    full_servers = {"servers": 10, "busy": 0.99, "queued": 0.001, "service": CALL}
    beyond = [blocking(n, 198, waiting=n - 10, upstream=full_servers) for n in (20, 40)]
    assert resource(blocking(1, upstream=full_servers | {"busy": 0.1}), *beyond) == "threads"


def test_a_rate_limit_is_the_upstreams():
    refused = {"refused": 0.5, "failing": 0.5}
    beyond = [level(n, 100, failing=0.5, upstream=refused) for n in (20, 40)]
    found = named(level(1), *beyond, profile=LIMITED)
    assert found.resource == "upstream"
    assert found.why == (
        "upstream: it turns 50 % of 200/s calls away; a rate limit of 100/s = 100/s is the ceiling"
    )


def test_calls_that_are_repeated_on_a_failing_upstream_are_retries():
    storm = {"calls": 800, "refused": 0.8, "failing": 0.8}
    gauges = {"calls": 4.0, "retried": 3.0}
    beyond = [level(n, 100, failing=0.4, upstream=storm, gauges=gauges) for n in (20, 40)]
    assert resource(level(1), *beyond, profile=LIMITED) == "retries"
    dark = [level(n, 100, failing=0.4, upstream=storm, black_box=True) for n in (20, 40)]
    assert resource(level(1, black_box=True), *dark, profile=LIMITED) == "retries"


def test_a_second_call_of_a_request_is_not_a_retry():
    two = {"calls": 2.0}
    seen = [blocking(n, 99, waiting=n - 10, gauges=two) for n in (20, 40)]
    assert resource(blocking(1, 10, gauges=two), *seen) == "threads"


def test_a_cpu_at_its_end_is_named_although_pool_and_threads_look_full():
    busy = {"cpu": 0.99, "loop_cpu": 0.7, "pools": used_up(10, 10)}
    beyond = [blocking(n, 198, waiting=n - 10, gauges=busy) for n in (20, 40)]
    assert resource(blocking(1, gauges={"cpu": 0.1}), *beyond) == "cpu"


def test_a_loop_that_uses_its_core_is_cpu_and_not_blocked():
    low = level(1, cpu=0.005)
    beyond = [level(n, 200, cpu=0.005, gauges={"lag": 0.08}) for n in (30, 60)]
    found = named(low, *beyond)
    assert found.resource == "cpu"
    assert (
        found.why
        == "CPU: 1 of 1 core used, 5 ms for a request; 1 core / 5 ms = 200/s is the ceiling"
    )


def test_two_workers_on_one_core_are_bound_by_the_core():
    cores = {"workers": 2, "cores": 1}
    low = level(1, cpu=0.005, **cores)
    beyond = [level(n, 200, cpu=0.005, gauges={"loop_cpu": 0.5}, **cores) for n in (30, 60)]
    assert resource(low, *beyond) == "cpu"


def test_a_loop_that_is_late_without_using_its_core_is_blocked():
    gauges = {"lag": 0.4, "call": CALL, "loop_cpu": 0.02, "cpu": 0.02}
    beyond = [level(n, 19.4, gauges=gauges, upstream={"peaks": (1.0,)}) for n in (10, 20)]
    found = named(level(1, 19.4), *beyond)
    assert found.resource == "loop"
    assert found.why == (
        "blocked event loop: it is 400 ms late in the mean while it uses 2 % of a core; "
        "1 loop / 51.5 ms = 19.4/s is the ceiling"
    )


def test_a_loop_that_is_late_because_it_gets_no_core_is_not_blocked():
    """Others use its core, or its container's share of it is used up."""
    gauges = {"lag": 0.4, "loop_cpu": 0.3, "cpu": 0.3}
    uneven = {"peaks": (30.0, 12.0)}
    beyond = [
        level(n, x, gauges=gauges, upstream=uneven, starved=0.5) for n, x in ((20, 300), (40, 250))
    ]
    found = named(level(1), *beyond)
    assert found.resource == "cpu"
    assert found.why.startswith(
        "CPU, taken by others: for 50 % of the time the service had work and no core, and used 0.3 "
        "of 1 core"
    )


def test_waits_for_a_core_that_cannot_explain_what_is_missing_are_not_named():
    """A fifth of the time, of a service that gives a tenth of what the load would."""
    idle = {"lag": 0.01, "loop_cpu": 0.06, "cpu": 0.06}
    uneven = {"peaks": (30.0, 12.0)}
    beyond = [level(n, 40, gauges=idle, upstream=uneven, starved=0.2) for n in (20, 40)]
    assert resource(level(1), *beyond) == "unknown"


def test_a_blocking_call_among_async_ones_is_predicted_from_what_is_not_the_upstream():
    def phases(wait):
        return {"pre_app": wait / 2, "loop_wait": wait / 2, "own": CPU, "upstream": CALL}

    low = level(1, 1 / (CALL + 0.021), phases=phases(0.020))
    gauges = {"lag": 0.3, "call": 0.3}
    beyond = [level(n, 47.6, gauges=gauges, phases=phases(0.4)) for n in (10, 20)]
    found = named(low, *beyond)
    assert found.resource == "loop"
    assert found.ceiling == pytest.approx(47.6, rel=0.02)


def test_clients_made_for_each_request_are_churn():
    gauges = {"clients": 1.0, "constructing": 0.017}
    low = level(1, cpu=0.018, gauges=gauges)
    beyond = [level(n, 55, cpu=0.018, gauges=gauges) for n in (10, 20)]
    found = named(low, *beyond)
    assert found.resource == "churn"
    assert found.ceiling == pytest.approx(55, rel=0.02)
    assert "CPU" not in found.next  # more of it is not what is missing


def test_connections_that_are_no_longer_kept_are_churn_where_a_request_costs_more():
    low = level(1, cpu=0.001, upstream={"connections": 0.05})
    beyond = [level(n, 500, cpu=0.002, upstream={"connections": 0.97}) for n in (60, 90)]
    assert resource(low, *beyond) == "churn"


def test_the_cost_at_one_level_predicts_nothing_of_another():
    low = level(1, cpu=0.0015)
    near = level(80, 590, cpu=0.00165)
    top = level(160, 310, cpu=0.003, upstream={"connections": 0.97})
    why = limits([low, near, top], ceilings([low, near, top], {}, None))[160].why
    assert why.endswith("; 1 core / 3 ms predicts 333/s at 160 users")


def test_a_connection_for_each_call_is_not_churn_while_threads_bind():
    opened = {"connections": 1.0}
    beyond = [blocking(n, 198, waiting=n - 10, upstream=opened) for n in (20, 40)]
    assert resource(blocking(1, upstream=opened), *beyond) == "threads"


def test_a_connection_for_each_call_is_not_churn_where_other_work_uses_the_cpu():
    opened = {"connections": 1.0}
    low = level(1, cpu=0.012, upstream=opened)
    beyond = [level(n, 83, cpu=0.012, upstream=opened) for n in (20, 40)]
    assert resource(low, *beyond) == "cpu"


def test_a_semaphore_with_gauges_is_not_a_pool_of_connections():
    both = used_up(8, 12, "semaphore") + replace_pool(level(1), 100, 8)
    beyond = [level(n, 157, gauges={"pools": both}) for n in (20, 40)]
    found = named(level(1), *beyond)
    assert found.resource == "concurrency-limit"
    assert found.why == (
        "semaphore: 7.9 of 8 places taken, 12 requests waiting; "
        "8 at a time / 50.5 ms = 158/s is the ceiling"
    )


def test_a_semaphore_whose_holders_wait_for_connections_does_not_bind():
    both = used_up(8, 12, "semaphore") + used_up(4, 4)
    beyond = [level(n, 78, gauges={"pools": both}) for n in (20, 40)]
    idle = used_up(8, 0, "semaphore") + used_up(4, 0)
    assert resource(level(1, gauges={"pools": idle}), *beyond) == "pool"


def test_a_semaphore_that_is_full_far_below_its_ceiling_is_shown_and_not_named():
    full = used_up(8, 12, "semaphore") + replace_pool(level(1), 100, 8)
    found = named(level(1), *(level(n, 100, gauges={"pools": full}) for n in (20, 40)))
    assert found.resource == "unknown"
    assert found.why == (
        "unknown: 100/s where the load would give 784/s, and more than one thing holds it back: "
        "semaphore: 7.9 of 8 places taken, 12 requests waiting, which permits 158/s where a "
        "request takes as long as at 1 user"
    )


def test_a_limit_without_gauges_is_a_number_at_a_time_while_nothing_is_full():
    at_once = {"in_flight": 7.9, "peaks": (8.0, 8.0)}
    beyond = [level(n, 157, upstream=at_once) for n in (20, 40)]
    found = named(level(1), *beyond)
    assert found.resource == "concurrency-limit"
    assert found.why.startswith("8 calls at a time at the upstream, while threads, connections")


def test_calls_of_the_users_are_not_a_limit():
    """Twenty users, twenty calls at a time: something else is slow."""
    at_once = {"in_flight": 19.9, "peaks": (20.0, 20.0)}
    one = level(20, 300, upstream=at_once)
    assert resource(level(1), level(10), one) == "unknown"
    two = {"in_flight": 39.9, "peaks": (40.0, 40.0)}
    fan_out = level(20, 290, upstream=two, gauges={"calls": 2.0})
    assert resource(level(1), level(10), fan_out) == "unknown"


def test_a_level_that_is_short_by_chance_has_no_limit():
    """The lowest level looks 12 % quicker than it is; it had a hundred requests."""
    quick = level(1)
    lucky = Estimate(value=1.12 * quick.throughput, low=17.6, high=26.3)
    quick = replace(quick, point=quick.point.model_copy(update={"throughput": lucky}))
    at_once = {"in_flight": 39.5, "peaks": (40.0, 40.0)}
    assert resource(quick, level(20), level(40, upstream=at_once)) is None


def test_levels_that_are_all_beyond_the_knee_are_explained_too():
    seen = [blocking(n, 198, waiting=n - 10) for n in (20, 40, 80)]
    found = limits(seen, ceilings(seen, {}, None))
    assert {one.resource for one in found.values()} == {"threads"}
    assert sorted(found) == [20, 40, 80]


def test_threads_that_wait_for_something_inside_are_not_named():
    """All threads busy, but the upstream never sees more than four calls."""
    at_once = {"in_flight": 3.95, "peaks": (4.0, 4.0)}
    beyond = [blocking(n, 79, waiting=n - 10, upstream=at_once) for n in (20, 40)]
    assert resource(blocking(1), *beyond) == "concurrency-limit"


def test_from_outside_a_plateau_is_a_fixed_number_at_a_time():
    at_once = {"in_flight": 39.5, "peaks": (40.0, 40.0)}
    beyond = [level(n, 784, black_box=True, cpu=0.0008, upstream=at_once) for n in (80, 160)]
    found = named(level(4, black_box=True), *beyond)
    assert (found.resource, found.source) == ("concurrency-limit", "outside")
    assert found.why.startswith("40 calls at a time at the upstream, at any load, whatever limits")


def test_from_outside_a_number_that_one_setting_has_names_it():
    at_once = {"in_flight": 19.5, "peaks": (20.0, 20.0)}
    seen = [level(2, black_box=True)]
    seen += [level(n, 392, black_box=True, cpu=0.0008, upstream=at_once) for n in (40, 80)]
    found = named(*seen, settings={"threads": 20, "pool": 40})
    assert found.resource == "threads"
    assert found.why == (
        "20 calls at a time at the upstream, at any load, as the number of threads is set to; "
        "20 threads / 50 ms = 400/s is the ceiling"
    )
    assert resource(*seen, settings={"threads": 20, "pool": 20}) == "concurrency-limit"
    assert resource(*seen, settings={"threads": 21, "pool": 40}) == "concurrency-limit"


def test_from_outside_a_service_of_unknown_cpu_needs_a_number_that_never_changes():
    dark = {"black_box": True, "cpu": CPU}
    varies = [
        replace(level(n, 200, upstream={"peaks": (11.0, 15.0)}, **dark), cpu=None) for n in (40, 80)
    ]
    assert resource(level(1, black_box=True), *varies) == "unknown"


def test_from_outside_a_varying_number_is_not_a_limit():
    """The mean number of calls is the same at each level, but it varies between 24 and 30."""
    varies = {"in_flight": 22.0, "peaks": (24.0, 30.0)}
    dark = [level(n, 400, black_box=True, upstream=varies) for n in (40, 80)]
    assert resource(level(1, black_box=True), *dark) == "unknown"


def test_from_outside_a_process_that_uses_its_core_is_cpu_or_churn():
    def seen(connections, cpu):
        opened = {"connections": connections}
        return [level(n, 1 / cpu, cpu=cpu, black_box=True, upstream=opened) for n in (1, 30, 60)]

    assert resource(*seen(0.01, 0.012)) == "cpu"
    assert resource(*seen(1.0, 0.018)) == "churn"
    assert resource(*seen(1.0, 0.002)) == "cpu"


def test_nothing_that_is_used_up_is_unknown():
    beyond = [
        level(n, x, upstream={"in_flight": y, "peaks": (3 * y, 2 * y)})
        for n, x, y in ((20, 150, 7.0), (40, 120, 5.5))
    ]
    found = named(level(1), *beyond)
    assert found.resource == "unknown"
    assert found.ceiling is None


def test_full_threads_far_below_their_ceiling_are_unknown():
    beyond = [
        blocking(n, 60, waiting=n - 10, upstream={"in_flight": y, "peaks": (3 * y, 2 * y)})
        for n, y in ((20, 3.0), (40, 2.2))
    ]
    assert resource(blocking(1), *beyond) == "unknown"


def test_an_upstream_without_a_ledger_is_named_where_its_time_is_what_grows():
    def seen(users, wait, permits=None):
        phases = {"upstream": CALL + wait, "own": CPU}
        return replace(level(users, permits, phases=phases), upstream=None)

    assert resource(seen(1, 0.0), seen(20, 0.15, 98), seen(40, 0.35, 98)) == "upstream"


def test_missing_gauges_name_nothing():
    bare = {"threads": None, "pools": (), "lag": None, "loop_cpu": None}
    beyond = [replace(level(n, 150, gauges=bare), upstream=None, cpu=None) for n in (20, 40)]
    assert resource(level(1, gauges=bare), *beyond) == "unknown"


def test_the_reason_of_an_invalid_level_is_its_limit():
    spoilt = Limit(resource="generator", why="the load generator was the bottleneck")
    broken = level(40, 150)
    broken = replace(broken, point=point(40, 150, 0.3, valid=False, limit=spoilt))
    assert named(level(1), level(20), broken) == spoilt


def test_an_invalid_level_is_not_explained():
    broken = replace(level(40, 150), point=point(40, 150, 0.3, valid=False))
    assert named(level(1), level(20), broken) is None


def test_constant_failures_are_not_a_limit():
    seen = [level(n, n / (CALL + CPU) * 0.8, failing=0.2) for n in (1, 10, 20)]
    times = [
        replace(one, point=point(one.level, one.throughput, 0.051, failing=0.2)) for one in seen
    ]
    assert named(*times) is None


def test_in_the_open_model_an_over_saturated_rate_is_explained():
    def rated(users, permits=None, waiting=0.0, steady="steady"):
        one = blocking(users, permits, waiting=waiting)
        changed = one.point.model_copy(
            update={"model": "open", "level": users, "steady": steady, "response_time": {}}
            if steady == "over-saturated"
            else {"model": "open", "steady": steady}
        )
        return replace(one, point=changed)

    low = rated(1)
    assert resource(low, rated(20, 198, 500, "over-saturated")) == "threads"


def test_a_busy_thread_pool_at_the_knee_is_named_if_requests_wait():
    assert resource(blocking(1), blocking(11, 198, waiting=1)) == "threads"
    assert full(10, 1).busy > 9


@pytest.mark.parametrize("seed", range(8))
def test_nothing_limits_a_service_with_exponential_times_and_room_for_all(seed):
    run = run_of(played(System([Station(exponential(0.05))]), (1, 5, 10, 20, 40, 80), seed))
    assert [point.limit for point in run.of("a")] == [None] * 6
    assert (run.knees["a"].level, run.knees["a"].high) == (None, None)


def test_an_upstream_with_a_queue_is_named_as_slower_beyond_its_servers():
    run = run_of(played(servers_of(20, exponential(0.05)), (1, 5, 10, 20, 40, 80)))
    limits = {point.level: point.limit for point in run.of("a") if point.limit}
    assert {level: limit.resource for level, limit in limits.items()} == {
        40: "upstream",
        80: "upstream",
    }
    assert limits[80].why.startswith("upstream: a call takes ")


@pytest.mark.parametrize(("reached", "said"), [(197.6, "is the ceiling"), (199.5, "predicts")])
def test_a_value_below_a_measured_throughput_is_not_called_the_ceiling(reached, said):
    seen = [blocking(1), blocking(20, reached, waiting=10), blocking(40, reached, waiting=30)]
    bounds = ceilings(seen, {}, None)
    why = limits(seen, bounds)[40].why
    assert said in why
    if said == "predicts":
        assert why.endswith("10 threads / 50.5 ms predicts 198/s, and 200/s was measured")
        assert origin(bounds[0]) == "as measured; 10 threads / 50.5 ms predicts 198/s"
        assert bounds[0].throughput == limits(seen, bounds)[40].ceiling == 199.5
    assert bounds[0].finding is None


def refused(users, share, kind="429", **upstream):
    """A level at which the service answers this share of the requests with 429, or another way."""
    seen = level(users, 50.0, failing=share, upstream={"calls": 50.0, **upstream})
    kinds = {kind: round(share * seen.point.requests)}
    errors = seen.point.errors.model_copy(update={"kinds": kinds})
    return replace(seen, point=seen.point.model_copy(update={"errors": errors}), cpu=0.97)


def test_requests_that_the_service_refuses_itself_are_the_cause_also_where_refusing_takes_all_cpu():
    limit = named(level(1), level(2), refused(4, 0.9), refused(8, 0.95))
    assert limit.resource == "refusals"
    assert "95 % of the requests get 429, and the upstream refused none" in limit.why


def test_requests_that_fail_as_at_any_load_take_their_part_of_a_number_at_a_time():
    """Three calls at a time of 50 ms; 40 % of the requests fail after them."""
    seen = [level(1, 12.0, failing=0.4, black_box=True)]
    for users in (10, 20, 40):
        three = {"calls": 60.0, "in_flight": 3.0, "peaks": (3.0,)}
        seen.append(level(users, 36.0, failing=0.4, black_box=True, upstream=three))
    assert resource(*seen) == "concurrency-limit"


def test_a_number_at_a_time_is_not_missed_for_the_chance_of_the_lowest_level():
    """The few calls of one user took 80 ms in the mean by chance, and those above 50 ms."""
    low = level(1, 12.0, call=0.08, black_box=True)
    five = {"calls": 100.0, "in_flight": 5.0, "peaks": (5.0,)}
    seen = [level(users, 100.0, black_box=True, upstream=five) for users in (20, 40)]
    assert resource(low, *seen) == "concurrency-limit"


def test_as_many_refusals_at_every_level_are_no_limit():
    assert refused(5, 0.3).throughput == refused(80, 0.3).throughput  # both beyond the knee
    seen = [refused(users, 0.3) for users in (5, 20, 80)]
    assert "refusals" not in {resource(*seen[: count + 1]) for count in range(1, 3)}
    few = refused(40, 0.06)
    errors = few.point.errors.model_copy(update={"kinds": {"429": 4}})
    few = replace(few, point=few.point.model_copy(update={"requests": 60, "errors": errors}))
    assert resource(level(1), level(2), few) != "refusals"  # by chance


def test_a_service_that_answers_with_a_page_in_place_of_json_refuses():
    limit = named(level(1), level(2), refused(4, 0.9, "HTML page"), refused(8, 0.95, "HTML page"))
    assert limit.resource == "refusals"
    assert "95 % of the requests get an HTML page with a status of success" in limit.why


def test_refusals_that_the_upstream_made_are_not_those_of_the_service():
    passed_on = {"calls": 500.0, "refused": 0.9, "failing": 0.9}
    assert resource(level(1), level(2), refused(4, 0.9, **passed_on)) == "upstream"


def test_a_low_level_has_not_locked_up_because_others_have_more_users():
    """One user of a hundred who thinks makes hardly a call, and a hundredth of the requests."""
    quiet = {"in_flight": 0.02, "peaks": (1.0,)}
    assert limits([level(1, upstream=quiet), level(40), level(100)], []) == {}


def test_an_upstream_that_is_called_as_before_for_users_who_gave_up_is_no_lock_up():
    seen = [level(2, 20.0, call=0.3), level(20, 20.0, call=0.3)]
    busy = {"in_flight": 5.8, "peaks": (6.0,), "calls": 20.0}
    gone = level(200, 0.01, call=0.3, failing=0.999, upstream=busy)
    assert limits([*seen, gone], [])[200].resource != "lock-up"
    idle = level(200, 0.01, call=0.3, failing=0.999, upstream={"in_flight": 0.0, "peaks": (0.0,)})
    assert limits([*seen, idle], [])[200].resource == "lock-up"
