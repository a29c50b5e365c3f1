"""The load generator's own limits: how much it can do, and how much of a time is its own."""

from collections.abc import Mapping

from loadtests.results import Point
from loadtests.selfcheck.bench import Bench, RunFailed, Target, plan
from loadtests.selfcheck.findings import Check, Findings, Limits

TITLE = "the load generator's own limits"
LATE = 0.02  # of a delay of 100 ms, by which a generator in time may lengthen it
LEAST_RATE = 500.0  # answers a second
LEAST_USERS = (
    50  # half of what the default plan asks for at 100 ms, and a service of one core gives
)
CROWDS = (25, 50, 100, 200, 400, 1000, 2000)


def check(bench: Bench) -> Findings:
    """The mock without a delay, by few users and many; then with 100 ms, by ever more users."""
    prompt, slow = Target("--latency", "0ms"), Target("--latency", "100ms")
    load = {"levels": [1, 8, 64], "settle": "500ms", "measure": "2s"}
    fast = bench.play(plan("throughput", {"prompt": prompt.deployment}, load)).run.of("prompt")
    delays: dict[int, float] = {}

    def measured(point: Point) -> None:
        delivered = slow.ledger()["delivered"]
        delays[point.level] = delivered["total"] / delivered["count"]

    load = {"levels": list(CROWDS), "settle": "500ms", "measure": "1500ms"}
    crowded = bench.play(
        plan("crowds", {"slow": slow.deployment}, load),
        begins=lambda _: slow.reset(),
        measured=measured,
    )
    own = {
        point.level: mean.value / delays[point.level] - 1
        for point in crowded.run.of("slow")
        if (mean := point.response_time["mean"]) is not None
    }
    median = next((p.response_time["p50"] for p in fast if p.level == 1), None)
    if median is None:
        raise RunFailed("one user without a delay gave no median")
    return judged(max(point.throughput.value for point in fast), median.value, own)


def judged(rate: float, floor: float, own: Mapping[int, float]) -> Findings:
    """
    Args:
        rate: the most answers per second without a delay.
        floor: the median of one user without a delay; seconds.
        own: users -> the part of 100 ms by which times come out too long.
    """
    users = 0
    for level, part in sorted(own.items()):
        if part > LATE:
            break
        users = level
    told = ", ".join(f"{level}: {part:+.1%}" for level, part in sorted(own.items()))
    return Findings(
        (
            Check(
                "highest throughput, no delay",
                f"at least {LEAST_RATE:,.0f}/s",
                f"{rate:,.0f}/s",
                rate >= LEAST_RATE,
            ),
            Check(
                f"users whose times of 100 ms are within {LATE:.0%}",
                f"at least {LEAST_USERS}",
                f"{users} ({told})",
                users >= LEAST_USERS,
            ),
        ),
        Limits(rate=rate, users=users, floor=floor),
    )
