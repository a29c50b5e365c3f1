"""Which resource holds throughput back at a level, and by what one sees it.

The innermost resource that is used up is the one that binds, as everything around it fills: an
upstream that is full fills the pool, the pool fills the threads, and a process without CPU makes
all of them look full. So they are asked from the inside out, and a resource is named only where its
own gauge shows that it is used up, somebody waits for it, and throughput is near to what it
permits. Where nothing does, the answer is "unknown".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from loadtests.analysis import evidence
from loadtests.analysis.ceilings import LATE, STARVED, Demand, demand, late, lowest, usable_cores
from loadtests.analysis.observations import Observation
from loadtests.analysis.words import duration, percent, rate, rounded
from loadtests.results import Ceiling, Limit, Resource

FOLLOWING = 0.9  # throughput that is at least this part of N / (R_0 + Z) follows the load
ANSWERED = 0.95  # ... and of the open model's rate
FULL = 0.9  # of a resource
ROOM = 0.8  # of the CPU: below, it is not what binds
QUEUE = 0.5  # requests, in the mean, that wait
NEAR = 0.7  # of a ceiling: with less throughput, something else holds the resource
LATE_SHARE = 0.1  # of the time that a request waits, by which a blocked loop is late in the mean
REFUSING = 0.05  # of the calls
FAILING = 0.1  # of the calls: an upstream that fails so often has calls repeated
REPEATED = 0.3  # calls for each request beyond those that it takes
SLOWER = 1.4  # times the upstream's time at the lowest level
CONSTRUCTING = 0.4  # of the CPU of a request: clients made for each call
RECONNECTING = 0.5  # connections opened for each call
DEARER = 0.25  # of the CPU of a request: what it costs more than at the lowest level
CLIENT = 0.008  # seconds of CPU: a connection costs one ms, a client with its TLS settings 17 ms
FLAT = 0.08  # that calls at the upstream may differ by between levels, and still be as many
STEADY = 0.05  # ... and their peaks, from second to second


@dataclass(frozen=True, slots=True)
class _Seen:
    """A level in question, with what it is compared with."""

    now: Observation
    low: Observation
    levels: Sequence[Observation]  # of the same deployment, rising
    takes: Demand
    ceilings: Sequence[Ceiling]

    def ceiling(self, resource: Resource) -> Ceiling | None:
        """The lowest of this resource."""
        return next((one for one in self.ceilings if one.resource == resource), None)

    def near(self, resource: Resource) -> bool:
        """Whether throughput comes near to what it permits; True where that is not known."""
        ceiling = self.ceiling(resource)
        return ceiling is None or self.now.throughput >= NEAR * ceiling.throughput

    @property
    def cpu(self) -> float | None:
        """The used part of the cores that its processes can use, or of its busiest loop's."""
        now = self.now
        shares = [] if now.cpu is None else [now.cpu / usable_cores(now)]
        if now.told and now.told.loop_cpu is not None:
            shares.append(now.told.loop_cpu)
        return max(shares, default=None)

    @property
    def lag(self) -> float | None:
        return self.now.told.lag if self.now.told else None


@dataclass(frozen=True, slots=True)
class _Found:
    """`why` in words; `ceiling`: the one that was met, where it is not the resource's lowest."""

    resource: Resource
    utilisation: float | None
    why: str
    ceiling: Ceiling | None = None


def limits(seen: Sequence[Observation], ceilings: Sequence[Ceiling]) -> dict[int, Limit]:
    """
    By level, what holds throughput back there; a level that follows the load is left out.

    Args:
        seen: the levels of one deployment, rising.
        ceilings: the same deployment's, the lowest first.
    """
    takes, low = demand(seen), lowest(seen)
    found = {}
    for now in seen:
        if now.point.limit is not None:  # not the service: the generator, the mock or the host
            found[now.level] = now.point.limit
        elif low and takes and now.point.valid:
            case = _Seen(now, low, seen, takes, ceilings)
            if limit := _limit(case):
                found[now.level] = limit
    return found


def follows(now: Observation, low: Observation) -> bool:
    """Whether throughput is what the load would give without a queue."""
    usual = 1 - low.failing
    if now.point.model == "open":
        unstable = now.point.steady == "over-saturated"
        return not unstable and now.throughput >= ANSWERED * usual * now.rate
    base = (low.time or 0.0) + now.think_time
    return base > 0 and now.throughput >= FOLLOWING * usual * now.level / base


def _limit(case: _Seen) -> Limit | None:
    if follows(case.now, case.low):
        found = next((one for ask in _QUEUES if (one := ask(case))), None)
        if found is None or (found.utilisation or 0.0) < 0.95:
            return None
    else:
        found = next((one for ask in _INSIDE_OUT if (one := ask(case))), None) or _unknown(case)
    ceiling = found.ceiling or case.ceiling(found.resource)
    return Limit(
        resource=found.resource,
        utilisation=None if found.utilisation is None else min(found.utilisation, 1.0),
        ceiling=ceiling.throughput if ceiling else None,
        why=found.why + (f"; {_equation(ceiling)}" if ceiling else ""),
        next=_next(case, found.resource, ceiling),
        evidence=evidence.told(case.now, case.low, found.resource, case.cpu, ceiling),
        source="telemetry" if case.now.told else "outside",
    )


def _equation(ceiling: Ceiling) -> str:
    return f"{ceiling.how} = {rate(ceiling.throughput)} is the ceiling"


_LIFTED: Mapping[Resource, str] = {
    "threads": "With more threads",
    "pool": "With a larger pool",
    "slots": "With more at a time",
    "loop": "Without what blocks the loop",
    "cpu": "With more CPU",
    "churn": "With connections that are kept",
    "retries": "Without the repeated calls",
    "upstream": "With a faster upstream",
}
_NOUNS: Mapping[Resource, str] = {
    "threads": "the threads",
    "pool": "the connection pool",
    "slots": "the number at a time",
    "loop": "the event loop",
    "cpu": "CPU",
    "upstream": "the upstream",
}


def _next(case: _Seen, resource: Resource, ceiling: Ceiling | None) -> str | None:
    """What binds when this one is lifted."""
    lifted = _LIFTED.get(resource)
    least = ceiling.throughput if ceiling else 0.0
    if resource != "retries":
        least = max(least, case.now.throughput)
    same = {resource, "cpu"} if resource == "churn" else {resource}
    others = [one for one in case.ceilings if one.resource not in same and one.throughput > least]
    if lifted is None or not others:
        return None
    then = others[0]
    return f"{lifted} the next ceiling is {_NOUNS[then.resource]}, at about {rate(then.throughput)}"


def _retries(case: _Seen) -> _Found | None:
    """Calls that are made again, while the upstream fails."""
    now = case.now
    calls = now.per_request
    if not calls:
        return None
    if now.told and now.told.retried is not None:
        repeated = now.told.retried
    else:
        repeated = calls - case.takes.calls
        if repeated < REPEATED * case.takes.calls:
            return None
    failing = now.upstream.failing if now.upstream else repeated / calls
    if repeated < REPEATED or failing < FAILING:
        return None
    share = percent(failing)
    why = f"retries: {rounded(calls, 2)} calls a request, as {share} of them fail and come again"
    return _Found("retries", None, why)


def _refusing(case: _Seen) -> _Found | None:
    """An upstream that turns calls away."""
    up = case.now.upstream
    usual = case.low.upstream.refused if case.low.upstream and case.low is not case.now else 0.0
    if up is None or up.refused - usual < REFUSING:
        return None
    admitted = up.calls * (1 - up.refused)
    ceiling = _nearest(case, "upstream", case.now.throughput)
    text = f"upstream: it turns {percent(up.refused)} of {rate(up.calls)} calls away"
    if ceiling is None:
        return _Found("upstream", 1.0, f"{text} and serves {rate(admitted)}")
    return _Found("upstream", case.now.throughput / ceiling.throughput, text, ceiling)


def _nearest(case: _Seen, resource: Resource, throughput: float) -> Ceiling | None:
    """Where a resource has several ceilings: the one that was met."""
    these = [one for one in case.ceilings if one.resource == resource]
    return min(these, key=lambda one: abs(one.throughput / throughput - 1), default=None)


def _servers(case: _Seen) -> _Found | None:
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
    return _Found("upstream", up.busy, why, _nearest(case, "upstream", case.now.throughput))


def _slower(case: _Seen) -> _Found | None:
    """An upstream that takes longer under load, by the mock's word; with room in the service."""
    now, low = case.now, case.low
    if now.upstream and low.upstream:
        then, takes = low.upstream.stay, now.upstream.stay
    elif (case.cpu or 0.0) < ROOM and (case.lag or 0.0) < LATE:
        then, takes = low.phases.get("upstream"), now.phases.get("upstream")
        grown = (now.time or 0.0) - (low.time or 0.0)
        if then is None or takes is None or takes - then < 0.5 * grown:
            return None
    else:
        return None
    if not then or not takes or takes < SLOWER * then:
        return None
    why = f"upstream: a call takes {duration(takes)} there instead of {duration(then)} at low load"
    return _Found("upstream", None, why)


def _cpu(case: _Seen) -> _Found | None:
    share = case.cpu
    if share is None or share < FULL:
        return None
    now, each = case.now, case.now.cpu_each
    cores = usable_cores(now)
    used = min(share, 1.0) * cores
    text = f"{rounded(used, 2)} of {_cores(cores)} used"
    churn = _churn(case, each)
    if churn:
        return _Found("churn", share, f"connection churn: {churn}; {text}", case.ceiling("cpu"))
    what = f", {duration(each)} for a request" if each else ""
    return _Found("cpu", share, f"CPU: {text}{what}")


def _cores(count: int) -> str:
    return "1 core" if count == 1 else f"{count} cores"


def _churn(case: _Seen, each: float | None) -> str | None:
    """What of the CPU is spent on clients and connections that could be kept; None: too little."""
    now, low = case.now, case.low
    told = now.told
    if not each:
        return None
    if told and told.constructing and told.constructing >= CONSTRUCTING * each:
        # That is by the clock: more than all of the CPU means that others ran meanwhile.
        part = min(told.constructing, each)
        return (
            f"{rounded(told.clients or 0.0, 2)} clients are made for a request, "
            f"{duration(part)} of its {duration(each)} of CPU"
        )
    opened = _opened(now)
    if opened is None or opened < RECONNECTING:
        return None
    before = _opened(low)
    cheap = low.cpu_each
    dearer = cheap is not None and each - cheap >= DEARER * each
    if now is not low and dearer and before is not None and before < opened / 2:
        then = duration(cheap or 0.0)
        return (
            f"{rounded(opened, 2)} connections are opened for a call, and a request takes "
            f"{duration(each)} of CPU instead of {then}"
        )
    if told is None and opened >= FULL and each >= CLIENT:
        return (
            f"{rounded(opened, 2)} connections are opened for a call, and a request takes "
            f"{duration(each)} of CPU, as one does that makes a client"
        )
    return None


def _opened(one: Observation) -> float | None:
    """Connections for each call."""
    if one.upstream and one.upstream.connections is not None:
        return one.upstream.connections
    if one.told and one.told.connects is not None and one.told.calls:
        return one.told.connects / one.told.calls
    return None


def _blocked(case: _Seen) -> _Found | None:
    """A loop that is late, and that is not for want of CPU."""
    lag = case.lag
    if lag is None or case.now.told is None or not late(case.now):
        return None
    waits = max((case.now.time or 0.0) - (case.low.time or 0.0), 0.0)
    if lag < LATE_SHARE * waits or not case.near("loop"):
        return None
    loop = case.now.told.loop_cpu
    used = f" while it uses {percent(loop)} of a core" if loop is not None else ""
    why = f"blocked event loop: it is {duration(lag)} late in the mean{used}"
    ceiling = case.ceiling("loop")
    utilisation = min(case.now.throughput / ceiling.throughput, 1.0) if ceiling else 1.0
    return _Found("loop", utilisation, why)


def _pool(case: _Seen) -> _Found | None:
    pool = case.now.told.fullest if case.now.told else None
    if pool is None or not pool.limit or pool.waiting < QUEUE or not case.near("pool"):
        return None
    if pool.used < FULL * pool.limit:
        return None
    of = f"{rounded(pool.used, 3)} of {rounded(pool.limit, 4)}"
    why = (
        f"connection pool: {of} connections of {pool.client or 'the client'} in use, "
        f"{rounded(pool.waiting, 3)} calls waiting"
    )
    return _Found("pool", pool.used / pool.limit, why)


def _semaphore(case: _Seen) -> _Found | None:
    semaphore = case.now.told.semaphore if case.now.told else None
    if semaphore is None or not semaphore.limit or semaphore.waiting < QUEUE:
        return None
    if semaphore.used < FULL * semaphore.limit or not case.near("slots"):
        return None
    why = (
        f"semaphore: {rounded(semaphore.used, 3)} of {rounded(semaphore.limit, 4)} places taken, "
        f"{rounded(semaphore.waiting, 3)} requests waiting"
    )
    return _Found("slots", semaphore.used / semaphore.limit, why)


def _threads(case: _Seen) -> _Found | None:
    threads = case.now.told.threads if case.now.told else None
    if threads is None or threads.waiting < QUEUE or not case.near("threads"):
        return None
    if threads.busy < FULL * threads.total:
        return None
    why = (
        f"thread pool: {rounded(threads.busy, 3)} of {rounded(threads.total, 4)} threads busy, "
        f"{rounded(threads.waiting, 3)} requests waiting"
    )
    return _Found("threads", threads.busy / threads.total, why)


def _slots(case: _Seen) -> _Found | None:
    """Calls at the upstream that stay as many, whatever the load, while nothing else is used up."""
    share = case.cpu
    if case.now.upstream is None or (share is not None and share >= ROOM):
        return None
    lag = case.lag
    if lag is not None and lag >= LATE:
        return None
    count = _plateau(case, sure=share is None or case.now.starved >= STARVED)
    if count is None or case.takes.call is None:
        return None
    held = case.takes.calls * case.takes.call
    made = Ceiling(
        resource="slots", throughput=count / held, how=f"{count} at a time / {duration(held)}"
    )
    ceiling = case.ceiling("slots") or made
    if not NEAR <= case.now.throughput / ceiling.throughput <= 1 / NEAR:
        return None
    calls = "1 call" if count == 1 else f"{count} calls"
    mean = min(case.now.upstream.in_flight / count, 1.0)
    if case.now.told:
        why = f"{calls} at a time at the upstream, while threads, connections and CPU have room"
        return _Found("slots", mean, why, ceiling)
    set_so = [
        one
        for one in case.ceilings
        if one.resource in _SET and round(one.throughput * held, 3) == count
    ]
    text = f"{calls} at a time at the upstream, at any load"
    if len(set_so) == 1:
        resource = set_so[0].resource
        return _Found(resource, mean, f"{text}, as {_SET[resource]} is set to", set_so[0])
    rest = "; so a blocked event loop looks, too" if count <= case.now.workers else ""
    return _Found("slots", mean, f"{text}, whatever limits them{rest}", ceiling)


_SET: Mapping[Resource, str] = {  # what a plan sets the number of
    "threads": "the number of threads",
    "pool": "the size of the connection pool",
    "slots": "the number at a time",
}


def _plateau(case: _Seen, *, sure: bool) -> int | None:
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


def _flat(case: _Seen) -> bool:
    """Whether as many calls are at the upstream at each level beyond the knee, of two at least."""
    beyond = [
        one.upstream.in_flight
        for one in case.levels
        if one.upstream and one.point.valid and not follows(one, case.low)
    ]
    return len(beyond) >= 2 and max(beyond) - min(beyond) <= FLAT * max(beyond)


def _unknown(case: _Seen) -> _Found:
    expected = case.now.level / ((case.low.time or 0.0) + case.now.think_time)
    if case.now.point.model == "open":
        expected = case.now.rate
    seen = "nothing that is seen is used up"
    if case.now.starved >= STARVED:
        seen = f"for {percent(case.now.starved)} of the time the service had work and no core"
    why = (
        f"unknown: {rate(case.now.throughput)} where the load would give {rate(expected)}, "
        f"and {seen}"
    )
    return _Found("unknown", None, why)


_Ask = Callable[[_Seen], _Found | None]
_QUEUES: Sequence[_Ask] = (_servers, _pool, _semaphore, _threads)
_INSIDE_OUT: Sequence[_Ask] = (
    _retries,
    _refusing,
    _servers,
    _cpu,
    _slower,
    _blocked,
    _pool,
    _semaphore,
    _threads,
    _slots,
)
