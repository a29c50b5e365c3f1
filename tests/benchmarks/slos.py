"""Are SLOs decided rightly? Simulated services whose truth is known, and how often each was said.

    python tests/benchmarks/slos.py [N]

N runs of each case (200). Asked: at most 5 % of the SLOs that are just at the truth are
decided, leaving out windows without a burst, which do not show that there are bursts, of the bare
intervals and of SLOs of whole runs (with what chance adds to that in N runs); at most 2.5 %
of rates beyond the capacity meet an SLO; no capacity is named where every level fails more than is
promised; and 70 % of what was undecided is decided in a window as long as was named.
"""

import math
import random
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[2]))

from loadtests.analysis.capacity.margins import Bounds, trial
from loadtests.analysis.capacity.result import capacity
from loadtests.analysis.points import points
from loadtests.analysis.slos.metrics import Evidence
from loadtests.analysis.slos.slo_result import slo_result
from loadtests.analysis.stats import intervals
from loadtests.plans.slos import parse
from loadtests.run.controller import played
from loadtests.schedules.search import Search
from tests.loadtests.analysis.test_truth_failures import BURSTS, at_the_true_share
from tests.loadtests.analysis.test_truth_stability import ABOVE
from tests.support.simulated_engine import (
    SimulatedEngine,
    Station,
    System,
    exponential,
    record,
    stage,
    threads,
    uniform,
)


def judged(text, system, level, seed, **options):
    made = record(SimulatedEngine({"a": system}, seed), stage(seed, "a", level, **options))
    found = {p.level: p for p in points([made]) if p.request == "all"}
    return slo_result("slo", parse(text), Evidence("a", [level], found, [made], None))


def bursts(count, gap, length, users=35, pieces=20):
    """Statuses of an SLO at the true share of failures that come in bursts."""
    each = users * 0.25 / 0.05  # requests of a quarter second

    def window(seed):
        rng, now, failed = random.Random(seed), 0.0, [0.0] * pieces
        while (now := now + rng.expovariate(1 / gap)) < pieces / 4:
            for piece in range(pieces):
                part = min(now + length, (piece + 1) / 4) - max(now, piece / 4)
                failed[piece] = min(failed[piece] + max(part, 0.0) / 0.25 * each, each)
        return failed

    windows = [window(seed) for seed in range(count)]
    truth = sum(map(sum, windows)) / (count * pieces * each)
    said = Counter()
    for failed in windows:
        if not sum(failed):
            said["no burst"] += 1
            continue
        seen = intervals.share(failed, [each] * pieces)
        said["met" if seen.high < truth else "missed" if seen.low > truth else "unresolved"] += 1
    return said


def searches(count, failing):
    slos, bounds = {"e": parse("errors < 0.1%")}, Bounds(lowest=1, highest=80, within=600.0)
    plan = SimpleNamespace(deployments={"a": None}, load=SimpleNamespace(settle=2.0, measure=5.0))
    system = System([Station(uniform(0.04, 0.06))], failing=lambda level: failing)
    said = Counter()
    for seed in range(count):
        search, so_far = Search({"a": slos}, bounds), []
        engine = SimulatedEngine({"a": system}, seed)
        while (step := search.next_stage(plan, so_far)) is not None:
            measure = step.measure or plan.load.measure
            made = record(engine, stage(len(so_far), "a", step.level, measure=measure))
            point = next(p for p in points([made]) if p.request == "all")
            so_far.append(played(step, made, point, seconds=2.4 + measure))
        trials = [trial(slos, one.point, one.slow) for one in so_far]
        found = capacity(slos, trials, bounds, "users", 0.0)
        said["none" if found.level is None else "all" if found.above else "some"] += 1
    return said


def rates(count):
    """(rate, capacity, seconds, SLO) -> statuses; beyond the capacity no p95 exists."""
    for rate, most, threshold in (
        *ABOVE,
        (1000, 950, "300ms"),
        (100, 125, "500ms"),
        (100, 200, "500ms"),
    ):
        for seconds in (5.0, 10.0):
            text = f"p95 < {threshold} at {rate}"
            said = Counter(
                judged(
                    text, threads(1, exponential(1 / most)), rate, seed, model="open",
                    measure=seconds,
                ).status
                for seed in range(count)
            )  # fmt: skip
            yield rate, most, seconds, text, said


def at_the_border(count):
    """Statuses of an SLO at the true p95, of queues whose p95 is known."""
    cases = {
        "no queue, exponential": (System([Station(exponential(0.05))]), 10, 0.05 * math.log(20)),
        "no queue, uniform": (System([Station(uniform(0.03, 0.07))]), 10, 0.068),
    }
    for name, (system, level, p95) in cases.items():
        text = f"p95 < {p95 * 1000:.3f}ms at {level}"
        yield name, Counter(judged(text, system, level, seed).status for seed in range(count))


def named_measures(count):
    """How many of the undecided are decided in a window as long as was named."""
    system, asked, decided = System([Station(exponential(0.05))]), 0, 0
    for seed in range(count):
        for text in ("p95 < 165ms at 10", "p95 < 135ms at 10"):
            seen = judged(text, system, 10, seed)
            if seen.status == "unresolved":
                asked += 1
                longer = judged(text, system, 10, 10_000 + seed, measure=min(seen.measure, 120.0))
                decided += longer.status == ("met" if "165" in text else "missed")
    return asked, decided


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    checks = []
    for gap, length in ((2.5, 0.1), (2.5, 0.05), (5.0, 0.1), (0.5, 0.02)):
        said = bursts(count, gap, length)
        seen = count - said["no burst"]
        print(f"bursts of {length:g} s every {gap:g} s, at the true share: {dict(said)}")
        checks.append((said["met"] + said["missed"]) <= 0.05 * seen)
    for gap, long in BURSTS:
        said = at_the_true_share(gap, long, count)
        print(f"SLO at the true share, {long:g} s every {gap:g} s: {dict(said)}", flush=True)
        fair = 0.05 * said.total()
        checks.append(said["met"] + said["missed"] <= fair + 2 * math.sqrt(0.95 * fair))
    for name, said in at_the_border(count):
        print(f"{name}, at the true p95: {dict(said)}")
        checks.append(said["unresolved"] >= 0.95 * count - 2 * math.sqrt(0.05 * 0.95 * count))
    for rate, most, seconds, text, said in rates(count):
        print(f"{rate}/s of {most}/s, {seconds:g} s: {text}: {dict(said)}", flush=True)
        checks.append(rate < most or said["met"] <= max(0.025 * count, 1))
    for failing in (0.004, 0.0):
        said = searches(max(count // 10, 3), failing)
        print(f"errors < 0.1%, every level fails {failing:.1%}: capacity {dict(said)}", flush=True)
        checks.append(set(said) == ({"none"} if failing else {"all"}))
    asked, decided = named_measures(max(count // 4, 10))
    print(f"undecided {asked}; decided in the window that was named {decided}")
    checks.append(decided >= 0.7 * asked)
    print("ok" if all(checks) else f"MISSED: {checks.count(False)} of {len(checks)}")
    sys.exit(not all(checks))


if __name__ == "__main__":
    main()
