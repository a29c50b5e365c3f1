"""What was seen at a level, in words: what speaks for the limit first, then the rest."""

from collections.abc import Iterator

from loadtests.analysis.causes.case import QUEUE, Case
from loadtests.analysis.causes.ceilings import predicted
from loadtests.analysis.causes.demand import usable_cores
from loadtests.analysis.causes.gauged import KINDS
from loadtests.analysis.causes.observations import Observation
from loadtests.analysis.causes.service_gauges import ServiceGauges
from loadtests.analysis.numbers import duration, percent, rate, rounded
from loadtests.analysis.outside import said
from loadtests.results import Ceiling, Resource

Fact = tuple[str, str]
_ABOUT: dict[str, tuple[Resource, ...]] = {  # which facts speak for which resource
    "threads": ("threads", "lock-up"),
    "pool": ("pool",),
    "slots": ("concurrency-limit",),
    "loop": ("loop",),
    "cpu": ("cpu", "churn"),
    "clients": ("churn",),
    "outside": ("loop", "threads"),
    "calls": ("concurrency-limit", "upstream"),
    "upstream": ("upstream", "retries"),
    "repeats": ("retries",),
}


_GAUGED: dict[Resource, str] = {"pool": "pool", "threads": "threads", "concurrency-limit": "slots"}


def facts(case: Case, resource: Resource, ceiling: Ceiling | None) -> list[Fact]:
    """Facts that show the resource first, then the rates, then the other facts."""
    facts = list(_facts(case))
    first = [fact for about, fact in facts if resource in _ABOUT[about]]
    rest = [fact for about, fact in facts if resource not in _ABOUT[about]]
    return [*first, *_rates(case.now, ceiling), *rest]


def _rates(now: Observation, ceiling: Ceiling | None) -> Iterator[Fact]:
    yield "throughput", rate(now.throughput)
    if ceiling:
        yield "ceiling", f"{rate(predicted(ceiling))} predicted ({ceiling.how})"


def _facts(case: Case) -> Iterator[tuple[str, Fact]]:
    now, low = case.now, case.low
    yield from _service(now, case.cpu)
    if text := said(now.point):
        yield "outside", ("seen from outside", text)
    up = now.upstream
    if up is None:
        return
    peak = f", {rounded(max(up.peaks), 4)} at most" if up.peaks else ""
    yield "calls", ("calls at the upstream", f"{rounded(up.in_flight, 3)} in the mean{peak}")
    if up.stay is not None:
        then = low.upstream.stay if low.upstream and low is not now else None
        before = f", {duration(then)} at {case.below}" if then else ""
        yield "upstream", ("a call's time there", f"{duration(up.stay)}{before}")
    if up.servers and up.busy is not None:
        yield "upstream", ("upstream servers busy", f"{percent(up.busy)} of {up.servers}")
    if up.queued:
        yield "upstream", ("wait for an upstream server", duration(up.queued))
    if up.refused:
        yield "upstream", ("calls turned away", f"{percent(up.refused)} of {rate(up.calls)}")
    if up.failing:
        yield "repeats", ("calls that failed", percent(up.failing))
    if (calls := now.per_request) is not None:
        yield "repeats", ("calls for a request", rounded(calls, 3))
    if up.connections is not None:
        yield "clients", ("connections opened for a call", rounded(up.connections, 2))


def _service(now: Observation, cpu: float | None) -> Iterator[tuple[str, Fact]]:
    if cpu is not None:
        cores = usable_cores(now)
        used = f"{percent(cpu)} of {'1 core' if cores == 1 else f'{rounded(cores, 3)} cores'}"
        yield "cpu", ("CPU", used)
    if each := now.cpu_each:
        canary = now.point.canary
        unit = f", {rounded(each / canary, 3)} canaries" if canary else ""
        yield "cpu", ("CPU of a request", f"{duration(each)}{unit}")
    gauges = now.gauges
    if gauges is None:
        return
    yield from _gauged(gauges, waits=True)
    if gauges.threads:
        of = f"{rounded(gauges.threads.busy, 3)} of {rounded(gauges.threads.total, 4)}"
        yield "threads", ("threads busy", of)
        yield "threads", ("waiting for a thread", rounded(gauges.threads.waiting, 3))
    if gauges.thread:
        after = f", {duration(gauges.background)} after the answer" if gauges.background else ""
        yield "threads", ("a request holds a thread for", f"{duration(gauges.thread)}{after}")
    if (pool := gauges.fullest) and pool.limit:
        of = f"{rounded(pool.used, 3)} of {rounded(pool.limit, 4)}"
        yield "pool", ("connections in use", of)
        yield "pool", ("waiting for a connection", rounded(pool.waiting, 3))
    if (places := gauges.semaphore) and places.limit:
        of = f"{rounded(places.used, 3)} of {rounded(places.limit, 4)}"
        yield "slots", ("places of a semaphore taken", of)
        yield "slots", ("waiting for a place", rounded(places.waiting, 3))
    yield from _gauged(gauges, waits=False)
    if gauges.lag is not None:
        yield "loop", ("the event loop is late", duration(gauges.lag))
    if gauges.loop_cpu is not None:
        yield "loop", ("CPU of the event loop", f"{percent(gauges.loop_cpu)} of a core")
    if gauges.clients:
        yield "clients", ("clients made for a request", rounded(gauges.clients, 2))
    if gauges.constructing:
        yield "clients", ("to make them", f"{duration(gauges.constructing)} a request")
    if gauges.retried:
        yield "repeats", ("calls made again for a request", rounded(gauges.retried, 2))


def _gauged(gauges: ServiceGauges, *, waits: bool) -> Iterator[tuple[str, Fact]]:
    """The limits that are no HTTP client's: those with a queue, or those without."""
    for client, kind in KINDS.items():
        pool = gauges.gauged(client)
        if pool and pool.limit and (pool.waiting >= QUEUE) == waits:
            of = f"{rounded(pool.used, 3)} of {rounded(pool.limit, 4)}"
            yield _GAUGED[kind.resource], (f"{kind.name}, {kind.held}", of)
            yield _GAUGED[kind.resource], (f"{kind.name}, waiting", rounded(pool.waiting, 3))
