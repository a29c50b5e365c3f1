"""Whether the upstream binds, or what is asked of it again and again."""

import math

from loadtests.analysis.causes.case import FULL, ROOM, Case, Found
from loadtests.analysis.causes.demand import LATE
from loadtests.analysis.numbers import duration, percent, rate, rounded
from loadtests.results import Ceiling

REFUSING = 0.05  # of the calls
FAILING = 0.1  # of the calls: an upstream that fails so often has calls repeated
REPEATED = 0.3  # calls for each request beyond those that it takes
FEW = 30  # calls, whose mean is left to chance
SLOWER = 1.4  # times the upstream's time at the lowest level


def retries(case: Case) -> Found | None:
    """Calls that are made again, while the upstream fails."""
    now = case.now
    calls = now.per_request
    if not calls:
        return None
    if now.gauges and now.gauges.retried is not None:
        repeated = now.gauges.retried
    else:
        repeated = calls - case.takes.calls
        if repeated < REPEATED * case.takes.calls:
            return None
    failing = now.upstream.failing if now.upstream else repeated / calls
    if repeated < REPEATED or failing < FAILING:
        return None
    share = percent(failing)
    why = f"retries: {rounded(calls, 2)} calls a request, as {share} of them fail and come again"
    return Found("retries", None, why)


def refusing(case: Case) -> Found | None:
    """An upstream that turns calls away."""
    up = case.now.upstream
    usual = case.low.upstream.refused if case.low.upstream and case.low is not case.now else 0.0
    if up is None or up.refused - usual < REFUSING:
        return None
    admitted = up.calls * (1 - up.refused)
    ceiling = _nearest(case)
    text = f"upstream: it turns {percent(up.refused)} of {rate(up.calls)} calls away"
    if ceiling is None:
        return Found("upstream", 1.0, f"{text} and serves {rate(admitted)}")
    return Found("upstream", case.now.throughput / ceiling.throughput, text, ceiling)


def servers(case: Case) -> Found | None:
    """An upstream whose servers are all at work."""
    up = case.now.upstream
    if up is None or up.servers is None or up.busy is None or up.busy < FULL:
        return None
    if not up.queued or up.queued < 0.1 * (up.service or up.queued):
        return None
    why = (
        f"upstream: {rounded(up.busy * up.servers, 3)} of {up.servers} servers busy, "
        f"a call waits {duration(up.queued)} for one"
    )
    return Found("upstream", up.busy, why, _nearest(case))


def slower(case: Case) -> Found | None:
    """An upstream that takes longer under load, by the mock's word; with room in the service."""
    now, low = case.now, case.low
    if now.upstream and low.upstream:
        then, takes = low.upstream.stay, now.upstream.stay
        # Latencies are drawn: that these calls were to take longer is not the work of the load.
        asked, few = now.upstream.asked, (now.upstream.answered or math.inf) < FEW
        if takes and asked and (few or takes < SLOWER * asked):
            return None
    elif (case.cpu or 0.0) < ROOM and (case.lag or 0.0) < LATE:
        then, takes = low.phases.get("upstream"), now.phases.get("upstream")
        grown = (now.time or 0.0) - (low.time or 0.0)
        if then is None or takes is None or takes - then < 0.5 * grown:
            return None
    else:
        return None
    if not then or not takes or takes < SLOWER * then:
        return None
    why = (
        f"upstream: a call takes {duration(takes)} there instead of {duration(then)} at "
        f"{case.below}"
    )
    return Found("upstream", None, why)


def _nearest(case: Case) -> Ceiling | None:
    """The ceiling of the upstream that was met."""
    seen = case.now.throughput
    these = [one for one in case.ceilings if one.resource == "upstream"]
    return (
        min(these, key=lambda one: abs(one.throughput / seen - 1), default=None) if seen else None
    )
