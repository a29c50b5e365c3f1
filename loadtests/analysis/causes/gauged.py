"""Whether a limit binds that is no HTTP client's: a database's pool, an executor, a limiter.

How long a request holds a place of it is known by the utilisation law (Denning and Buzen 1978): the
places that are held at the lowest level over its requests a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.analysis.causes.case import QUEUE, Case, Found, full
from loadtests.analysis.causes.demand import lowest
from loadtests.analysis.causes.observations import Observation
from loadtests.analysis.numbers import duration, rounded
from loadtests.results import Ceiling, Resource

LEAST = 0.02  # places held at the lowest level: of fewer too little is seen
FAILED = 1.1  # times a ceiling: what was measured beyond it


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of limit: the resource that it is, its name, and what is held and waits."""

    resource: Resource
    name: str
    held: str
    waits: str
    noun: str


KINDS: Mapping[str, Kind] = {
    "sqlalchemy": Kind("pool", "SQLAlchemy pool", "connections out", "", "connections"),
    "asyncio": Kind(
        "threads", "asyncio's default executor", "threads busy", " calls", "executor threads"
    ),
    "executor": Kind("threads", "ThreadPoolExecutor", "threads busy", " calls", "executor threads"),
    "anyio.CapacityLimiter": Kind(
        "concurrency-limit", "anyio.CapacityLimiter", "tokens borrowed", "", "tokens"
    ),
    "anyio.Semaphore": Kind(
        "concurrency-limit",
        "anyio.Semaphore, as of Depends(max_concurrency)",
        "places taken",
        "",
        "places",
    ),
}


def gauged(case: Case) -> Found | None:
    """The limit that is used up, with a queue, and nearest to the throughput that it permits."""
    gauges = case.now.gauges
    found = list[tuple[float, Found]]()
    for client, kind in KINDS.items():
        pool = gauges.gauged(client) if gauges else None
        if pool is None or not pool.limit or pool.waiting < QUEUE:
            continue
        if not full(pool.used, pool.limit, pool.waiting):
            continue
        ceiling = _ceiling(client, kind, case.levels)
        reached = case.now.throughput / ceiling.throughput if ceiling else 1.0
        if not case.reaches(ceiling):
            continue
        why = (
            f"{kind.name}: {rounded(pool.used, 3)} of {rounded(pool.limit, 4)} {kind.held}, "
            f"{rounded(pool.waiting, 3)}{kind.waits} waiting"
        )
        found.append((reached, Found(kind.resource, pool.used / pool.limit, why, ceiling)))
    return max(found, key=lambda one: one[0])[1] if found else None


def ceilings(seen: Sequence[Observation]) -> list[Ceiling]:
    """Return a ceiling for each of these limits that have gauges."""
    made = (_ceiling(client, kind, seen) for client, kind in KINDS.items())
    return [one for one in made if one is not None]


def _ceiling(client: str, kind: Kind, seen: Sequence[Observation]) -> Ceiling | None:
    low = lowest(seen)
    pools = [pool for one in seen if one.gauges and (pool := one.gauges.gauged(client))]
    pool = low.gauges.gauged(client) if low and low.gauges else None
    if low is None or pool is None or not low.throughput or pool.used < LEAST:
        return None
    limit = max(one.limit or 0.0 for one in pools)
    held = pool.used / low.throughput
    throughput = limit / held
    how = f"{rounded(limit, 4)} {kind.noun} / {duration(held)}"
    reached = max(one.throughput for one in seen)
    if not limit or reached > FAILED * throughput:
        return None
    return Ceiling(resource=kind.resource, throughput=throughput, how=how, capacity=limit)
