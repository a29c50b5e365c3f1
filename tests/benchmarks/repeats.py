"""How often intervals of repeated stages hold the truth, where stages differ beyond chance.

Each stage has a factor of its own on all service times, lognormal with the given spread: what one
start of a service, or one minute of a machine, differs from the next by. The truth is that of the
mean factor. Run as `python tests/benchmarks/repeats.py [runs]`; it prints a table.
"""

import math
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from loadtests.analysis.points import points
from loadtests.results import Estimate
from tests.support.simulated_engine import SimulatedEngine, Station, System, record, stage, threads

LEVEL = 40
FIGURES = ("throughput", "mean", "p50", "p95", "p99")


def scattered(rng: random.Random) -> float:
    return rng.uniform(0.03, 0.07)


def skewed(rng: random.Random) -> float:
    return rng.lognormvariate(math.log(0.05), 0.5)


SYSTEMS = {
    "10 threads, 40 users": lambda draw: threads(10, draw),
    "no limit": lambda draw: System([Station(draw)]),
}


def played(system, factors: Sequence[float], seed: int, measure: float = 5.0):
    """The point of as many stages as there are factors."""
    records = []
    for number, factor in enumerate(factors):

        def draw(rng, factor=factor):
            return factor * (skewed if system == "no limit" else scattered)(rng)

        engine = SimulatedEngine({"a": SYSTEMS[system](draw)}, seed=seed * 1000 + number)
        records.append(record(engine, stage(number, "a", LEVEL, measure=measure)))
    return next(one for one in points(records) if one.request == "all")


def figures(point) -> dict[str, Estimate | None]:
    times = point.response_time
    return {"throughput": point.throughput, **{name: times[name] for name in FIGURES[1:]}}


def holds(estimate: Estimate | None, truth: float) -> bool:
    """Whether there is an interval, and the truth is in it; a side that is not known is open."""
    if estimate is None:
        return False
    low = -math.inf if estimate.low is None else estimate.low
    high = math.inf if estimate.high is None else estimate.high
    return low <= truth <= high


def coverage(system: str, spread: float, repeats: int, runs: int) -> dict[str, tuple[float, float]]:
    """The share of runs whose interval holds the truth, and its median half width, by figure."""
    long = figures(played(system, [1.0], seed=-1, measure=400.0))
    held: dict[str, int] = defaultdict(int)
    halves: dict[str, list[float]] = defaultdict(list)
    for seed in range(runs):
        rng = random.Random(f"{system} {spread} {repeats} {seed}")
        factors = [math.exp(rng.gauss(0, spread)) for _ in range(repeats)]
        for name, estimate in figures(played(system, factors, seed)).items():
            held[name] += holds(estimate, long[name].value)
            if estimate and estimate.low is not None and estimate.high is not None:
                halves[name].append((estimate.high - estimate.low) / 2 / estimate.value)
    return {
        name: (
            held[name] / runs,
            sorted(halves[name])[len(halves[name]) // 2] if halves[name] else math.inf,
        )
        for name in FIGURES
    }


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"held, and the median half width, of {runs} runs each")
    print(f"{'system':22}{'spread':>7}{'repeats':>8}" + "".join(f"{name:>16}" for name in FIGURES))
    for system in SYSTEMS:
        for spread, repeats in ((0.0, 3), (0.02, 3), (0.04, 3), (0.04, 5), (0.08, 3)):
            found = coverage(system, spread, repeats, runs)
            cells = "".join(f"{held:9.1%} ±{half:5.1%}" for held, half in found.values())
            print(f"{system:22}{spread:7.0%}{repeats:8}{cells}", flush=True)


if __name__ == "__main__":
    main()
