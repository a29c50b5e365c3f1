"""Which resource holds throughput back at a level, and by what one sees it.

The innermost resource that is used up is the one that binds, as everything around it fills: an
upstream that is full fills the pool, the pool fills the threads, and a process without CPU makes
all of them look full. So they are asked from the inside out, and a resource is named only where its
own gauge shows that it is used up, somebody waits for it, and throughput is near to what it
permits. Where nothing does, the answer is "unknown".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from loadtests.analysis.advice import NOUNS, Remedy, advice
from loadtests.analysis.causes import evidence, outside
from loadtests.analysis.causes.case import Case, Found
from loadtests.analysis.causes.ceilings import exceeded, highest, met, predicted, refuted
from loadtests.analysis.causes.concurrency_limit import slots
from loadtests.analysis.causes.demand import demand, lowest
from loadtests.analysis.causes.gauged import gauged
from loadtests.analysis.causes.lock_up import lock_up
from loadtests.analysis.causes.observations import Observation
from loadtests.analysis.causes.refusals import refusals
from loadtests.analysis.causes.service import blocked, cpu, pool, semaphore, starved, threads
from loadtests.analysis.causes.upstream import refusing, retries, servers, slower
from loadtests.analysis.law import law
from loadtests.analysis.numbers import load, rate
from loadtests.results import Ceiling, Limit, Resource


def limits(
    seen: Sequence[Observation],
    ceilings: Sequence[Ceiling],
    deployment: Mapping[str, Any] | None = None,
) -> dict[int, Limit]:
    """
    What holds throughput back, by level; a level that follows the load is left out.

    Args:
        seen: the levels of one deployment, rising.
        ceilings: the same deployment's, the lowest first.
        deployment: its table in the plan, for advice.
    """
    takes, low = demand(seen), lowest(seen)
    bounds = law(one.point for one in seen)
    found = {}
    for now in seen:
        # Not the service: the generator, the mock or the host.
        spoilt, limit = now.point.limit, None
        if low and takes and bounds and now.point.counts and not now.point.other_mix:
            limit = _limit(Case(now, low, seen, takes, ceilings, bounds), deployment or {})
        if limit is None:
            limit = spoilt  # what lacks is no more than what it can have taken
        if limit is not None:
            found[now.level] = limit
    return found


def _limit(case: Case, deployment: Mapping[str, Any]) -> Limit | None:
    found = lock_up(case)  # also where no lower level shows that this one does not follow
    if found is None and case.law.follows(case.now.point):
        found = next((one for ask in _QUEUES if (one := ask(case))), None)
        if found is None or (found.utilisation or 0.0) < 0.95:
            return None
    if found is None:
        found = next((one for ask in _INSIDE_OUT if (one := ask(case))), None) or _unknown(case)
    bound = case.ceiling(found.resource) if case.near(found.resource) else None
    ceiling, reached = found.ceiling or bound, highest(case.levels)
    why = found.why + (f"; {_equation(case, ceiling, reached)}" if ceiling else "")
    if ceiling:
        ceiling = None if refuted(ceiling, reached) else met(ceiling, reached)
    remedy = _remedy(case, found.resource, ceiling, deployment)
    return Limit(
        resource=found.resource,
        utilisation=None if found.utilisation is None else min(found.utilisation, 1.0),
        ceiling=ceiling.throughput if ceiling else None,
        why=why,
        next=_next(remedy),
        advice=advice(remedy),
        evidence=evidence.facts(case, found.resource, ceiling),
        source="telemetry" if case.now.gauges else "outside",
    )


def _equation(case: Case, ceiling: Ceiling, reached: float) -> str:
    told = rate(predicted(ceiling))
    if not exceeded(ceiling, reached):
        return f"{ceiling.how} = {told} is the ceiling"
    # What a request takes at this level, as churn makes it dearer, says nothing of another level.
    if ceiling not in case.ceilings and not refuted(ceiling, case.now.throughput):
        return f"{ceiling.how} predicts {told} at {load(case.now.level, case.now.point.model)}"
    then = f"{ceiling.how} predicts {told}, and {rate(reached)} was measured"
    less = ": so a request takes less of it than was counted"
    return then + (less if refuted(ceiling, reached) else "")


_LIFTED: Mapping[Resource, str] = {
    "threads": "With more threads",
    "pool": "With a larger pool",
    "concurrency-limit": "With more at a time",
    "loop": "Without what blocks the loop",
    "cpu": "With more CPU",
    "churn": "With connections that are kept",
    "retries": "Without the repeated calls",
    "upstream": "With a faster upstream",
    "refusals": "Without the limit that refuses",
}


def _remedy(
    case: Case, resource: Resource, ceiling: Ceiling | None, deployment: Mapping[str, Any]
) -> Remedy:
    reached = highest(case.levels)
    least = ceiling.throughput if ceiling else 0.0
    if resource != "retries":
        least = max(least, reached)
    same = {resource, "cpu"} if resource == "churn" else {resource}
    others = [one for one in case.ceilings if one.resource not in same and one.throughput > least]
    clients = case.now.gauges is None or bool(case.now.gauges.clients)
    workers = case.now.workers
    return Remedy(resource, ceiling, reached, others, workers, deployment, clients)


def _next(remedy: Remedy) -> str | None:
    """What binds when this one is lifted."""
    lifted, then = _LIFTED.get(remedy.resource), remedy.next()
    if lifted is None or then is None:
        return None
    return f"{lifted} the next ceiling is {NOUNS[then[0].resource]}, at about {rate(then[1])}"


def _unknown(case: Case) -> Found:
    expected = case.law.expected(case.now.point)
    short = "at this level and at those above it"
    if expected is not None:
        short = f"where the load would give {rate(expected)}"
    return Found("unknown", None, f"unknown: {rate(case.now.throughput)} {short}, {_longer(case)}")


def _longer(case: Case) -> str:
    """What is used up, and permits far more: each request holds it for longer than at low load."""
    for ask in (pool, semaphore, threads):
        found = ask(replace(case, ceilings=()))
        if found and (ceiling := case.ceiling(found.resource)):
            permitted = (
                f"{rate(predicted(ceiling))} where a request takes as long as at {case.below}"
            )
            return f"and more than one thing holds it back: {found.why}, which permits {permitted}"
    return "and nothing that is seen is used up"


_Ask = Callable[[Case], Found | None]
_QUEUES: Sequence[_Ask] = (servers, pool, gauged, semaphore, threads)
_INSIDE_OUT: Sequence[_Ask] = (
    retries,
    refusing,
    servers,
    refusals,
    cpu,
    slower,
    blocked,
    outside.loop,
    pool,
    gauged,
    semaphore,
    threads,
    outside.threads,
    slots,
    starved,
)
