"""Whether at most N requests run at a time, where only that number is seen."""

from collections.abc import Mapping

from loadtests.analysis.causes.case import FULL, NEAR, ROOM, Case, Found
from loadtests.analysis.causes.ceilings import predicted
from loadtests.analysis.causes.demand import LATE, STARVED, under_load
from loadtests.analysis.numbers import duration
from loadtests.results import Ceiling, Resource

FLAT = 0.08  # that calls at the upstream may differ by between levels, and still be as many
STEADY = 0.05  # ... and their peaks, from second to second
OWN = 0.05  # ... and from the calls that the users make


def slots(case: Case) -> Found | None:
    """Calls at the upstream that stay as many, whatever the load, while nothing else is used up."""
    share = case.cpu
    if case.now.upstream is None or (share is not None and share >= ROOM):
        return None
    lag = case.lag
    if lag is not None and lag >= LATE:
        return None
    count = _plateau(case, sure=share is None or case.now.starved >= STARVED)
    if not count or case.takes.call is None or _users(case, count):
        return None
    # What calls take without a queue is known of each level, where the mock says what was asked.
    told = case.now.upstream.service or case.now.upstream.asked
    takes = under_load(case.now, case.takes) if told else case.takes
    held = takes.calls * (takes.call or case.takes.call)
    how = f"{count} at a time / {duration(held)}"
    made = Ceiling(resource="concurrency-limit", throughput=count / held, how=how, capacity=count)
    ceiling = case.ceiling("concurrency-limit") or made
    if not NEAR <= case.served(case.now.throughput) / ceiling.throughput <= 1 / NEAR:
        return None
    calls = "1 call" if count == 1 else f"{count} calls"
    mean = min(case.now.upstream.in_flight / count, 1.0)
    if case.now.gauges:
        why = f"{calls} at a time at the upstream, while threads, connections and CPU have room"
        return Found("concurrency-limit", mean, why, ceiling)
    set_so = [
        one
        for one in case.ceilings
        if one.resource in _SET and round(predicted(one) * held, 3) == count
    ]
    text = f"{calls} at a time at the upstream, at any load"
    if len(set_so) == 1:
        resource = set_so[0].resource
        return Found(resource, mean, f"{text}, as {_SET[resource]} is set to", set_so[0])
    hidden = count <= case.now.workers and case.now.point.outside is None
    rest = "; so a blocked event loop looks, too" if hidden else ""
    return Found("concurrency-limit", mean, f"{text}, whatever limits them{rest}", ceiling)


_SET: Mapping[Resource, str] = {  # what a plan sets the number of
    "threads": "the number of threads",
    "pool": "the size of the connection pool",
    "concurrency-limit": "the number at a time",
}


def _users(case: Case, count: int) -> bool:
    """Whether the calls are as many as the users make, and no limit."""
    made = case.in_flight
    return case.now.point.model == "closed" and any(
        abs(count - most) <= OWN * most for most in (made, made * case.takes.calls)
    )


def _plateau(case: Case, *, sure: bool) -> int | None:
    """
    How many calls are at the upstream at most; None when they are not as many at each load.

    Args:
        sure: only where their number hardly ever changes, as under a limit, and not in a service
            that is slow.
    """
    now = case.now.upstream
    assert now is not None
    if now.peaks:
        most = max(now.peaks)
        level = most - min(now.peaks) <= max(1.0, STEADY * most)
        filled = now.in_flight >= (FULL if sure or not _flat(case) else ROOM) * most
        return round(most) if level and filled else None
    return round(now.in_flight) if _flat(case) and not sure else None


def _flat(case: Case) -> bool:
    """Whether as many calls are at the upstream at each level beyond the knee, of two at least."""
    beyond = [
        one.upstream.in_flight
        for one in case.levels
        if one.upstream and one.point.counts and not case.law.follows(one.point)
    ]
    return len(beyond) >= 2 and max(beyond) - min(beyond) <= FLAT * max(beyond)
