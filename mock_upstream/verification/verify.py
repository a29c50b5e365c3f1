"""
Does this machine deliver a profile at a rate? The mock against itself, with numbers.

The mock runs as it would for a load test, on a core of its own; an open-loop driver on another
core asks it, and compares what came with what the profile says: the quantiles of the delay, the
lateness, the throughput of its servers, the ledger's counts. Then the rate is doubled until
answers come late: that is the headroom.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, exp, inf, lgamma, log, log1p
from statistics import fmean
from urllib.parse import urlsplit

from mock_upstream.admission.capacity import Slowdown
from mock_upstream.client import Upstream, running
from mock_upstream.ledger.ledger import Account
from mock_upstream.profiles.profile import Profile, Route
from mock_upstream.profiles.route_paths import path_names
from mock_upstream.units.durations import format_duration
from mock_upstream.verification.load_driver import DriverCounts, drive, question

LATE_P50 = 0.0002  # seconds; what a machine does that is not busy otherwise
LATE_P99 = 0.001  # seconds; unless the profile has a budget of its own
_WARM_UP = 0.5  # seconds
_CONFIDENCE = 0.9999  # of an interval: a false alarm in some thousand runs
_QUANTILES = (0.5, 0.95, 0.99)
_ROUNDING = 1e-6  # seconds; Server-Timing has thousandths of a millisecond
_TIMEOUT = 60.0  # seconds for the slowest answers
_MOST_CONNECTIONS = 10_000  # that are opened beforehand
_HIGHEST_RATE = 50_000.0  # requests per second; beyond what the driver can do
_OFFERED = 0.98  # of a rate, to count as having been asked
_BUSY = 0.97  # of its servers' time, to count as a mock that serves at its capacity
_OVERLOAD = 1.3  # times the capacity, to see what gets through


@dataclass(frozen=True, slots=True)
class VerifiedFact:
    """One line of the table."""

    what: str
    asked: str
    measured: str
    holds: bool | None
    """None: told, not judged."""


def main(profile: Profile, rate: float, seconds: float) -> int:
    """
    Print what was asked and what was measured.

    Args:
        rate: requests per second.
        seconds: how long they are asked; the headroom takes some more.

    Returns:
        Exit code: 0 when this machine delivers the profile at this rate, 3 when not.
    """
    cores = _cores()
    where = f"the mock on core {cores[1]}, the driver on core {cores[0]}" if cores else "unpinned"
    print(f"{rate:,.0f} requests a second for {seconds:g} s; {where}", flush=True)
    with _mock(profile, cores) as upstream:
        checks = verify(upstream, profile, rate, seconds)
    for line in table(checks):
        print(line)
    broken = [check.what for check in checks if check.holds is False]
    if broken:
        print(f"This machine does not deliver the profile at {rate:,.0f} requests a second.")
        print(f"What did not hold: {', '.join(broken)}.")
        return 3
    print(f"This machine delivers the profile at {rate:,.0f} requests a second.")
    return 0


def verify(upstream: Upstream, profile: Profile, rate: float, seconds: float) -> list[VerifiedFact]:
    """The checks of a mock that plays the profile and that nobody else calls."""
    asker = _Asker(upstream, profile)
    asker.ask(rate, _WARM_UP)
    seen, account = asker.ask(rate, seconds)
    checks = [
        offered(seen, rate, seconds),
        *counted(seen, account, profile),
        *punctual(seen, profile),
        kept_up(account),
        *distributed(seen, profile, asker.routes),
    ]
    if profile.capacity and not (profile.limits or profile.timeline or _faulty(profile)):
        checks.append(_capacity(asker, profile.capacity.servers))
    if all(check.holds is not False for check in checks):
        checks.append(_headroom(asker, profile, rate))
    return checks


def offered(seen: Sequence[DriverCounts], rate: float, seconds: float) -> VerifiedFact:
    """Did the driver itself ask at the rate?"""
    planned = len(seen) / seconds
    took = max((one.sent for one in seen), default=0.0) - (seen[0].intended if seen else 0.0)
    reached = planned * min(seconds / took, 1.0) if took > 0 else 0.0
    # Arrivals are random: their number varies by its root.
    least = _OFFERED * rate - 4 * (rate / seconds) ** 0.5
    return VerifiedFact("rate", f"{rate:,.0f}/s", f"{reached:,.0f}/s", reached >= least)


def counted(
    seen: Sequence[DriverCounts], account: Account, profile: Profile
) -> Iterator[VerifiedFact]:
    """Do the driver and the ledger agree, and has everyone an answer who should have?"""
    statuses = Counter(one.status for one in seen)
    unanswered = statuses.pop(0, 0)
    told = Counter(account.answers)
    lost = account.unanswered + account.disconnects + account.in_flight.now
    agree = statuses == told and unanswered == lost and account.arrivals == len(seen)
    yield VerifiedFact("the ledger's answers", f"{statuses.total():,}", f"{told.total():,}", agree)
    may_fail = _faulty(profile) or profile.capacity or profile.limits or profile.timeline
    answered = statuses.total()
    yield VerifiedFact(
        "answered",
        f"{len(seen):,}" if not may_fail else "",
        f"{answered:,}",
        None if may_fail else answered == len(seen),
    )


def punctual(seen: Sequence[DriverCounts], profile: Profile) -> Iterator[VerifiedFact]:
    """Is no answer early, and is none late?"""
    whole = [(one, one.timing()) for one in seen if one.status]
    timed = [(one, timing) for one, timing in whole if "late" in timing]
    if not timed:
        yield VerifiedFact("answers with a delay", "some", "none", False)
        return
    # As the client saw it, which took the network of this machine on top: this cannot be
    # earlier, whatever the mock says of itself.
    early = sum(one.ended - one.sent < timing["asked"] - _ROUNDING for one, timing in timed)
    yield VerifiedFact("early answers", "0", f"{early:,}", early == 0)
    late = sorted(timing["late"] for _, timing in timed)
    for q, most in ((0.5, LATE_P50), (0.99, _late_p99(profile))):
        value = late[ceil(q * len(late)) - 1]
        yield VerifiedFact(f"late p{q * 100:g}", f"at most {_ms(most)}", _ms(value), value <= most)
    above = sorted(one.ended - one.sent - timing["asked"] for one, timing in timed)
    yield VerifiedFact(
        "late p99, as the driver saw it", "", _ms(above[ceil(0.99 * len(above)) - 1]), None
    )


def kept_up(account: Account) -> VerifiedFact:
    """What the mock says of itself."""
    bad = account.fidelity.not_ok_seconds
    reasons = "; ".join(account.fidelity.reasons)
    return VerifiedFact(
        "seconds not mock_ok", "0", f"{bad}" + (f": {reasons}" if reasons else ""), bad == 0
    )


def distributed(
    seen: Sequence[DriverCounts], profile: Profile, routes: Sequence[Route]
) -> Iterator[VerifiedFact]:
    """Do the profile's quantiles lie within the intervals of those that were delivered?"""
    if why := _unsteady(profile):
        yield VerifiedFact("latency", "", f"not compared: {why}", None)
        return
    slack = _late_p99(profile)
    for number, route in enumerate(routes):
        latency = profile.latency if route.latency is None else route.latency
        timings = [one.timing() for one in seen if one.question == number and one.status]
        delays = sorted(t["service"] + t["late"] for t in timings if "late" in t)
        for q in _QUANTILES:
            ranks = quantile_ranks(len(delays), q, _CONFIDENCE)
            if not ranks:
                continue
            wanted = latency.quantile(q)
            low, value, high = (
                delays[rank - 1] for rank in (ranks[0], ceil(q * len(delays)), ranks[1])
            )
            yield VerifiedFact(
                f"p{q * 100:g} of {route.name}",
                _ms(wanted),
                f"{_ms(value)} ({_ms(low)} to {_ms(high)})",
                low - slack <= wanted <= high + _ROUNDING,
            )


def quantile_ranks(n: int, q: float, confidence: float) -> tuple[int, int] | None:
    """
    Ranks, from 1, of the two of n values between which the true quantile lies.

    The number of values below it is binomial, whatever the distribution (Conover, Practical
    Nonparametric Statistics). None: n values are too few for it.
    """
    tail = (1 - confidence) / 2
    low = high = None
    below = 0.0  # P(fewer than k values are below the quantile)
    for k in range(n + 1):
        if below <= tail and k >= 1:
            low = k
        if 1 - below <= tail and k >= 1:
            high = k
            break
        ways = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
        below += exp(ways + k * log(q) + (n - k) * log1p(-q))
    return (low, high) if low and high else None


def table(checks: Sequence[VerifiedFact]) -> Iterator[str]:
    """Lines of aligned text."""
    verdicts = {True: "ok", False: "NO", None: ""}
    rows = [("", "asked", "measured", "")] + [
        (check.what, check.asked, check.measured, verdicts[check.holds]) for check in checks
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, (*widths, 0), strict=True))
        yield "  ".join(cells).rstrip()


class _Asker:
    """Asks for all routes in turns."""

    def __init__(self, upstream: Upstream, profile: Profile) -> None:
        self._upstream = upstream
        # A client would have to be told that an answer to HEAD has no body.
        self.routes = [route for route in profile.routes if route.method != "HEAD"]
        self.routes = self.routes or [Route(path="/")]
        address = urlsplit(upstream.url).netloc
        self._questions = [
            question(address, route.method or "GET", _path(route)) for route in self.routes
        ]
        latencies = [
            profile.latency if route.latency is None else route.latency for route in self.routes
        ]
        longest = max(one.quantile(0.999999) for one in latencies)
        # What a fault keeps waiting may never come.
        self._timeout = min(longest + 5, _TIMEOUT) if _faulty(profile) else _TIMEOUT
        draws = [(place + 0.5) / 1000 for place in range(1000)]
        self.mean = sum(fmean(map(one.quantile, draws)) for one in latencies) / len(latencies)
        """Seconds that a request takes, without any network."""

    def ask(self, rate: float, seconds: float) -> tuple[list[DriverCounts], Account]:
        """All that the driver and the ledger know of `seconds` seconds, each from zero."""
        self._upstream.reset()
        seen = drive(
            self._upstream.url,
            self._questions,
            rate,
            seconds,
            connections=min(int(rate * self.mean * 1.2) + 20, _MOST_CONNECTIONS),
            timeout=self._timeout,
        )
        return seen, self._upstream.ledger()


def saturated(seen: Sequence[DriverCounts], servers: int) -> VerifiedFact:
    """Overloaded, all servers must work all the time: then throughput is c / S, and not else."""
    served = [(one, one.timing()) for one in seen if one.status]
    served = [(one, timing) for one, timing in served if timing.get("service")]
    if not served:
        return VerifiedFact("capacity", "", "nothing was served", False)
    first, last = seen[0].sent, seen[-1].sent
    begin = first + (last - first) / 4  # all servers have work by then
    services = [timing["service"] for one, timing in served if begin <= one.ended < last]
    mean = sum(services) / len(services) if services else 0.0
    busy = sum(services) / (servers * (last - begin))
    return VerifiedFact(
        "capacity, overloaded",
        f"{servers / mean:,.0f}/s" if mean else "some",
        f"{len(services) / (last - begin):,.0f}/s, servers busy {busy:.1%}",
        _BUSY <= busy <= 2 - _BUSY,
    )


def _capacity(asker: _Asker, servers: int) -> VerifiedFact:
    rate = _OVERLOAD * servers / asker.mean if asker.mean else inf
    seconds = max(2.0, 50 * asker.mean)  # the ends of the window are a server's work each
    if rate > _HIGHEST_RATE or seconds > _TIMEOUT / 4:
        return VerifiedFact("capacity, overloaded", "", "not tried: it would take too much", None)
    return saturated(asker.ask(rate, seconds)[0], servers)


def _headroom(asker: _Asker, profile: Profile, rate: float) -> VerifiedFact:
    """Doubles the rate until answers come late, or the driver itself does not get further."""
    good, why = rate, ""
    while good < _HIGHEST_RATE:
        seen, account = asker.ask(2 * good, 1.0)
        broken = [
            check.what
            for check in (offered(seen, 2 * good, 1.0), *punctual(seen, profile), kept_up(account))
            if check.holds is False
        ]
        if broken:
            why = f"; at {2 * good:,.0f}/s not: {', '.join(broken)}"
            break
        good *= 2
    return VerifiedFact("headroom", "", f"{good / rate:g} times the rate, {good:,.0f}/s{why}", None)


def _faulty(profile: Profile) -> bool:
    return bool(profile.faults) or any(route.faults for route in profile.routes)


def _unsteady(profile: Profile) -> str | None:
    """Why the latency that is delivered is not always drawn from the one distribution."""
    if profile.timeline:
        return "the timeline changes it"
    if profile.capacity and profile.capacity.slowdown != Slowdown():
        return "it grows with the load"
    if profile.spells:
        return "it comes in spells"
    return None


def _late_p99(profile: Profile) -> float:
    own = profile.budget.late if "late" in profile.budget.model_fields_set else None
    return LATE_P99 if own is None else own


def _path(route: Route) -> str:
    path = route.path
    for name in path_names(path):
        path = path.replace(f"{{{name}}}", "1")
    return path


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else format_duration(round(seconds, 3))


def _cores() -> tuple[int, int] | None:
    """The driver's and the mock's; None where there are not two, or no way to choose."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[-1]) if len(allowed) > 1 else None


@contextmanager
def _mock(profile: Profile, cores: tuple[int, int] | None) -> Iterator[Upstream]:
    """The mock on its core, with this process on the other for the length of the block."""
    if not cores:
        with running(profile) as upstream:
            yield upstream
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {cores[1]})  # a new process stays where it was started
        with running(profile) as upstream:
            os.sched_setaffinity(0, {cores[0]})
            yield upstream
    finally:
        os.sched_setaffinity(0, before)
