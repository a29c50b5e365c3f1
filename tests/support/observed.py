"""Levels of a service as analysis would observe them, made of plain arithmetic."""

from loadtests.analysis.causes.observations import Observation
from loadtests.analysis.causes.service_gauges import PoolGauges, ServiceGauges, ThreadGauges
from loadtests.analysis.causes.upstream_ledger import UpstreamUse
from loadtests.results import Errors, Estimate, Point

CALL = 0.050  # seconds in the upstream
CPU = 0.001  # of a request


def point(level, throughput, time, *, failing=0.0, limit=None, valid=True, phases=None, **more):
    times = dict.fromkeys(("p50", "p95", "p99", "mean"), Estimate(value=time))
    return Point(
        deployment="a",
        request="all",
        level=level,
        requests=round(5 * throughput / (1 - failing)),
        seconds=5.0,
        throughput=Estimate(value=throughput),
        response_time=times,
        service_time=times,
        errors=Errors(rate=failing),
        phases={"mean": phases} if phases else {},
        limit=limit,
        valid=valid,
        **more,
    )


def level(
    users,
    permits=None,
    *,
    call=CALL,
    cpu=CPU,
    gauges=None,
    upstream=None,
    black_box=False,
    failing=0.0,
    phases=None,
    **more,
):
    """
    What `users` see of a service that permits a number of requests a second (None: any number).

    Args:
        gauges, upstream: what differs from a service with 40 threads, 100 connections and room.
    """
    free = users / (call + cpu)
    throughput = free if permits is None else min(free, permits)
    rate = throughput / (1 - failing)
    flight = rate * call
    own = {
        "processes": 1,
        "threads": ThreadGauges(total=40, busy=0.0, waiting=0.0),
        "pools": (PoolGauges(client="httpx2", limit=100, used=min(flight, 100), waiting=0.0),),
        "lag": 0.001,
        "loop_cpu": min(rate * cpu, 1.0),
        "cpu": min(rate * cpu, 1.0),
        "requests": rate * 5,
        "calls": 1.0,
        "call": call + cpu / 2,
        "retried": 0.0,
        "connects": 0.0,
        "clients": 0.0,
        "constructing": 0.0,
    } | (gauges or {})
    ledger = {
        "calls": rate,
        "in_flight": flight,
        "peaks": (round(flight) + 1.0,),
        "stay": call,
        "asked": call,
        "connections": 0.0,
    } | (upstream or {})
    seen = {"cpu": own["cpu"], "cores": 1} | more
    return Observation(
        point=point(users, throughput, users / throughput, failing=failing, phases=phases),
        rate=rate,
        gauges=None if black_box else ServiceGauges(**own),
        upstream=UpstreamUse(**ledger),
        **seen,
    )


def full(total, waiting):
    """ThreadGauges that are all busy."""
    return ThreadGauges(total=total, busy=total - 0.1, waiting=waiting)


def used_up(limit, waiting, client="httpx2"):
    return (PoolGauges(client=client, limit=limit, used=limit - 0.1, waiting=waiting),)
