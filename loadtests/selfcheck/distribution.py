"""A known distribution of delays, end to end: what comes out is what the mock says it did."""

from collections.abc import Mapping

from loadtests.results import Point
from loadtests.selfcheck.bench import Bench, Target, invalid, plan
from loadtests.selfcheck.findings import Check, Findings, not_measured

TITLE = "a known distribution of delays"
RELATIVE, ABSOLUTE = 0.005, 0.0002  # seconds; one of both
QUANTILES = ("p50", "p95", "p99")


def check(bench: Bench) -> Findings:
    """The mock itself is the service, with a spread around 100 ms."""
    target = Target("--latency", "p50=100ms p95=160ms p99=300ms")
    load = {"levels": [40], "settle": "1s", "measure": "5s"}
    delivered: dict[str, float] = {}
    played = bench.play(
        plan("distribution", {"known": target.deployment}, load),
        begins=lambda _: target.reset(),
        measured=lambda _: delivered.update(target.ledger()["delivered"]),
    )
    return judged(played.point("known"), delivered)


def judged(point: Point, delivered: Mapping[str, float]) -> Findings:
    """Each quantile against the mock's: within its interval, or within half a percent or 0.2 ms."""
    return Findings(tuple(_quantile(point, name, delivered[name]) for name in QUANTILES))


def _quantile(point: Point, name: str, true: float) -> Check:
    title, expected = f"{name} of known delays", f"{true * 1000:.1f} ms"
    if why := invalid([point]):
        return not_measured(title, expected, why)
    found = point.response_time.get(name)
    if found is None:
        return not_measured(title, expected, f"{point.requests} requests do not give a {name}")
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    near = abs(found.value - true) <= max(RELATIVE * true, ABSOLUTE)
    return Check(
        title,
        expected,
        f"{found.value * 1000:.1f} ms ({low * 1000:.1f} to {high * 1000:.1f})",
        near or low <= true <= high,
    )
