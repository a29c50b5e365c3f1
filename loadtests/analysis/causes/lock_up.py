"""Whether a service has locked up: hardly a request succeeds, and nothing in it runs."""

import math

from loadtests.analysis.causes.case import FULL, QUEUE, Case, Found
from loadtests.analysis.numbers import duration, percent, rate, rounded

STOPPED = 0.05  # of the highest throughput: hardly anything is answered
IDLE = 0.2  # of the CPU
QUIET = 0.05  # calls at the upstream for each user: nobody waits for it
WORKS = 0.5  # of the calls that are at the upstream where the most is answered
ALONE_IDLE, ALONE_QUIET = 0.05, 0.2  # of the CPU, and calls in all, where no level is to compare


def lock_up(case: Case) -> Found | None:
    """Requests that wait for something that only requests which wait could give back."""
    now, share, upstream = case.now, case.cpu, case.now.upstream
    if now.point.model != "closed" or share is None or upstream is None:
        return None
    if not any(one.upstream and one.upstream.calls for one in case.levels):
        return None  # what its requests wait for is not the mock: without calls it may be anything
    # A service that is kept from a core has work, as where its workers are being started again.
    seen = _stopped(case, share + now.starved, upstream.in_flight)
    if not seen:
        return None
    why = (
        f"lock-up: {rate(now.throughput)}, {seen}, while CPU is used to {percent(share)} and "
        f"{rounded(upstream.in_flight, 2)} calls are at the upstream: requests wait for each other"
    )
    gauges = now.gauges
    if gauges and gauges.threads and gauges.threads.busy >= FULL * gauges.threads.total:
        busy = f"{rounded(gauges.threads.busy, 3)} of {rounded(gauges.threads.total, 4)}"
        why += f"; {busy} threads are busy, {rounded(gauges.threads.waiting, 3)} wait for one"
    elif gauges and (pool := gauges.fullest) and pool.limit and pool.waiting >= QUEUE:
        of = f"{rounded(pool.used, 3)} of {rounded(pool.limit, 4)}"
        why += f"; {of} connections are in use, {rounded(pool.waiting, 3)} calls wait"
    return Found("lock-up", None, why)


def _stopped(case: Case, work: float, calls: float) -> str:
    """
    What shows that hardly a request gets through, with nothing going on; empty where it does not.

    `work` is the part of the time in which the service computes, or waits for a core to do so.

    With fewer users more did; or, where the lowest level has locked up already, the answers that
    come are quick, and hardly one of the requests in flight waits for such a one (by Little's law).
    """
    now = case.now
    fewer = [one for one in case.levels if one.level < now.level]
    best = max(fewer, key=lambda one: one.throughput, default=now)
    reached = best.throughput
    if best is not now and now.throughput <= STOPPED * reached:
        # One that works as before, for users who no longer wait for it, is not locked up.
        usual = best.upstream.in_flight if best.upstream else math.inf
        idle = work <= IDLE and calls <= min(QUIET * now.level, WORKS * usual)
        return f"where {rate(reached)} were reached with fewer users" if idle else ""
    mean = now.point.response_time.get("mean")
    if mean is None or now.point.in_flight is None:
        return ""
    if work > ALONE_IDLE or calls > ALONE_QUIET or now.level == 1:
        return ""
    moving, stuck = now.throughput * mean.value, now.point.in_flight
    if not stuck or moving > STOPPED * stuck:
        return ""
    return (
        f"with {rounded(stuck, 3)} requests in flight, of which those that are answered take "
        f"{duration(mean.value)}"
    )
