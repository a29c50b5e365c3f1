"""Upstreams that fail, hang or drip, with clients and error handling as they are printed."""

import math

from loadtests.claims.experiment import ClaimCase, experiment
from loadtests.claims.measurements import Measurement, counted
from loadtests.claims.model import THREADS, TIMEOUT
from loadtests.results import Estimate

GAVE_UP = ("timeout",)  # brownout did, after eight seconds
NO_SERVICE = ("connection refused", "connection reset", "closed without an answer", "timeout")
SERVICE = "as-printed"


@experiment(
    claim="Without a timeout of your own, a call to a stuck server hangs for ever.",
    theory="`requests` has no limit; httpx has 5 s, aiohttp 5 min.",
    plans=("stuck",),
)
def waits_for_ever(seen: Measurement) -> list[ClaimCase]:
    return [
        ClaimCase(
            when=f"with {name}",
            what="calls that still wait after 8 s",
            unit="share",
            if_true=1.0,
            if_false=0.0,
            predicted=float(name == "requests"),  # httpx has a limit of 5 s for each read
            measured=_all(seen.share(SERVICE, 18, f"/{name}/stuck", GAVE_UP)),
        )
        for name in ("httpx", "requests")
    ]


@experiment(
    claim="A client's timeout keeps a call from waiting for ever.",
    theory="httpx counts each read apart: an upstream that drips never trips it.",
    plans=("stuck",),
)
def timeout_bounds(seen: Measurement) -> list[ClaimCase]:
    return [
        ClaimCase(
            when=when,
            what="calls that httpx ends after its 5 s",
            unit="share",
            if_true=1.0,
            if_false=0.0,
            predicted=predicted,
            measured=_all(seen.share(SERVICE, 18, request, ("500",))),
        )
        for when, request, predicted in (
            ("with an upstream that never answers", "/httpx/stuck", 1.0),
            ("with one that drips for 6.6 s", "/httpx/drip", 0.0),
        )
    ]


@experiment(
    claim="Catching `httpx.RequestError` around the call handles its failures.",
    theory="An error status raises HTTPStatusError, which is none, and is answered with 500; "
    "what is caught is answered with 200.",
    plans=("failing",),
)
def safe_fetch(seen: Measurement) -> list[ClaimCase]:
    route = seen.plan.upstream.routes[0]
    broken = sum(fault.probability or 0.0 for fault in route.faults or ())
    refused = (1 - broken) * sum((route.errors or {}).values())
    by_status = seen.share(SERVICE, 12, "/safe-fetch/flaky")
    by_content = seen.share(SERVICE, 12, "safe-fetch, by its content")
    return [
        ClaimCase(
            when="when the upstream answers 500",
            what="requests that fail all the same",
            unit="share",
            if_true=0.0,
            if_false=refused,
            predicted=refused,
            measured=by_status,
        ),
        ClaimCase(
            when="when the connection breaks",
            what="failures that are answered with 200",
            unit="share",
            if_true=0.0,
            if_false=broken,
            predicted=broken,
            measured=_less(by_content, by_status),
        ),
    ]


@experiment(
    claim="An unhandled failure of the upstream crashes the app.",
    theory="The framework answers 500, and the process goes on.",
    plans=("failing",),
)
def unhandled_crashes(seen: Measurement) -> list[ClaimCase]:
    return [
        ClaimCase(
            when="with an upstream that fails four in ten calls",
            what="requests that find no service",
            unit="share",
            if_true=1.0,
            if_false=0.0,
            predicted=0.0,
            measured=seen.share(SERVICE, 12, "/httpx/flaky", NO_SERVICE),
        )
    ]


@experiment(
    claim="Clients do not retry by themselves.",
    theory="aiohttp repeats a GET once when a kept connection turns out to be closed, urllib3 "
    "three times.",
    plans=("failing",),
)
def never_retries(seen: Measurement) -> list[ClaimCase]:
    closed = sum(fault.probability or 0.0 for fault in seen.plan.upstream.routes[1].faults or ())
    # The first call of a connection is never hit, and after a hit the connection is a new one.
    lost = closed / (1 + closed)
    attempts = {"httpx": 1, "requests": 1, "urllib3": 4, "aiohttp": 2}  # on kept connections, too
    return [
        ClaimCase(
            when=f"with {name}",
            what="calls lost with a kept connection",
            unit="share",
            if_true=lost,
            if_false=0.0,
            predicted=lost**tries,
            measured=seen.share(SERVICE, 12, f"/{name}/closing"),
        )
        for name, tries in attempts.items()
    ]


@experiment(
    claim="A call to a route of one's own FastAPI service benefits as well.",
    theory=f"In the same process {THREADS} threads soon wait for a thread.",
    plans=("internal",),
)
def internal_benefits(seen: Measurement) -> list[ClaimCase]:
    few, many = 10, 100
    alone = seen.throughput(SERVICE, few).value
    return [
        ClaimCase(
            when=f"with {few} users",
            what="requests that fail",
            unit="share",
            if_true=0.0,
            if_false=1.0,
            predicted=0.0,
            measured=seen.share(SERVICE, few),
        ),
        ClaimCase(
            when=f"with {many} users",
            what="requests answered",
            unit="per second",
            if_true=alone,
            if_false=THREADS / TIMEOUT,
            predicted=THREADS / TIMEOUT,  # at most
            measured=seen.answers(SERVICE, many),
        ),
    ]


@experiment(
    claim="Timeouts and cancellation leak resources unless managed with care.",
    theory="httpx 0.28.1 loses a place in its pool now and then, for good; httpx2 does not.",
    plans=("cancelled",),
)
def cancelling_leaks(seen: Measurement) -> list[ClaimCase]:
    pool = 10
    return [
        ClaimCase(
            when=f"with {name}",
            what=f"connections of {pool} in use after seconds of timeouts",
            unit="number",
            if_true=0.0,
            if_false=pool,
            predicted=0.0 if name == "httpx" else pool,
            measured=counted(seen.counts(name, 30).last_peak),
        )
        for name in ("httpx", "httpx2")
    ]


@experiment(
    claim="A retry policy keeps the service up when the upstream fails.",
    theory="With three attempts f^3 of the requests fail, if failures are independent.",
    plans=("retries",),
)
def retries_help(seen: Measurement) -> list[ClaimCase]:
    failing = _failing(seen)
    return [
        ClaimCase(
            when=when,
            what="requests that fail",
            unit="share",
            if_true=failing**3,
            if_false=failing,
            predicted=predicted,
            measured=seen.share(name, 10),
        )
        for name, when, predicted in (
            ("naive", "with three attempts", failing**3),
            ("budget", "with a budget of a tenth", failing - 0.1 * failing),
        )
    ]


@experiment(
    claim="Retries need not be limited.",
    theory="Three attempts load a failing upstream 1 + f + f^2 times as much.",
    plans=("retries",),
)
def retries_are_free(seen: Measurement) -> list[ClaimCase]:
    failing = _failing(seen)
    amplified = 1 + failing + failing**2
    return [
        ClaimCase(
            when=when,
            what="calls of one request",
            unit="number",
            if_true=1.0,
            if_false=amplified,
            predicted=predicted,
            measured=counted(seen.counts(name, 10).calls_per_request),
        )
        for name, when, predicted in (
            ("naive", "with three attempts", amplified),
            ("budget", "with a budget of a tenth", 1.1),
        )
    ]


def _failing(seen: Measurement) -> float:
    return sum(seen.plan.upstream.errors.values())


def _all(share: Estimate) -> Estimate:
    """All or none of a handful says as much as it can: the interval counts as that one value."""
    return counted(share.value)


def _less(whole: Estimate, part: Estimate) -> Estimate:
    """The difference of two shares that were counted apart (Newcombe 1998, method 10)."""

    def error(of: Estimate, end: float | None) -> float:
        return of.value - (of.value if end is None else end)

    value = whole.value - part.value
    low = value - math.hypot(error(whole, whole.low), error(part, part.high))
    high = value + math.hypot(error(whole, whole.high), error(part, part.low))
    return Estimate(value=value, low=low, high=high)
