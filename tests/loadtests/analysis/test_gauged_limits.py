"""Limits of databases, executors and limiters, a limit for each host, and services that lock up."""

from dataclasses import replace

import pytest

from loadtests.analysis.causes import gauged
from loadtests.analysis.causes.binding import limits
from loadtests.analysis.causes.service_gauges import PoolGauges, ThreadGauges
from loadtests.results import Estimate
from tests.loadtests.analysis.test_causes import blocking, named
from tests.support.observed import CALL, CPU, level, used_up


def with_pool(users, client, limit, permits=None, waiting=0.0, **more):
    """A level of a service that holds a place of the limit for as long as a call takes."""
    here = level(users, permits)
    used = limit if waiting else min(here.rate * CALL, limit)
    pool = PoolGauges(client=client, limit=limit, used=used, waiting=waiting)
    return level(users, permits, gauges={"pools": (*here.gauges.pools, pool)} | more)


@pytest.mark.parametrize(
    ("client", "limit", "resource", "why"),
    [
        ("sqlalchemy", 15, "pool", "SQLAlchemy pool: 15 of 15 connections out, 24 waiting; "
         "15 connections / 50 ms = 300/s is the ceiling"),
        ("asyncio", 6, "threads", "asyncio's default executor: 6 of 6 threads busy, 24 calls "
         "waiting; 6 executor threads / 50 ms = 120/s is the ceiling"),
        ("executor", 6, "threads", "ThreadPoolExecutor: 6 of 6 threads busy, 24 calls waiting; "),
        ("anyio.CapacityLimiter", 10, "concurrency-limit",
         "anyio.CapacityLimiter: 10 of 10 tokens borrowed, 24 waiting; "),
        ("anyio.Semaphore", 10, "concurrency-limit",
         "anyio.Semaphore, as of Depends(max_concurrency): 10 of 10 places taken, 24 waiting; "),
    ],
)  # fmt: skip
def test_a_limit_of_the_service_is_named_as_its_library_is_called(client, limit, resource, why):
    beyond = [with_pool(n, client, limit, limit / CALL, 24) for n in (40, 80)]
    found = named(with_pool(1, client, limit), *beyond)
    assert (found.resource, found.why[: len(why)]) == (resource, why)
    assert found.ceiling == pytest.approx(limit / CALL, rel=0.03)
    assert found.evidence[0][1] == f"{limit} of {limit}"


def test_a_limit_with_room_is_not_named():
    def holding(here):
        pool = PoolGauges(client="sqlalchemy", limit=15, used=9.9, waiting=0.0)
        return replace(here, gauges=replace(here.gauges, pools=(*here.gauges.pools, pool)))

    beyond = [holding(blocking(n, 198, waiting=n - 10)) for n in (20, 40)]
    assert named(holding(blocking(1)), *beyond).why.startswith("thread pool: 10 of 10 threads")


def test_a_queue_at_a_limit_that_permits_far_more_is_anothers():
    beyond = [with_pool(n, "anyio.CapacityLimiter", 10, 40, 9) for n in (20, 40)]
    assert named(with_pool(1, "anyio.CapacityLimiter", 10), *beyond).resource == "unknown"


def test_the_innermost_of_two_full_limits_is_the_one_that_permits_less():
    def both(users, permits=None, waiting=0.0):
        inner = with_pool(users, "sqlalchemy", 3, permits, waiting and users - 3)
        here = with_pool(users, "asyncio", 6, permits, waiting)
        return replace(
            here, gauges=replace(here.gauges, pools=(*here.gauges.pools, inner.gauges.pools[-1]))
        )

    found = named(both(1), both(20, 60, 14.0), both(40, 60, 34.0))
    assert found.why.startswith("SQLAlchemy pool: 3 of 3 connections out, 37 waiting")


def test_an_exceeded_ceiling_is_left_out():
    assert gauged.ceilings([with_pool(1, "asyncio", 6), with_pool(20, "asyncio", 6, 300)]) == []
    [one] = gauged.ceilings([with_pool(1, "asyncio", 6), with_pool(20, "asyncio", 6, 118)])
    assert one.how == "6 executor threads / 50 ms"


def test_connections_for_one_host_are_said_to_be_for_it():
    beyond = [
        level(n, 198, gauges={"pools": used_up(10, n - 10, "aiohttp.host")}) for n in (20, 40)
    ]
    found = named(level(1, gauges={"pools": used_up(10, 0, "aiohttp.host")}), *beyond)
    assert found.why.startswith(
        "connection pool: 9.9 of 10 connections of aiohttp for this host in use, 30 calls waiting"
    )


def locked(users, *, starved=0.0, **upstream):
    held = ThreadGauges(total=4, busy=4, waiting=users - 4)
    idle = {"calls": 0.2, "in_flight": 0.0, "peaks": (1.0,)} | upstream
    gauges = {"threads": held}
    return level(users, 2, cpu=CPU, gauges=gauges, upstream=idle, starved=starved)


def test_a_lock_up_is_named_with_what_is_full():
    found = named(level(1), level(3), locked(20))
    assert found.resource == "lock-up"
    assert found.why.startswith("lock-up: 2/s, where 58.8/s were reached with fewer users, while")
    assert found.why.endswith("requests wait for each other; 4 of 4 threads are busy, 16 wait for "
                              "one")  # fmt: skip
    assert found.advice.startswith("find what a request holds while it waits for another one")


def test_a_service_that_waits_for_its_upstream_has_not_locked_up():
    waiting = locked(20, in_flight=19.5)
    assert named(level(1), level(3), waiting).resource != "lock-up"


def test_a_service_that_is_kept_from_a_core_has_not_locked_up():
    """Its workers are being started again, say, while others use the core."""
    assert named(level(1), level(3), locked(20, starved=0.9)).resource != "lock-up"
    assert named(level(1), level(3), locked(20, starved=0.1)).resource == "lock-up"


def test_a_service_that_never_calls_the_mock_has_not_locked_up():
    """What its requests wait for, such as a host that the mock does not play, may be busy."""
    levels = level(1), level(3), locked(20)
    uncalled = [
        replace(one, upstream=replace(one.upstream, calls=0.0, in_flight=0.0)) for one in levels
    ]
    assert named(*uncalled).resource != "lock-up"


def stuck(users, mean, **upstream):
    """The lowest level: 0.4 requests a second succeed, in this time, and nothing goes on."""
    idle = {"calls": 0.4, "in_flight": 0.02, "peaks": (1.0,)} | upstream
    here = level(users, 0.4, upstream=idle)
    times = {name: Estimate(value=mean) for name in here.point.response_time}
    found = here.point.model_copy(update={"response_time": times, "in_flight": float(users)})
    return replace(here, point=found)


def test_a_lock_up_at_the_lowest_level_is_named_without_a_lower_one():
    [found] = limits([stuck(4, 0.06)], []).values()
    assert found.resource == "lock-up"
    assert found.why.startswith("lock-up: 0.4/s, with 4 requests in flight, of which those that "
                                "are answered take 60 ms, while CPU")  # fmt: skip


@pytest.mark.parametrize(
    ("mean", "upstream"), [(9.9, {}), (0.06, {"in_flight": 3.9}), (0.06, {"in_flight": 1.0})]
)
def test_slow_answers_and_calls_at_the_upstream_are_not_a_lock_up(mean, upstream):
    assert not limits([stuck(4, mean, **upstream)], [])
