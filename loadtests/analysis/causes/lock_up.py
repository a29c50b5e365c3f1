"""Whether a service has locked up: hardly a request succeeds, and nothing in it runs."""

from loadtests.analysis.causes.case import FULL, QUEUE, Case, Found
from loadtests.analysis.numbers import percent, rate, rounded

STOPPED = 0.05  # of the highest throughput: hardly anything is answered
IDLE = 0.2  # of the CPU
QUIET = 0.05  # calls at the upstream for each user: nobody waits for it


def lock_up(case: Case) -> Found | None:
    """Requests that wait for something that only requests which wait could give back."""
    now, reached = case.now, max(one.throughput for one in case.levels)
    if now.point.model != "closed" or now.throughput > STOPPED * reached:
        return None
    share, upstream = case.cpu, now.upstream
    if share is None or share > IDLE or upstream is None:
        return None
    if upstream.in_flight > QUIET * now.level:
        return None
    why = (
        f"lock-up: {rate(now.throughput)}, where {rate(reached)} were reached with fewer users, "
        f"while CPU is used to {percent(share)} and {rounded(upstream.in_flight, 2)} calls are at "
        "the upstream: requests wait for each other"
    )
    gauges = now.gauges
    if gauges and gauges.threads and gauges.threads.busy >= FULL * gauges.threads.total:
        busy = f"{rounded(gauges.threads.busy, 3)} of {rounded(gauges.threads.total, 4)}"
        why += f"; {busy} threads are busy, {rounded(gauges.threads.waiting, 3)} wait for one"
    elif gauges and (pool := gauges.fullest) and pool.limit and pool.waiting >= QUEUE:
        of = f"{rounded(pool.used, 3)} of {rounded(pool.limit, 4)}"
        why += f"; {of} connections are in use, {rounded(pool.waiting, 3)} calls wait"
    return Found("lock-up", None, why)
