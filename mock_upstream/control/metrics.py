"""The ledger as Prometheus reads it."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from mock_upstream.admission.queues import QueueLoad
from mock_upstream.admission.rate_limiter import Limited
from mock_upstream.ledger.histogram import Delays
from mock_upstream.ledger.ledger import Account, PhaseAccount

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX = "mock_upstream_"


def render(account: Account) -> bytes:
    """
    The account in Prometheus's text format; seconds and plain counts.

    A registry of its own: nothing of the process around it, and nothing kept between two reads.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Account(account))
    return generate_latest(registry)


class _Account(Collector):
    def __init__(self, account: Account) -> None:
        self._account = account

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        account = self._account
        yield from _process(account)
        yield from _requests(account)
        if account.queue:
            yield from _servers(account.queue)
        if account.limits:
            yield from _limits(account.limits)
        yield _delays("asked", "Wanted by the profile, alone.", {"": account.asked})
        yield _delays("queued", "Waited for a server.", {"": account.queued})
        yield _delays("service", "With a server.", {"": account.service})
        yield _delays("delivered", "From arrival to answer.", {"": account.delivered})
        yield _delays("late", "Answered after it was due.", {"": account.late})
        if account.phases:
            yield from _phases(account.phases)


def _process(account: Account) -> Iterator[Metric]:
    names = {"epoch": account.epoch, "phase": account.phase or ""}
    yield InfoMetricFamily("mock_upstream", "Epoch of the process, phase now.", names)
    yield _gauge("generation", "Counts the resets.", account.generation)
    yield _gauge("profile_version", "Counts the profiles that were played.", account.version)
    yield _gauge("elapsed_seconds", "Since the start or the last reset.", account.elapsed)
    yield _gauge("ok", "1 if the mock kept up in its last second.", account.mock_ok)
    yield _gauge("loop_lag_seconds", "Absence of the event loop.", account.fidelity.lag)
    yield _gauge("cpu_cores", "Used by the process.", account.fidelity.cpu)
    yield _count("not_ok_seconds", "In which it did not keep up.", account.fidelity.not_ok_seconds)


def _requests(account: Account) -> Iterator[Metric]:
    yield _count("requests", "That arrived.", account.arrivals)
    yield _counts("answers", "Sent to their end.", "status", account.answers)
    yield _count("disconnects", "Clients that did not wait.", account.disconnects)
    yield _count("unanswered", "Ended by the mock without a whole answer.", account.unanswered)
    yield _count("unmatched", "Requests that no route matched.", account.unmatched)
    yield _count("dropped", "Replies pending at the last reset.", account.dropped)
    yield _counts("refused", "Turned away at once.", "by", account.refused)
    yield _counts("faults", "That happened.", "fault", account.faults)

    yield _gauge("in_flight", "Requests in the mock.", account.in_flight.now)
    yield _gauge("in_flight_peak", "Most of them at a time.", account.in_flight.peak)
    yield _count("in_flight_seconds", "Spent by all requests.", account.in_flight.seconds)
    yield _gauge("connections_open", "Connections.", account.connections.open)
    yield _count("connections_accepted", "Connections.", account.connections.accepted)


def _servers(queue: QueueLoad) -> Iterator[Metric]:
    yield _gauge("servers", "Of the profile's capacity.", queue.servers)
    yield _gauge("servers_busy", "Of the profile's capacity.", queue.busy)
    yield _gauge("waiting", "Requests that wait for a server.", queue.waiting)
    yield _gauge("waiting_peak", "Most of them at a time.", queue.waiting_peak)
    yield _count("server_busy_seconds", "Worked by all servers.", queue.busy_seconds)
    yield _count("server_wasted_seconds", "After the client went.", queue.wasted_seconds)


def _limits(limits: Sequence[Limited]) -> Iterator[Metric]:
    refused = CounterMetricFamily(
        _PREFIX + "limit_refused", "By a rate limit.", labels=["limit", "kind", "key"]
    )
    early = CounterMetricFamily(
        _PREFIX + "limit_early_retries",
        "Before the Retry-After that was given was over.",
        labels=["limit", "kind", "key"],
    )
    for place, limit in enumerate(limits):
        refused.add_metric([str(place), limit.kind, limit.key], limit.refused)
        early.add_metric([str(place), limit.kind, limit.key], limit.early_retries)
    yield refused
    yield early


def _phases(phases: Mapping[str, PhaseAccount]) -> Iterator[Metric]:
    arrivals = {name: phase.arrivals for name, phase in phases.items()}
    delivered = {name: phase.delivered for name, phase in phases.items()}
    answers = CounterMetricFamily(
        _PREFIX + "phase_answers", "Sent to their end.", labels=["phase", "status"]
    )
    for name, phase in phases.items():
        for status, number in phase.answers.items():
            answers.add_metric([name, str(status)], number)
    yield _counts("phase_requests", "That arrived.", "phase", arrivals)
    yield answers
    yield _delays("phase_delivered", "From arrival to answer.", delivered)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, meaning, value)


def _count(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(_PREFIX + name, meaning, value)


def _counts(
    name: str, meaning: str, label: str, values: Mapping[str, int] | Mapping[int, int]
) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, meaning, labels=[label])
    for key, number in values.items():
        family.add_metric([str(key)], number)
    return family


def _delays(name: str, meaning: str, delays: Mapping[str, Delays]) -> Metric:
    """A summary; by phase where the keys are not empty."""
    family = SummaryMetricFamily(f"{_PREFIX}{name}_seconds", meaning)
    for phase, of in delays.items():
        labels = {"phase": phase} if phase else {}
        for quantile, value in (("0.5", of.p50), ("0.95", of.p95), ("0.99", of.p99), ("1", of.max)):
            if value is not None:
                family.add_sample(family.name, {**labels, "quantile": quantile}, value)
        family.add_sample(f"{family.name}_count", labels, of.count)
        family.add_sample(f"{family.name}_sum", labels, of.total)
    return family
