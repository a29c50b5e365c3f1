"""Is the true knee in the interval that is given? Knees of simulated services, a truth for each.

    python tests/benchmarks/knees_simulated.py [200] [--seed N] [--all]

Services are drawn from a seed: threads behind constant, uniform, exponential and lognormal times,
one server with a delay before it, no limit at all, throughput that falls beyond the knee; in the
closed model with and without thinking users, and in the open one; 0 to 30 % of the requests fail.
The knee lies below the lowest level, between any two, or beyond the highest. Asked: the truth is
within what is said in 95 %, and no knee is named in 98 % of the services without one.

What is said is an interval; "at or below" the lowest level; or none up to a level, and then the
truth must not lie below the bound that is given.
"""

import argparse
import math
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulated_engine import (
    SimulatedEngine,
    Station,
    System,
    constant,
    exponential,
    ladder,
    threads,
    uniform,
)

from loadtests.analysis.knees import knee
from loadtests.analysis.points import points
from loadtests.results import Errors, Estimate, Point

LADDERS = ((1, 5, 10, 20, 40, 80, 160), (1, 2, 4, 8, 16, 32, 64), (2, 10, 30, 60), (5, 20, 50, 100))
SHARES = (0.0, 0.0, 0.02, 0.1, 0.3)
HELD, CLEAR = 0.95, 0.98


def lognormal(mean, cv):
    sigma = math.sqrt(math.log(1 + cv**2))
    return lambda rng: rng.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)


def times(rng, mean):
    """A distribution of this mean."""
    return rng.choice(
        (
            constant(mean),
            uniform(0.6 * mean, 1.4 * mean),
            exponential(mean),
            lognormal(mean, rng.uniform(0.2, 1.0)),
        )
    )


def closed(rng, seed):
    """Threads, or one server with a delay before it; (kind, truth, points)."""
    levels = rng.choice(LADDERS)
    share = rng.choice(SHARES)
    mean = rng.uniform(0.02, 0.1)
    think = rng.choice((0.0, 0.0, rng.uniform(0.05, 0.3)))
    kind = rng.choice(("threads", "threads", "server", "below", "none"))
    if kind == "none":
        system, truth = System([Station(times(rng, mean))]), math.inf
    elif kind == "server":
        users = rng.uniform(3, levels[-1] * 0.7)
        work = (mean + think) / (users - 1) if users > 1 else mean
        system = System([Station(times(rng, mean)), Station(times(rng, work), 1)])
        truth = (mean + work + think) / work
    else:
        most = levels[0] * mean / (mean + think) if kind == "below" else 0.7 * levels[-1]
        servers = max(int(rng.uniform(1, max(most, 1.0) + 0.99)), 1)
        system = threads(servers, times(rng, mean))
        truth = servers * (mean + think) / mean
    system = System(system.stations, failing=lambda level: share, thinks=think > 0)
    records = ladder(
        SimulatedEngine({"a": system}, seed), "a", levels, measure=5.0, think_time=think
    )
    return f"closed, {kind}", truth, levels, points(records)


def opened(rng, seed):
    """A queue that requests come to at a rate."""
    mean, servers = rng.uniform(0.02, 0.1), rng.randint(2, 12)
    truth = servers / mean
    share = rng.choice(SHARES)
    parts = rng.choice(((0.3, 0.6, 0.8, 1.3, 2.0), (0.2, 0.5, 1.5, 3.0), (0.2, 0.4, 0.6, 0.8)))
    kind = "none" if max(parts) < 1 else "threads"
    levels = [max(round(part * truth), 1) for part in parts]
    system = System([Station(times(rng, mean), servers)], failing=lambda level: share)
    records = ladder(SimulatedEngine({"a": system}, seed), "a", levels, model="open")
    return f"open, {kind}", math.inf if kind == "none" else truth, levels, points(records)


def retrograde(rng, seed):
    """Points of a service that loses throughput beyond its knee, with the noise they say."""
    model = rng.choice(("closed", "open"))
    cycle, knee_at = rng.uniform(0.02, 0.2), rng.uniform(3, 90)
    power, share, noise = rng.uniform(0.3, 1.5), rng.choice(SHARES), rng.uniform(0.005, 0.03)
    levels = rng.choice(LADDERS)
    if model == "open":
        cycle, levels = 1.0, [20 * level for level in levels]
        knee_at = rng.uniform(levels[0] * 1.1, levels[-2])
    found = []
    for level in levels:
        answered = min(level, knee_at * min(1.0, (knee_at / level) ** power)) / cycle
        answered *= (1 - share) * (1 + rng.gauss(0, noise))
        came = level if model == "open" else answered / (1 - share)
        half = 1.96 * noise * answered
        rate = Estimate(value=answered, low=answered - half, high=answered + half)
        found.append(
            Point(
                deployment="a",
                request="all",
                model=model,
                level=level,
                requests=round(came * 5),
                seconds=5.0,
                throughput=rate,
                response_time={"mean": Estimate(value=cycle), "p95": None},
                service_time={},
                errors=Errors(rate=share),
                in_flight=min(level, 5000.0) if model == "closed" else came * level / answered,
            )
        )
    truth = knee_at if model == "open" else knee_at * (1 - 0.0)
    return f"{model}, retrograde", truth, levels, found


def drawn(number, seed):
    """A service: (kind, true knee, levels, points)."""
    rng = random.Random(f"knees/{seed}/{number}")
    maker = (closed, closed, opened, closed, retrograde)[number % 5]
    return maker(rng, seed + number)


def held(truth, levels, bend):
    """Whether what is said about the knee holds."""
    if bend.level is not None:
        return bend.low is not None and bend.low <= truth <= bend.high
    if bend.high is not None:
        return truth <= bend.high
    return bend.low is None or truth >= bend.low


def told(bend):
    """In few words."""
    if bend.level is not None:
        return f"{bend.level:.1f} ({bend.low or 0:.1f} to {bend.high or 0:.1f}) {bend.then}"
    if bend.high is not None:
        return f"at or below {bend.high:.1f}"
    return "nothing" if bend.low is None else f"none up to {bend.low:.1f}"


def measured(count, seed, every=False):
    """(kind, whether it held, whether a knee was named, what was said) of each service."""
    for number in range(count):
        kind, truth, levels, found = drawn(number, seed)
        bend = knee(found)
        good = held(truth, levels, bend)
        if every or not good:
            print(
                f"{'  ' if good else '- '}{number:4} {kind:20} {truth:8.1f} {levels} {told(bend)}"
            )
        yield kind, good, bend.level is not None or bend.high is not None, bend


def report(rows):
    """Print a line for each kind, and what was asked."""
    rows = list(rows)
    kinds = Counter(kind for kind, *_ in rows)
    print(f"\n{'service':24}{'services':>9}{'held':>6}{'knee named':>12}")
    for kind, count in sorted(kinds.items()):
        of = [row for row in rows if row[0] == kind]
        print(f"{kind:24}{count:9}{sum(row[1] for row in of):6}{sum(row[2] for row in of):12}")
    total, good = len(rows), sum(row[1] for row in rows)
    free = [row for row in rows if row[0].endswith("none")]
    clear = sum(not row[2] for row in free)
    print(f"\ntruth within what is said: {good} of {total} (asked: {HELD:.0%})")
    print(f"no knee where there is none: {clear} of {len(free)} (asked: {CLEAR:.0%})")
    return good >= HELD * total and clear >= CLEAR * len(free)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="print every service")
    options = parser.parse_args()
    sys.exit(not report(measured(options.count, options.seed, options.all)))


if __name__ == "__main__":
    main()
