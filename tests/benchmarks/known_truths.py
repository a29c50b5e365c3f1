"""Runs with known answers: do the numbers make sense, and what does a switch cost?

    python tests/benchmarks/known_truths.py [--rounds 3]

Each round plays three deployments of which theory knows the ceiling, from the mock's own ledger:
40 threads give 40 / L, ten give 10 / L, and blocking calls in `async def` give 1 / L whatever the
level (L: the mean delay that the mock delivered in that stage). Asked: the threads' plateaus within
5 %, the blocked loop at 1 / L (by the median, since five seconds of it hold only 90 requests),
Little's law within 2 % at every point with at least 500 requests, and at most half a second from
one deployment to the next at 40 users. (A switch waits for the last answers of the deployment that
is left; the one that blocks its loop owes 40 users two seconds, and is left out of that figure.)
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from loadtests import plans, session
from loadtests.analysis.inputs import records
from loadtests.cli.progress import shown

PLAN = """
name = "known-truths"
seed = 3
[upstream]
latency = "p50=50ms p95=80ms p99=150ms"
[deployments.threads-40]
variant = "blocking-requests"
[deployments.threads-10]
variant = "blocking-requests"
settings = { threads = 10 }
[deployments.blocking-in-async]
variant = "blocking-in-async"
[[requests]]
path = "/external-data"
[load]
levels = [10, 20, 40, 80, 160]
settle = "2s"
measure = "5s"
"""
SERVERS = {"threads-40": 40, "threads-10": 10, "blocking-in-async": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    plateaus, little, switches = [], [], []
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "plan.toml")
        file.write_text(PLAN, encoding="utf-8")
        for _ in range(rounds):
            with shown(console) as observer:
                outcome = session.run(plans.read(file), Path(folder), observer, [])
            record = records.read(outcome.folder)
            delays = mean_delays(record)
            for point in outcome.run.points:
                if point.request != "all" or point.requests < 500:
                    continue
                little.append((abs(point.in_flight / point.level - 1), point))
            for point in outcome.run.points:
                servers = SERVERS[point.deployment]
                if point.request == "all" and point.level >= 2 * servers:
                    ceiling = servers / delays[point.deployment, point.level]
                    plateaus.append((point, ceiling))
            switches += switches_at(record, 40)
    good = report(plateaus, little, switches)
    sys.exit(not good)


def mean_delays(record):
    """(deployment, level) -> the mean delay that the mock delivered in the window; seconds."""
    found = {}
    for one in record.stages:
        begin = one.begun.at + one.stage.settle
        ledgers = [
            sample["mock"]["delivered"]
            for sample in record.samples
            if begin <= sample["at"] <= begin + one.stage.measure and sample["mock"]
        ]
        first, last = ledgers[0], ledgers[-1]
        mean = (last["total"] - first["total"]) / (last["count"] - first["count"])
        found[one.stage.deployment, one.stage.level] = mean
    return found


def switches_at(record, level):
    """Seconds between the end of one measured window and the next stage's begin, at a level."""
    pairs = zip(record.stages, record.stages[1:], strict=False)
    return [
        after.begun.at - (before.begun.at + before.stage.settle + before.stage.measure)
        for before, after in pairs
        if before.stage.level == after.stage.level == level
        and before.stage.deployment != "blocking-in-async"
    ]


def report(plateaus, little, switches):
    print("deployment          users  answers/s  k/L/s  ratio")
    for point, ceiling in plateaus:
        value = point.throughput.value
        print(
            f"{point.deployment:18} {point.level:6} {value:10.1f} {ceiling:6.1f} "
            f"{value / ceiling:6.3f}"
        )
    ratios = {"threads": [], "blocking": []}
    for point, ceiling in plateaus:
        ratios[point.deployment.split("-")[0]].append(point.throughput.value / ceiling)
    off = max(abs(ratio - 1) for ratio in ratios["threads"])
    blocked = statistics.median(ratios["blocking"])
    worst, where = max(little, key=lambda pair: pair[0])
    print(f"threads: {len(ratios['threads'])} plateaus, worst {off:.1%} off (asked: 5 %)")
    print(
        f"blocking-in-async: {len(ratios['blocking'])} points, median {blocked:.3f} of 1/L "
        f"({min(ratios['blocking']):.3f} to {max(ratios['blocking']):.3f})"
    )
    print(
        f"Little's law: {len(little)} points, worst {worst:.2%} off, "
        f"{where.deployment} at {where.level} (asked: 2 %)"
    )
    print(
        f"switch at 40 users: {len(switches)} switches, "
        f"median {statistics.median(switches):.3f} s, longest {max(switches):.3f} s (asked: 0.5 s)"
    )
    return off <= 0.05 and abs(blocked - 1) <= 0.05 and worst <= 0.02 and max(switches) <= 0.5


if __name__ == "__main__":
    main()
