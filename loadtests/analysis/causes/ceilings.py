"""The throughput that each resource permits, predicted from settings and from the lowest level.

A bound is the capacity of a resource over what one request takes of it (Denning and Buzen, The
Operational Analysis of Queueing Network Models, 1978): T threads that a request holds for s seconds
permit T / s requests a second. What it takes is its `demand`, at the lowest level and under load.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from loadtests.analysis.causes.demand import IN_USE, Demand, demand, under_load, usable_cores
from loadtests.analysis.causes.observations import Observation
from loadtests.analysis.inputs.sample_parts import json_table
from loadtests.analysis.law import Law, law
from loadtests.analysis.numbers import duration, load, percent, rate, rounded
from loadtests.results import Ceiling, Limit, Resource
from mock_upstream.admission.rate_limits import Concurrency
from mock_upstream.profiles.profile import Profile

DEARER = 0.1  # of what a request takes: what is worth telling when it takes more under load
DEARER_ENDS = "more under load"
BOUND = 0.85  # of a ceiling under load: with so much throughput, it is what was met
FAILED = 1.1  # times a ceiling: what was measured beyond it, however short the window was
REFUTED = 1.02  # times a ceiling: it cannot be one where so much was measured


def ceilings(
    seen: Sequence[Observation], settings: Mapping[str, Any], profile: Profile | None
) -> list[Ceiling]:
    """
    The ceilings of one deployment, the lowest first.

    Those that cannot be known are left out, and those below a throughput that was measured.

    Args:
        seen: its levels, rising.
        settings: what its plan sets, where its telemetry does not say it.
        profile: of the upstream, where the mock plays it.
    """
    takes = demand(seen)
    bounds = law(one.point for one in seen)
    if takes is None or bounds is None:
        return []

    def permitted(takes: Demand) -> list[Ceiling | None]:
        return [
            _threads(seen, settings, takes),
            _pool(seen, settings, takes),
            _slots(seen, settings, takes),
            _loop_ceiling(seen, takes),
            _cpu_ceiling(seen, takes),
            *_upstream(seen, profile, takes),
        ]

    found, reached = permitted(takes), highest(seen)
    there = _loaded(seen, bounds)
    most = max(map(_proven, seen), default=0.0)
    if there is not None:
        beyond = permitted(under_load(there, takes))
        found = [
            other
            if one and other and one.throughput < most
            else one and other and _compared(one, other, there, reached)
            for one, other in zip(found, beyond, strict=True)
        ]
    most = max(most, reached / FAILED)
    known = [met(one, reached) for one in found if one and one.throughput >= most]
    return sorted(known, key=lambda one: one.throughput)


def highest(seen: Sequence[Observation]) -> float:
    """
    The highest throughput that was measured; successes a second.

    Of a level that is not valid as well: no disturbance makes a service faster.
    """
    return max((one.throughput for one in seen if one.point.seconds), default=0.0)


def predicted(one: Ceiling) -> float:
    """The throughput that the law gives, whatever was measured."""
    return one.throughput if one.predicted is None else one.predicted


def exceeded(one: Ceiling, reached: float) -> bool:
    """Whether more was measured than the law gives, as both are printed."""
    return reached > predicted(one) and rate(reached) != rate(predicted(one))


def refuted(one: Ceiling, reached: float) -> bool:
    """Whether so much more was measured that it is not a ceiling."""
    return reached > REFUTED * predicted(one) and exceeded(one, reached)


def met(one: Ceiling, reached: float) -> Ceiling:
    """A ceiling that is not below what was measured; `predicted` is below it then."""
    if not exceeded(one, reached) or one.predicted is not None:
        return one
    return one.model_copy(
        update={
            "throughput": reached,
            "predicted": one.throughput,
            "loaded": None if one.loaded is None else max(one.loaded, reached),
        }
    )


def explained(bounds: Sequence[Ceiling], limits: Iterable[Limit]) -> list[Ceiling]:
    """The ceilings; the finding of one that is lower under load says that churn is why."""
    if not any(limit.resource == "churn" for limit in limits):
        return list(bounds)
    return [
        one.model_copy(update={"finding": f"{one.finding}: churn"})
        if one.resource == "cpu" and one.finding and one.finding.endswith(DEARER_ENDS)
        else one
        for one in bounds
    ]


def _proven(one: Observation) -> float:
    """The throughput that no ceiling can lie below, chance and rounding allowed for."""
    reached = one.point.throughput
    return (reached.low if reached.low is not None else 0.0) / REFUTED


def _loaded(seen: Sequence[Observation], bounds: Law) -> Observation | None:
    """The lowest level beyond the knee; None where the lowest of all lies there, or none does."""
    valid = [one for one in seen if one.point.counts and one.throughput]
    there = next((one for one in valid if not bounds.follows(one.point)), None)
    return None if there is None or there is valid[0] else there


def _compared(one: Ceiling, other: Ceiling, there: Observation, reached: float) -> Ceiling:
    """
    A ceiling with what it is under load, and with a finding where the two differ.

    Args:
        other: the same resource's, with what a request takes at the level `there`.
        reached: the highest throughput that was measured.
    """
    below = one.model_copy(update={"loaded": max(other.throughput, reached)})
    changed = one.throughput / other.throughput - 1
    if abs(changed) < DEARER or not one.capacity or not other.capacity:
        return below
    each, beyond = one.capacity / one.throughput, other.capacity / other.throughput
    ends = DEARER_ENDS if changed > 0 else "less under load"
    finding = (
        f"at {load(there.level, there.point.model)} a request takes {duration(beyond)} of it "
        f"instead of {duration(each)}: {percent(abs(changed))} {ends}"
    )
    if changed > 0 and BOUND * other.throughput <= reached < one.throughput:
        finding = f"measured {rate(reached)} of {rate(one.throughput)} predicted: {finding}"
    return below.model_copy(update={"finding": finding})


def profile_of(plan: Mapping[str, Any]) -> Profile | None:
    """What the mock played; None when the plan does not tell, or in another version's words."""
    upstream = plan.get("upstream")
    try:
        if isinstance(upstream, str):
            return Profile.model_validate_json(upstream)
        return Profile.model_validate(upstream)
    except ValidationError:
        return None


def settings_of(plan: Mapping[str, Any], deployment: str) -> dict[str, Any]:
    """What the plan sets of a variant; empty for a service of the user's own."""
    return json_table(plan, "deployments", deployment, "settings")


def number(settings: Mapping[str, Any], name: str) -> int | None:
    value = settings.get(name)
    good = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if good else None


def _threads(
    seen: Sequence[Observation], settings: Mapping[str, Any], takes: Demand
) -> Ceiling | None:
    gauges = [one for one in seen if one.gauges and one.gauges.threads]
    if takes.thread and gauges:
        most = max(one.gauges.threads.total for one in gauges if one.gauges and one.gauges.threads)
        return _ceiling("threads", most, takes.thread, _counted(most, "thread"))
    if takes.held is None or any(one.gauges and one.gauges.thread is not None for one in gauges):
        return None
    if gauges:
        threads = [one.gauges.threads for one in gauges if one.gauges and one.gauges.threads]
        used = any(
            had.busy >= IN_USE * one.throughput * takes.held
            for one, had in zip(gauges, threads, strict=True)
        )
        total = max(had.total for had in threads) if used else None
    else:
        each = number(settings, "threads")
        total = each * seen[-1].workers if each else None
    if not total:
        return None
    return _ceiling("threads", total, takes.held, _counted(total, "thread"))


def _pool(
    seen: Sequence[Observation], settings: Mapping[str, Any], takes: Demand
) -> Ceiling | None:
    if takes.held is None:
        return None
    gauges = [one for one in seen if one.gauges and one.gauges.pools]
    total: float | None = None
    if gauges:
        for one in gauges:
            pool = one.gauges.fullest if one.gauges else None
            if pool and pool.used >= IN_USE * one.throughput * takes.held:
                total = max(total or 0.0, pool.limit or 0.0)
    elif not any(one.gauges for one in seen) and (each := number(settings, "pool")):
        total = float(each * seen[-1].workers)
    if not total:
        return None
    return _ceiling("pool", total, takes.held, _counted(total, "connection"))


def _slots(
    seen: Sequence[Observation], settings: Mapping[str, Any], takes: Demand
) -> Ceiling | None:
    """The ceiling of a process-wide semaphore; one for each request bounds its own calls alone."""
    if takes.held is None:
        return None
    gauges = [one.gauges for one in seen if one.gauges]
    semaphores = [one.semaphore for one in gauges if one.semaphore]
    each = number(settings, "max_concurrent")
    total = max((one.limit or 0.0 for one in semaphores), default=0.0)
    if not gauges and each:
        total = each * seen[-1].workers
    return (
        _ceiling("concurrency-limit", total, takes.held, f"{rounded(total, 4)} at a time")
        if total
        else None
    )


def _loop_ceiling(seen: Sequence[Observation], takes: Demand) -> Ceiling | None:
    if takes.loop is None:
        return None
    loops = seen[-1].workers
    return _ceiling("loop", loops, takes.loop, _counted(loops, "loop"))


def _cpu_ceiling(seen: Sequence[Observation], takes: Demand) -> Ceiling | None:
    if not takes.cpu:
        return None
    cores = usable_cores(seen[-1])
    return _ceiling("cpu", cores, takes.cpu, _counted(cores, "core"))


def _upstream(
    seen: Sequence[Observation], profile: Profile | None, takes: Demand
) -> list[Ceiling | None]:
    found: list[Ceiling | None] = []
    ledgers = [one.upstream for one in seen if one.upstream]
    servers = next((one.servers for one in reversed(ledgers) if one.servers), None)
    service = next((one.service for one in ledgers if one.service), None)
    if servers and service:
        found.append(
            _ceiling("upstream", servers, takes.calls * service, _counted(servers, "server"))
        )
    for limit in profile.limits if profile else ():
        if limit.key not in ("all", "address"):
            continue  # how many of those there are is not known
        if isinstance(limit, Concurrency):
            if takes.call:
                held = takes.calls * takes.call
                found.append(_ceiling("upstream", limit.limit, held, f"{limit.limit} at a time"))
            continue
        allowed = limit.limit / limit.per
        calls = f" / {rounded(takes.calls, 3)} calls" if takes.calls != 1 else ""
        how = f"a rate limit of {rate(allowed)}{calls}"
        found.append(Ceiling(resource="upstream", throughput=allowed / takes.calls, how=how))
    return found


def _counted(count: float, noun: str) -> str:
    return f"{rounded(count, 4)} {noun}" + ("" if count == 1 else "s")


def _ceiling(resource: Resource, capacity: float, seconds: float, words: str) -> Ceiling | None:
    if seconds <= 0 or not math.isfinite(seconds):
        return None
    how = f"{words} / {duration(seconds)}"
    return Ceiling(resource=resource, throughput=capacity / seconds, how=how, capacity=capacity)
