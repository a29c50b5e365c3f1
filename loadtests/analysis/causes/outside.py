"""Whether an event loop is blocked, or all threads are busy, as it is seen from outside."""

from loadtests.analysis.causes.case import FULL, ROOM, Case, Found
from loadtests.analysis.causes.observations import Observation
from loadtests.analysis.numbers import duration, percent, rounded
from loadtests.analysis.outside import DOES
from loadtests.results import Ceiling, Outside
from loadtests.watcher.states import ACCEPT, EVENTS, LOCK, POLL, SLEEPS, SOCKET

ENOUGH = 50  # looks; fewer say little of a share
BUSY = 0.8  # of the looks: a loop that waits for events more often is not what binds
MOST = 0.5  # of the looks in which a loop is busy: it is blocked, and does not work
QUIET = 0.5  # of the CPU: with more, a loop waits for the interpreter's lock
SAME = 0.05  # by which the number of busy threads may differ between levels
IDLE = 0.2  # of the busy threads: where more wait for work, something else limits the busy ones
SPARE = 6  # threads that may always wait for work: asyncio's own pool has some for each core


def loop(case: Case) -> Found | None:
    """An event loop whose thread sleeps, or waits at a socket, for most of its busy time."""
    seen = case.now.point.outside
    if seen is None or not seen.loops or seen.looks < ENOUGH:
        return None
    waits = {state: seen.main.get(state, 0.0) for state in (SLEEPS, SOCKET, POLL)}
    if case.cpu is not None and case.cpu < QUIET:
        waits[LOCK] = seen.main.get(LOCK, 0.0)
    busy, blocked = _busy(seen), sum(waits.values())
    if busy < BUSY or blocked < MOST * busy:
        return None
    ceiling = _loops(case, seen)
    if not case.reaches(ceiling):
        return None
    state = max(waits, key=lambda one: waits[one])
    why = (
        f"blocked event loop: its thread {DOES[state]} in {percent(waits[state])} of "
        f"{seen.looks:,} looks from outside"
    )
    utilisation = min(case.now.throughput / ceiling.throughput, 1.0) if ceiling else busy
    return Found("loop", utilisation, why, ceiling)


def threads(case: Case) -> Found | None:
    """The thread pool, if equally many threads are busy beyond the knee and none is idle."""
    seen = case.now.point.outside
    if seen is None or seen.looks < ENOUGH or seen.most < 2:
        return None
    count = seen.most
    beyond = [
        one.point.outside
        for one in case.levels
        if one.point.outside and one.point.counts and not case.law.follows(one.point)
    ]
    constant = all(abs(one.most - count) <= max(1.0, SAME * count) for one in beyond)
    if len(beyond) < 2 or not constant or seen.busy < ROOM * count:
        return None
    if case.now.point.model == "closed" and case.in_flight <= (1 + SAME) * count:
        return None  # as many as there are requests
    if seen.threads - count > max(IDLE * count, SPARE) or (case.cpu or 0.0) >= FULL:
        return None
    ceiling = _threads(case, count)
    if not case.reaches(ceiling):
        return None
    why = (
        f"threads: {rounded(seen.busy, 3)} of {count} busy, as is seen from outside, and "
        f"never more at any load"
    )
    return Found("threads", min(seen.busy / count, 1.0), why, ceiling)


def loop_is_free(seen: Outside | None) -> bool:
    """Whether event loops were seen to wait for events for much of the time: none is blocked."""
    return seen is not None and seen.loops > 0 and seen.looks >= ENOUGH and _busy(seen) < BUSY


def _busy(seen: Outside) -> float:
    return 1 - seen.main.get(EVENTS, 0.0) - seen.main.get(ACCEPT, 0.0)


def _lowest(case: Case) -> Observation:
    """The level that tells what a request takes; this one where the lowest was not looked at."""
    seen = case.low.point.outside
    return case.low if seen and seen.looks >= ENOUGH else case.now


def _loops(case: Case, seen: Outside) -> Ceiling | None:
    """The loop's ceiling by the utilisation law: the loop's busy share over the rate."""
    low = _lowest(case)
    if not low.rate or not low.point.outside:
        return None
    held = _busy(low.point.outside) * low.point.outside.loops / low.rate
    noun = "loop" if seen.loops == 1 else "loops"
    how = f"{seen.loops} {noun} / {duration(held)}"
    return Ceiling(resource="loop", throughput=seen.loops / held, how=how) if held else None


def _threads(case: Case, count: int) -> Ceiling | None:
    low = _lowest(case)
    if not low.rate or not low.point.outside or not low.point.outside.busy:
        return None
    held = low.point.outside.busy / low.rate
    return Ceiling(
        resource="threads", throughput=count / held, how=f"{count} threads / {duration(held)}"
    )
