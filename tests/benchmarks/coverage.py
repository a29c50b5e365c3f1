"""How often do the 95 % intervals hold the truth, and are steady windows called so?

    python tests/benchmarks/coverage.py [RUNS] [--only M/M/1] [--seconds 5 20]

Each run simulates a system of which the truth is known (by Erlang C, or from the same system over
an hour), and analyses it as a real run: users start as the engine starts them, and the load goes on
after the stage as it does there. A window is as long as its system needs: some 800 requests, for
p99, and 120 times the time in which its queue forgets.

Asked: each of p50, p95, p99, mean, throughput and errors is covered by 94 to 97 % of the intervals,
within the error of that many runs (Wilson's interval reaches into the range). An end that is null
claims nothing: it covers, and is counted; where more than a tenth of the runs have one, 94 % at
least is asked, since nulls raise it. An interval that is nearly a point (less than 3 % wide), as
that of the throughput of users that mostly think, is as wide as one request makes it: it, too, must
cover 94 % at least. Asked of the state: at most 2 % of the windows of these steady systems are
called anything but steady.
"""

import argparse
import heapq
import math
import multiprocessing
import os
import random
import sys
import zlib
from bisect import bisect
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, pairwise
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[2]))
from loadtests.analysis.inputs.windows import pieces, window
from loadtests.analysis.points import points
from loadtests.analysis.stats import intervals
from loadtests.engine.arrivals import first_starts
from loadtests.results import Estimate
from tests.support.simulated_engine import constant, exponential, recorded, stage

SETTLE = 2.0
ASKED = 0.94, 0.97
FALSE_ALARMS = 0.02
NARROW = 0.03  # of the value
NAMES = ("p50", "p95", "p99", "mean", "throughput", "errors")


def lognormal(mean, sigma):
    return lambda rng: rng.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)


def bimodal(fast, slow, share):
    return lambda rng: (slow if rng.random() < share else fast) * rng.uniform(0.9, 1.1)


def uniform(low, high):
    return lambda rng: rng.uniform(low, high)


@dataclass(frozen=True)
class Case:
    """
    `level` users, or requests a second; `servers` None: as many as there are requests.

    With `shares` all requests share the servers instead of waiting for one. `pause` draws a user's
    think time; users of an `own` locustfile are not known to. In `bursts` every request fails.
    """

    level: int
    servers: int | None
    service: object
    seconds: float
    pause: object = constant(0.0)
    think_time: float = 0.0
    arrivals: str = ""  # of the open model
    shares: bool = False
    own: bool = False
    bursts: bool = False

    @property
    def model(self):
        return "open" if self.arrivals else "closed"


def thinking(level, servers, service, seconds, mean, pause=constant, **more):
    return Case(level, servers, service, seconds, pause(mean), mean, **more)


def opened(rate, servers, mean, seconds, arrivals="poisson"):
    return Case(rate, servers, exponential(mean), seconds, arrivals=arrivals)


CASES = {
    "closed M/M/10, 6 users": Case(6, 10, exponential(0.05), 10),
    "closed M/M/10, 10 users": Case(10, 10, exponential(0.05), 10),
    "closed M/M/10, 40 users": Case(40, 10, exponential(0.05), 10),
    "closed M/M/10, 160 users": Case(160, 10, exponential(0.05), 60),
    "M/M/10, thinking at random, 20 users": thinking(
        20, 10, exponential(0.05), 10, 0.05, exponential
    ),
    "M/M/1, thinking at random, 20 users": thinking(
        20, 1, exponential(0.01), 30, 0.18, exponential
    ),
    "M/D/10, thinking at random, 24 users": thinking(24, 10, constant(0.05), 10, 0.05, exponential),
    "lognormal/10, 5 users": Case(5, 10, lognormal(0.05, 0.5), 20),
    "lognormal/10, 40 users": Case(40, 10, lognormal(0.05, 0.5), 20),
    "constant/10, 40 users": Case(40, 10, constant(0.05), 5),
    "open M/M/10, rho 0.5": opened(100, 10, 0.05, 20),
    "open M/M/10, rho 0.8": opened(160, 10, 0.05, 120),
    "open M/M/1, rho 0.5": opened(50, 1, 0.01, 30),
    "open D/M/10, rho 0.8": opened(160, 10, 0.05, 60, "even"),
    "M/M/10, think time 50 ms, 20 users": thinking(20, 10, exponential(0.05), 10, 0.05),
    "unlimited, think time 1 s, 40 users": thinking(40, None, lognormal(0.05, 0.5), 30, 1.0),
    "unlimited, think time 10 s, 160 users": thinking(160, None, lognormal(0.05, 0.5), 60, 10.0),
    "unlimited, 0.3 s, 20 users": Case(20, None, lognormal(0.3, 0.5), 20),
    "unlimited, 1.2 s, hardly varying, 20 users": Case(20, None, lognormal(1.2, 0.05), 60),
    "unlimited, 2 s, 40 users": Case(40, None, lognormal(2.0, 0.5), 60),
    "unlimited, 4 s, 40 users": Case(40, None, lognormal(4.0, 0.2), 90),
    "unlimited, 4 s, exponential, 40 users": Case(40, None, exponential(4.0), 90),
    "unlimited, bimodal, 20 users": Case(20, None, bimodal(0.05, 0.5, 0.08), 20),
    "bimodal/10, 15 users": Case(15, 10, bimodal(0.03, 0.3, 0.1), 20),
    "processor shared, think time 0.1 s, 20 users": thinking(
        20, 1, exponential(0.008), 20, 0.1, shares=True
    ),
    "processor shared, lognormal, 20 users": Case(20, 1, lognormal(0.005, 1.0), 20, shares=True),
    "failures in bursts, 20 users": Case(20, None, lognormal(0.05, 0.5), 60, bursts=True),
    "own locustfile, 0.5 to 1.5 s, 40 users": Case(
        40, None, lognormal(0.05, 0.5), 30, uniform(0.5, 1.5), own=True
    ),
}


def requests(case, length, spread, rng):
    """(start, end, failed) of every request that starts before `length`; seconds."""
    played = (_shared if case.shares else _queued)(case, length, spread, rng)
    if not case.bursts:
        return ((start, end, False) for start, end in played)
    edges, now = [0.0], rng.uniform(0, 5)
    while now < length:
        edges += [now, now + rng.uniform(0.05, 0.1)]
        now = edges[-1] + rng.uniform(2.5, 5.0)
    return ((start, end, bisect(edges, start) % 2 == 0) for start, end in played)


def _starts(case, length, spread, rng):
    """First requests of all users, or all requests of the open model; in order."""
    if case.model == "closed":
        yield from sorted(rng.uniform(0, spread) for _ in range(case.level))
        return
    now = 0.0
    for number in count():
        even = case.arrivals == "even"
        now = number / case.level if even else now + rng.expovariate(case.level)
        if now >= length:
            return
        yield now


def _queued(case, length, spread, rng):
    """First come, first served."""
    free, ready = [0.0] * (case.servers or 0), list(_starts(case, length, spread, rng))
    while ready and ready[0] < length:
        now = heapq.heappop(ready)
        end = max(now, free[0] if free else 0.0) + case.service(rng)
        if free:
            heapq.heapreplace(free, end)
        yield now, end
        if case.model == "closed":
            heapq.heappush(ready, end + case.pause(rng))


def _shared(case, length, spread, rng):
    """
    All requests are served at once, and share the servers. `done` is the service that each of them
    has had, had it been there from the beginning.
    """
    ready, served, tie = list(_starts(case, length, spread, rng)), [], count()
    now = done = 0.0
    while ready or served:
        each = min(1.0, case.servers / len(served)) if served else 1.0
        leaves = now + (served[0][0] - done) / each if served else math.inf
        comes = ready[0] if ready else math.inf
        done += (min(leaves, comes) - now) * each
        now = min(leaves, comes)
        if comes <= leaves:
            heapq.heappop(ready)
            if comes < length:
                heapq.heappush(served, (done + case.service(rng), next(tie), comes))
        else:
            *_, start = heapq.heappop(served)
            yield start, now
            heapq.heappush(ready, now + case.pause(rng))


def record(name, seconds, rng):
    """What the controller would hold after a stage of this system."""
    case, mean = CASES[name], truth(name)["mean"]
    played = stage(
        0,
        "system",
        case.level,
        settle=SETTLE,
        measure=seconds,
        think_time=0.0 if case.own else case.think_time,
        model=case.model,
        arrivals=case.arrivals or "poisson",
    ).model_copy(update={"own_tasks": case.own})
    spread = 1.0 if case.own else first_starts(played, mean)
    held = min(4 * mean, SETTLE)  # as loadtests.engine.generator.HELD
    return recorded(played, requests(case, SETTLE + seconds + held, spread, rng))


@lru_cache
def truth(name, seconds=3600.0):
    case, start = CASES[name], 30.0
    seen = list(requests(case, start + seconds, 1.0 + case.think_time, random.Random(99)))
    found = np.array([one for one in seen if one[0] >= start])
    times = (found[:, 1] - found[:, 0])[found[:, 2] == 0]
    exact = dict(zip(("p50", "p95", "p99"), np.quantile(times, (0.5, 0.95, 0.99)), strict=True))
    exact["mean"] = times.mean()
    succeeded = sum(start <= end < start + seconds for _, end, failed in seen if not failed)
    exact["throughput"] = succeeded / seconds
    exact["errors"] = found[:, 2].mean()
    if case.model == "open":
        exact["throughput"] = case.level
    if case.arrivals == "poisson":
        exact |= erlang(case.level, case.servers, case.service.__closure__[0].cell_contents)
    return {key: float(value) for key, value in exact.items()}


def erlang(rate, servers, mean):
    """p50, p95, p99 and mean response time of the open M/M/c queue."""
    load = rate * mean
    term = load**servers / math.factorial(servers) * servers / (servers - load)
    waits = term / (sum(load**k / math.factorial(k) for k in range(servers)) + term)
    slack, served = servers / mean - rate, 1 / mean

    def beyond(t):
        if math.isclose(slack, served):
            return math.exp(-served * t) * (1 + waits * slack * t)
        mixed = (slack * math.exp(-served * t) - served * math.exp(-slack * t)) / (slack - served)
        return (1 - waits) * math.exp(-served * t) + waits * mixed

    def quantile(q):
        low, high = 0.0, 100.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if beyond(middle) > 1 - q else (low, middle)
        return high

    return {
        "p50": quantile(0.5),
        "p95": quantile(0.95),
        "p99": quantile(0.99),
        "mean": mean + waits / slack,
    }


def runs(job):
    """(covered, null, relative width) of each of NAMES for each run, and whether it was steady."""
    name, seconds, numbers = job
    exact = truth(name)
    found = []
    for number in numbers:
        rng = random.Random(zlib.crc32(f"{name} {seconds} {number}".encode()))
        made = record(name, seconds, rng)
        point = next(one for one in points([made]) if one.request == "all")
        estimates = {
            **point.response_time,
            "throughput": point.throughput,
            "errors": errors(made) if exact["errors"] else None,
        }
        row = [_judged(estimates[key], exact[key]) for key in NAMES]
        found.append((row, point.steady in ("steady", None)))
    return found


def errors(made):
    [cut] = pieces([window(made)])
    return intervals.share([one.failed.count for one in cut], [one.started for one in cut], None)


def _judged(estimate, exact):
    estimate = estimate or Estimate(value=exact)
    low, high = estimate.low, estimate.high
    blur = 0.0006 * exact  # a histogram's buckets
    held = (low is None or low <= exact + blur) and (high is None or exact - blur <= high)
    null = low is None or high is None
    return held, null, math.nan if null or not exact else (high - low) / exact


def tables(names, seconds, many, pool):
    good = True
    workers = os.cpu_count() or 1
    low, high = ASKED
    print(f"asked: {low:.0%} to {high:.0%} of the intervals hold the truth; at most 2 % not steady")
    for name in names:
        for length in seconds or [CASES[name].seconds]:
            edges = [many * part // workers for part in range(workers + 1)]
            jobs = [(name, length, range(*ends)) for ends in pairwise(edges)]
            rows = [row for part in pool.map(runs, jobs) for row in part]
            print(f"\n{name}, {length:g} s, {many} runs")
            data = np.array([row for row, _ in rows], dtype=float)
            for place, key in enumerate(NAMES):
                if key != "errors" or truth(name)["errors"]:
                    good &= line(key, *data[:, place].T)
            alarms = sum(not steady for _, steady in rows)
            bound = stats.binomtest(alarms, many).proportion_ci(0.95, "wilson").low
            fine = bound <= FALSE_ALARMS
            print(f"  not steady  {alarms / many:6.1%}  {'ok' if fine else 'MISSED'}", flush=True)
            good &= fine
    return good


def line(key, held, null, width):
    covered = int(held.sum())
    low, high = stats.binomtest(covered, len(held)).proportion_ci(0.95, "wilson")
    known = width[~np.isnan(width)]
    mean = float(known.mean()) if len(known) else math.nan
    fine = high >= ASKED[0] and (low <= ASKED[1] or mean < NARROW or null.mean() > 0.1)
    print(
        f"  {key:10}  {covered / len(held):6.1%} ({low:.1%} to {high:.1%})  "
        f"width {mean:6.1%}  null {null.mean():6.1%}  {'ok' if fine else 'MISSED'}",
        flush=True,
    )
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=int, nargs="?", default=500)
    parser.add_argument("--only", default="", help="cases whose names hold this text")
    parser.add_argument("--seconds", type=float, nargs="+", help="windows, for every case")
    asked = parser.parse_args()
    names = [name for name in CASES if asked.only in name]
    with multiprocessing.Pool() as pool:
        good = tables(names, asked.seconds, asked.runs, pool)
    sys.exit(not good)


if __name__ == "__main__":
    main()
