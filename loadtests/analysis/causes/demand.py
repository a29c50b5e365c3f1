"""What one request takes of each resource.

That is measured at the lowest level, where hardly any request waits, and once more at the lowest
level that does not follow the load: a request may take more under load, as one does that opens
connections which a quiet service keeps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from loadtests.analysis.causes.observations import Observation

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


def under_load(there: Observation, takes: Demand) -> Demand:
    """What a request takes there; what is not known there, as at the lowest level."""
    cpu = there.cpu_each if _counted_cpu(there) else takes.cpu
    call = None if takes.call is None else _call(there, cpu)
    loaded = replace(takes, cpu=cpu or takes.cpu, call=takes.call if call is None else call)
    thread = None if takes.thread is None else _thread(there, loaded)
    return replace(loaded, thread=thread or takes.thread)


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
