"""The throughput that each resource permits, predicted from settings and from the lowest level.

A bound is the capacity of a resource over what one request takes of it (Denning and Buzen, The
Operational Analysis of Queueing Network Models, 1978): T threads that a request holds for s seconds
permit T / s requests a second. What a request takes is measured at the lowest level, where hardly
any request waits, and once more at the lowest level that does not follow the load: a request may
take more under load, as one does that opens connections which a quiet service keeps.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from loadtests.analysis.causes.observations import Observation
from loadtests.analysis.inputs.sample_parts import json_table
from loadtests.analysis.law import Law, law
from loadtests.analysis.numbers import duration, load, percent, rate, rounded
from loadtests.results import Ceiling, Limit, Resource
from mock_upstream.admission.rate_limits import Concurrency
from mock_upstream.profiles.profile import Profile

WHOLE = 0.15  # a number of calls per request that is so near to a whole one is that one
IN_USE = 0.3  # of the calls in flight: where fewer hold a resource, it is another's
COUNTED = 1.5
"""
Seconds of CPU from which on that of a request is known. With less, ticks are seen in it, and what
the process does in addition; and where it hardly does anything, each request wakes an idle core,
which took up to a fourth more.
"""
EXCESS = 2.0  # times the CPU: for longer than this, a loop is held by something that waits
LATE = 0.004  # seconds that a blocked loop is late in the mean; a busy one that keeps up: 1 ms
IDLE = 0.7  # of the CPU: a loop that is late with less was blocked
STARVED = 0.15  # of the time: a loop that waits so long for a core is late for that
HELD = 0.002  # seconds, at least, that something holds the loop
DEARER = 0.1  # of what a request takes: what is worth telling when it takes more under load
DEARER_ENDS = "more under load"
BOUND = 0.85  # of a ceiling under load: with so much throughput, it is what was met
FAILED = 1.1  # times a ceiling: what was measured beyond it, however short the window was
REFUTED = 1.02  # times a ceiling: it cannot be one where so much was measured


@dataclass(frozen=True, slots=True)
class Demand:
    """
    What one request takes when nobody queues; seconds, and numbers of calls.

    `call`: of a connection, for each call. `loop`: of the event loop, where it waits while it has
    work; None: not known, or no longer than its CPU. `thread`: of a worker thread, as the service
    measured it, what it does after the answer included; None: it did not.
    """

    calls: float
    call: float | None
    cpu: float | None
    loop: float | None
    thread: float | None = None

    @property
    def held(self) -> float | None:
        """Seconds for which the calls of a request hold their connection; None: not known."""
        return self.calls * self.call if self.call is not None else None


def lowest(seen: Sequence[Observation]) -> Observation | None:
    """The lowest level that may be believed."""
    known = [
        one
        for one in seen
        if one.point.counts and not one.point.other_mix and one.throughput and one.time
    ]
    return next((one for one in known if one.point.valid), known[0] if known else None)


def demand(seen: Sequence[Observation]) -> Demand | None:
    """The demand, from one deployment's levels by rising level; None: no level is valid."""
    low = lowest(seen)
    if low is None:
        return None
    calls = _calls(low)
    cpu = _cpu(seen)
    call = _call(low, cpu)
    takes = Demand(calls, call, cpu, _loop(low, seen, calls, call, cpu))
    return replace(takes, thread=_thread(low, takes))


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
        beyond = permitted(_under_load(there, takes))
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


def _under_load(there: Observation, takes: Demand) -> Demand:
    """What a request takes there; what is not known there, as at the lowest level."""
    cpu = there.cpu_each if _counted_cpu(there) else takes.cpu
    call = None if takes.call is None else _call(there, cpu)
    loaded = replace(takes, cpu=cpu or takes.cpu, call=takes.call if call is None else call)
    thread = None if takes.thread is None else _thread(there, loaded)
    return replace(loaded, thread=thread or takes.thread)


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


def _calls(low: Observation) -> float:
    """Calls per request, 1 when nobody knows; those that are made again are not meant."""
    calls = low.per_request
    if not calls:
        return 1.0
    if low.gauges and low.gauges.retried:
        calls = max(calls - low.gauges.retried, 1.0)
    whole = round(calls)
    return float(whole) if whole and abs(calls - whole) <= WHOLE * whole else calls


def _call(low: Observation, cpu: float | None) -> float | None:
    """
    The upstream's time, and what the client adds to it, which is no more than its CPU: everything
    beyond that is a queue.
    """
    call = low.gauges.call if low.gauges else None
    upstream = low.upstream
    stay = None
    if upstream:
        stay = upstream.service or upstream.asked or upstream.stay
    if stay is None:
        return call
    if call is None:
        return stay
    return stay + min(max(call - stay, 0.0), cpu or 0.0)


def _thread(low: Observation, takes: Demand) -> float | None:
    """
    Seconds that a request holds a worker thread, less what it waited in it for a connection, for
    the upstream's queue, and for a core where all are used; None where it is not told, or hardly
    any: threads that only validate answers are no limit.
    """
    gauges = low.gauges
    if gauges is None or gauges.thread is None:
        return None
    if gauges.thread < max(IN_USE * (low.time or 0.0), HELD):
        return None
    held = gauges.thread - low.phases.get("pool_wait", 0.0)
    if takes.call is not None and gauges.call is not None:
        held -= takes.calls * max(gauges.call - takes.call, 0.0)
    if takes.held is not None and (low.cpu or 0.0) >= IDLE * usable_cores(low):
        held = min(held, takes.held + (takes.cpu or 0.0))
    return held if held > 0 else None


def _cpu(seen: Sequence[Observation]) -> float | None:
    """CPU seconds of a request at the lowest level with enough CPU time to be counted."""
    known = [(one, each) for one in seen if one.point.counts and (each := one.cpu_each)]
    counted = [each for one, each in known if _counted_cpu(one)]
    return next(iter(counted or [each for _, each in known[-1:]]), None)


def _counted_cpu(one: Observation) -> bool:
    """Whether a level had enough CPU time to tell that of a request."""
    return (one.cpu_each or 0.0) * one.rate * one.point.seconds >= COUNTED


def _loop(
    low: Observation,
    seen: Sequence[Observation],
    calls: float,
    call: float | None,
    cpu: float | None,
) -> float | None:
    """
    Seconds that a request holds its event loop, where something blocks it.

    That is what a request spends before the app and for the loop, less its queue: with the others
    of a closed system as seen by one that arrives, s (1 + Q (N - 1) / N) (Schweitzer's estimate).
    """
    if low.gauges is None or call is None or not any(late(one) for one in seen):
        return None
    if one_at_a_time(seen):
        return calls * call + (cpu or 0.0)
    phases = low.phases
    if not phases:
        return None
    there = sum(phases.get(name, 0.0) for name in ("pre_app", "loop_wait", "own"))
    others = max(low.rate * there / low.workers, 0.0)
    share = (low.level - 1) / low.level if low.point.model == "closed" else 1.0
    held = there / (1 + share * others)
    return held if held > max(EXCESS * (cpu or 0.0), HELD) else None


def late(one: Observation) -> bool:
    """Whether its event loop is late, and that is not for want of CPU: something blocks it."""
    gauges = one.gauges
    if gauges is None or gauges.lag is None or gauges.lag < LATE:
        return False
    used = max(gauges.loop_cpu or 0.0, (one.cpu or 0.0) / usable_cores(one))
    return used < IDLE and one.starved < STARVED


def one_at_a_time(seen: Sequence[Observation]) -> bool:
    """Whether calls were never made at the same time, while there were users to make some."""
    top = seen[-1]
    if not top.gauges or top.gauges.call is None or top.gauges.calls is None:
        return False
    if top.point.model == "closed" and top.level < 2 * top.workers:
        return False
    at_once = top.gauges.call * top.gauges.calls * top.rate
    return 0.5 * top.workers <= at_once <= 1.1 * top.workers


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


def usable_cores(one: Observation) -> float:
    """
    The cores that the service can use, as its processes were read. Where they were not: a
    process of ours runs Python on one core, and of another service it is not known which cores it
    leaves to others.
    """
    if (usable := one.usable) is None:
        most = one.cores or one.workers
        usable = min(one.workers, most) if one.gauges else most
    return usable if one.quota is None else min(usable, one.quota)


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
