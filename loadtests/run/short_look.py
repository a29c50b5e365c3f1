"""What one user sees of a deployment in a second or two, and what a request costs it."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from statistics import median
from time import monotonic

import psutil

from loadtests.plans import Plan
from loadtests.recording.messages import RequestSpec
from loadtests.run import reply_check
from loadtests.run.deployments import Fleet
from loadtests.run.ping import send
from loadtests.run.pings import context_of
from loadtests.samples.processes import cpu_clock

SECONDS = 2.0
_MOST, _LEAST = 60, 3  # requests; the least are sent however long they take
_BUSY = 0.1  # of what the busiest process uses, from which on another one takes part


@dataclass(frozen=True, slots=True)
class ShortLook:
    """
    What a few requests, one after the other, show of a deployment.

    `response_time`: the median of the faster half, in seconds, since a busy machine slows the
    others; None: no request was answered as expected. `cpu`: seconds that a request takes; None:
    the service was not started here. `processes`: the number that took part.
    """

    deployment: str
    requests: int
    response_time: float | None
    cpu: float | None
    processes: int


def look(plan: Plan, fleet: Fleet, name: str) -> ShortLook:
    """Send requests in the proportions of the plan for SECONDS."""
    url = fleet.deployments[name].url.rstrip("/")
    specs = _mixed([request.spec() for request in plan.requests])
    times: list[float] = []
    sent = 0
    pids = fleet.processes().get(name, [])
    context = context_of(plan.deployments[name])
    before = _cpu(pids)
    begun = monotonic()
    for spec in islice(specs, _MOST):
        if sent >= _LEAST and monotonic() - begun > SECONDS:
            break
        reply = send(url, spec, spec.timeout, context)
        sent += 1
        if reply_check.problem(url, spec, reply) is None:
            times.append(reply.seconds)
    after = _cpu(pids)
    used = [after[pid] - before[pid] for pid in before.keys() & after.keys()]
    busy = [seconds for seconds in used if seconds > _BUSY * max(used)]
    return ShortLook(
        name,
        sent,
        median(times) if times else None,
        sum(used) / sent if busy and sent else None,
        len(busy),
    )


def _mixed(specs: Sequence[RequestSpec]) -> Iterator[RequestSpec]:
    """Each as often as its weight says, over and over: the one that is most behind comes next."""
    shares = [spec.weight / sum(spec.weight for spec in specs) for spec in specs] if specs else []
    counts = [0] * len(specs)
    while specs:
        total = sum(counts) + 1
        index = max(range(len(specs)), key=lambda i: shares[i] * total - counts[i])
        counts[index] += 1
        yield specs[index]


def _cpu(pids: Sequence[int]) -> dict[int, float]:
    found: dict[int, float] = {}
    for pid in pids:
        with suppress(OSError, psutil.Error):
            found[pid] = cpu_clock(pid)
    return found
