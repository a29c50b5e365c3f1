"""Services whose true knee is known, drawn from a seed, with the points that would be measured."""

import math
import random

from loadtests.analysis.points import points
from loadtests.results import Errors, Estimate, Point
from tests.support.simulated_engine import (
    SimulatedEngine,
    Station,
    System,
    constant,
    exponential,
    ladder,
    threads,
    uniform,
)

LADDERS = ((1, 5, 10, 20, 40, 80, 160), (1, 2, 4, 8, 16, 32, 64), (2, 10, 30, 60), (5, 20, 50, 100))
SHARES = (0.0, 0.0, 0.02, 0.1, 0.3)


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
    return f"{model}, retrograde", knee_at, levels, found


def drawn(number, seed):
    """A service: (kind, true knee, levels, points)."""
    rng = random.Random(f"knees/{seed}/{number}")
    maker = (closed, closed, opened, closed, retrograde)[number % 5]
    return maker(rng, seed + number)


def held(truth, bend):
    """Whether what is said about the knee holds."""
    if bend.level is not None:
        return bend.low is not None and bend.low <= truth <= bend.high
    if bend.high is not None:
        return truth <= bend.high
    return bend.low is None or truth >= bend.low
