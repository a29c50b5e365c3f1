"""The upstream at one level, by the mock's ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from loadtests.analysis.causes.service_gauges import Pairs
from loadtests.analysis.inputs.ledgers import LedgerDelays, LedgerReading


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamUse:
    """
    The upstream in the windows, by the mock's ledger; seconds, calls a second, shares of calls.

    `stay` is the mean time of a call in the mock, `asked` what the profile wanted without a queue,
    `queued` the wait for a server, `service` the time with one; `answered`: how many `stay` is the
    mean of. `peaks`: the most calls at a time
    in each second. `busy` is the share of the servers at work.
    """

    calls: float
    in_flight: float
    peaks: tuple[float, ...] = ()
    stay: float | None = None
    answered: float | None = None
    asked: float | None = None
    queued: float | None = None
    service: float | None = None
    servers: int | None = None
    busy: float | None = None
    waiting: float | None = None
    refused: float = 0.0
    failing: float = 0.0
    connections: float | None = None


def upstream(pairs: Pairs) -> UpstreamUse | None:
    """The ledger's growth, from sample to sample; over a restart nothing is counted."""
    steps = [
        (then, now)
        for before, sample in pairs
        if (then := LedgerReading.of(before))
        and (now := LedgerReading.of(sample))
        and now.continues(then)
        and now.elapsed > then.elapsed
    ]
    if not steps or any(now.arrivals is None or then.arrivals is None for then, now in steps):
        return None
    elapsed = sum(now.elapsed - then.elapsed for then, now in steps)
    arrivals = sum((now.arrivals or 0.0) - (then.arrivals or 0.0) for then, now in steps)
    accepted = [
        now.connections.accepted - then.connections.accepted
        for then, now in steps
        if now.connections and then.connections
    ]
    queues = [(then.queue, now.queue) for then, now in steps if then.queue and now.queue]
    refused = sum(_total(now.refused) - _total(then.refused) for then, now in steps)
    last = queues[-1][1] if queues else None
    worked = sum(now.busy_seconds - then.busy_seconds for then, now in queues)
    return UpstreamUse(
        calls=arrivals / elapsed,
        in_flight=sum(now.in_flight.seconds - then.in_flight.seconds for then, now in steps)
        / elapsed,
        peaks=tuple(now.in_flight.peak for _, now in steps if now.in_flight.peak is not None),
        stay=_mean([(then.delivered, now.delivered) for then, now in steps]),
        answered=sum(
            now.delivered.count - then.delivered.count
            for then, now in steps
            if now.delivered and then.delivered
        ),
        asked=_mean([(then.asked, now.asked) for then, now in steps]),
        queued=_mean([(then.queued, now.queued) for then, now in steps]),
        service=_mean([(then.service, now.service) for then, now in steps]),
        servers=last.servers if last else None,
        busy=worked / elapsed / last.servers if last else None,
        waiting=fmean(now.waiting for _, now in queues) if queues else None,
        refused=refused / arrivals if arrivals else 0.0,
        failing=_failing(steps) / arrivals if arrivals else 0.0,
        connections=sum(accepted) / arrivals if arrivals and accepted else None,
    )


def _total(counts: Mapping[Any, float] | None) -> float:
    return sum(counts.values()) if counts else 0.0


def _failing(steps: Sequence[tuple[LedgerReading, LedgerReading]]) -> float:
    """Answers that say that the upstream failed, and those that never came."""

    def count(one: LedgerReading) -> float:
        answers = one.answers or {}
        failed = sum(number for status, number in answers.items() if status >= 429)
        return failed + (one.unanswered or 0.0)

    return sum(count(now) - count(then) for then, now in steps)


def _mean(pairs: Sequence[tuple[LedgerDelays | None, LedgerDelays | None]]) -> float | None:
    """The mean of the delays that were counted in between."""
    count = total = 0.0
    for then, now in pairs:
        if then and now and now.count >= then.count:
            count += now.count - then.count
            total += now.total - then.total
    return total / count if count and total >= 0 else None
