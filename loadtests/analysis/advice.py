"""What to do about each cause, and what that would give: one table, and the law of ceilings."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtests.analysis.numbers import rate
from loadtests.results import Ceiling, Resource

RAISED = 1.5  # times the size of a limit: what is advised, and what an experiment tries
GAIN = 1.1  # times the throughput: advice that would give less is not worth its change

SETTINGS: Mapping[Resource, str] = {  # of the shipped variants, by the limit that they set
    "threads": "threads",
    "pool": "pool",
    "concurrency-limit": "max_concurrent",
}
_UNITS: Mapping[Resource, str] = {
    "threads": "threads",
    "pool": "connections",
    "concurrency-limit": "at a time",
}
NOUNS: Mapping[Resource, str] = {
    "threads": "the threads",
    "pool": "the connection pool",
    "concurrency-limit": "the number at a time",
    "loop": "the event loop",
    "cpu": "CPU",
    "upstream": "the upstream",
}


@dataclass(frozen=True, slots=True)
class Remedy:
    """
    What advice rests on: `ceiling` is that of the cause, `reached` the highest throughput that was
    measured, `others` are the ceilings of other resources, the lowest first. `deployment` is its
    table in the plan. `clients`: whether clients are made for each request.
    """

    resource: Resource
    ceiling: Ceiling | None
    reached: float
    others: Sequence[Ceiling] = ()
    workers: int = 1
    deployment: Mapping[str, Any] = field(default_factory=dict)
    clients: bool = False

    @property
    def permitted(self) -> float:
        """The throughput that the limit permits; at least what was measured."""
        return max(self.ceiling.throughput if self.ceiling else 0.0, self.reached)

    def next(self) -> tuple[Ceiling, float] | None:
        """The ceiling that binds next, and its throughput with what a request takes under load."""
        bounds = [(one, max(under_load(one), self.permitted)) for one in self.others]
        return min(bounds, key=lambda each: each[1], default=None)


def under_load(ceiling: Ceiling) -> float:
    """The throughput that a ceiling permits with what a request takes under load, if known."""
    return min(ceiling.throughput, ceiling.loaded or math.inf)


def advice(remedy: Remedy) -> str | None:
    """What to change, in words without a full stop; None where a cause has no general remedy."""
    make = _ADVICE.get(remedy.resource)
    return make(remedy) if make else None


def setting(resource: Resource, deployment: Mapping[str, Any]) -> str | None:
    """
    The name of what sets the size of a limit; None where nobody knows it.

    Args:
        deployment: its table in the plan.
    """
    if (variant := deployment.get("variant")) is not None:
        known = resource != "concurrency-limit" or variant == "bounded-httpx"
        return SETTINGS.get(resource) if known else None
    limit = deployment.get("limit")
    name = limit.get("env") if isinstance(limit, dict) else None
    return str(name) if name and resource in SETTINGS else None


def raised(size: float) -> int:
    """A limit that is half as large again, and larger by one at least."""
    return max(math.ceil(round(RAISED * size, 6)), math.floor(size) + 1)


def _larger(remedy: Remedy) -> str | None:
    """A larger limit, as far as the next one leaves it room."""
    ceiling = remedy.ceiling
    if ceiling is None or not ceiling.capacity:
        return None
    each = ceiling.capacity / remedy.workers
    size = raised(each)
    moved = remedy.permitted * size / each
    unit = _UNITS[remedy.resource]
    then = remedy.next()
    if then is not None and then[1] < moved:
        noun, moved = NOUNS[then[0].resource], then[1]
        if moved < GAIN * remedy.permitted:
            more = "a larger number" if remedy.resource == "concurrency-limit" else f"more {unit}"
            return f"{more} would gain little: {noun} binds next, at about {rate(moved)}"
        size = min(size, math.ceil(round(each * moved / remedy.permitted, 6)))
        tail = f"; there {noun} binds next"
    else:
        tail = ""
    name = setting(remedy.resource, remedy.deployment)
    what = f"{name} = {size}" if name else f"{size} {unit}"
    each_worker = " in each worker" if remedy.workers > 1 else ""
    return f"{what}{each_worker} would move the ceiling to {rate(moved)}{tail}"


def _churn(remedy: Remedy) -> str:
    if remedy.clients:
        return "make one AsyncClient (or Session) for the life of the process"
    return (
        "keep connections open: let the client keep as many idle ones as requests are in flight, "
        "and no longer than the upstream does"
    )


def _cpu(remedy: Remedy) -> str | None:
    ceiling = remedy.ceiling
    if ceiling is None or not ceiling.capacity:
        return "give the service a core of its own"
    most = remedy.permitted * (ceiling.capacity + 1) / ceiling.capacity
    then = remedy.next()
    tail = ""
    if then is not None and then[1] < most:
        most, tail = then[1], f"; there {NOUNS[then[0].resource]} binds next"
        if most < GAIN * remedy.permitted:
            return None
    more = "one more worker, on a core of its own,"
    return f"{more} would move the ceiling to {rate(most)}{tail}"


def _fixed(text: str) -> Callable[[Remedy], str]:
    return lambda _: text


_ADVICE: Mapping[Resource, Callable[[Remedy], str | None]] = {
    "threads": _larger,
    "pool": _larger,
    "concurrency-limit": _larger,
    "cpu": _cpu,
    "churn": _churn,
    "loop": _fixed(
        "await an async client on the event loop, or write the route with `def`, so that what "
        "blocks runs in a thread"
    ),
    "lock-up": _fixed(
        "find what a request holds while it waits for another one: a thread or a connection, for a "
        "call of the same service, or for a second place of the same limit"
    ),
    "retries": _fixed("retry less: with a budget over all calls, and a longer wait before each"),
    "upstream": _fixed(
        "only a faster upstream, or fewer calls of it for each request, can move this ceiling"
    ),
}
