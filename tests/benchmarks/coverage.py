"""How often do the 95 % intervals hold the truth, and are steady windows called so?

    python tests/benchmarks/coverage.py [--runs 1000] [--only M/M/1] [--seconds 5 20]
                                        [--repeats 1 3]

Each run simulates a queue of which the truth is known (by Erlang C, or from the same queue over
many thousands of seconds), and analyses it as a real run. Asked: each of p50, p95, p99, mean and
throughput is covered by 94 to 96.5 % of the intervals, within the error of that many runs (Wilson's
interval reaches into the range). An end that is null claims nothing: it covers, and is counted;
where more than a tenth of the runs have one, 94 % at least is asked, since nulls raise it. A
figure that does not vary at all, as the throughput of constant service times beyond saturation, has
an interval that is as good as a point, and is covered always: asked is then 94 % at least. Asked of
the state: at most 2 % of the windows of these steady queues are called anything but steady.
"""

import argparse
import heapq
import math
import multiprocessing
import os
import random
import sys
import zlib
from functools import lru_cache
from itertools import count

import numpy as np
from scipy import stats

from loadtests.analysis.points import points
from loadtests.analysis.records import StageRecord
from loadtests.results import Estimate
from loadtests.slices import LENGTH, Slice
from loadtests.stages import Begun, RequestSpec, Stage

SETTLE = 2.0
ASKED = 0.94, 0.965
FALSE_ALARMS = 0.02
NARROW = 0.03  # of the value: as good as a point where nothing varies
NAMES = ("p50", "p95", "p99", "mean", "throughput")


def exponential(mean):
    return lambda rng: rng.expovariate(1 / mean)


def lognormal(mean, sigma):
    return lambda rng: rng.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)


def constant(seconds):
    return lambda rng: seconds


def closed(users, servers, service, think=0.0):
    return "closed", users, servers, service, think


def opened(rate, servers, service, arrivals="poisson"):
    return arrivals, rate, servers, service, 0.0


CASES = {
    "closed M/M/10, 6 users": closed(6, 10, exponential(0.05)),
    "closed M/M/10, 10 users": closed(10, 10, exponential(0.05)),
    "closed M/M/10, 40 users": closed(40, 10, exponential(0.05)),
    "closed M/M/10, 160 users": closed(160, 10, exponential(0.05)),
    "M/M/10 thinking, 20 users": closed(20, 10, exponential(0.05), 0.05),
    "M/M/1 thinking, 20 users": closed(20, 1, exponential(0.01), 0.18),
    "M/D/10 thinking, 24 users": closed(24, 10, constant(0.05), 0.05),
    "lognormal/10, 5 users": closed(5, 10, lognormal(0.05, 0.5)),
    "lognormal/10, 40 users": closed(40, 10, lognormal(0.05, 0.5)),
    "constant/10, 40 users": closed(40, 10, constant(0.05)),
    "open M/M/10, rho 0.5": opened(100, 10, exponential(0.05)),
    "open M/M/10, rho 0.8": opened(160, 10, exponential(0.05)),
    "open M/M/1, rho 0.5": opened(50, 1, exponential(0.01)),
    "open D/M/10, rho 0.8": opened(160, 10, exponential(0.05), "even"),
}


def requests(case, length, rng):
    """(start, end) of every request that starts before `length`: first come, first served."""
    kind, level, servers, service, think = case
    free = [0.0] * servers
    if kind == "closed":
        ready = sorted(rng.uniform(0, SETTLE / 2) for _ in range(level))
    now, numbers = 0.0, count()
    while True:
        if kind == "closed":
            now = ready[0]
        elif kind == "even":
            now = next(numbers) / level
        else:
            now += rng.expovariate(level)
        if now >= length:
            return
        end = max(now, free[0]) + service(rng)
        heapq.heapreplace(free, end)
        yield now, end
        if kind == "closed":
            heapq.heapreplace(ready, end + (rng.expovariate(1 / think) if think else 0.0))


def record(case, number, seconds, rng):
    """What the controller would hold after a stage of this queue."""
    stage = Stage(
        number=number,
        deployment="queue",
        target="http://127.0.0.1:1",
        model="closed" if case[0] == "closed" else "open",
        level=case[1],
        think_time=case[4],
        settle=SETTLE,
        measure=seconds,
        requests=(RequestSpec(name="/", method="GET", path="/", weight=1.0, timeout=10.0),),
        seed=0,
    )
    slices = {}
    length = SETTLE + seconds

    def part(index):
        if index not in slices:
            slices[index] = Slice(stage=number, index=index, request="/")
        return slices[index]

    for start, end in requests(case, length, rng):
        first, last = int(start / LENGTH), int(end / LENGTH)
        begin, finish = part(first), part(last)
        begin.started += 1
        begin.start_lead += (first + 1) * LENGTH - start
        begin.ok.record(end - start)
        if stage.model == "open":
            begin.response.record(end - start)
        finish.ended += 1
        finish.end_lead += (last + 1) * LENGTH - end
        finish.succeeded += 1
    made = StageRecord(stage)
    made.begun = Begun(stage=number, at=0.0, generators={})
    made.slices = [slices[index] for index in sorted(slices)]
    return made


@lru_cache
def truth(name, seconds=5000.0):
    case = CASES[name]
    seen = np.array(list(requests(case, SETTLE + seconds, random.Random(99))))
    times = (seen[:, 1] - seen[:, 0])[seen[:, 0] >= SETTLE]
    p50, p95, p99 = np.quantile(times, (0.5, 0.95, 0.99))
    inside = (seen[:, 1] >= SETTLE) & (seen[:, 1] < SETTLE + seconds)
    rate = float(inside.sum()) / seconds if case[0] == "closed" else float(case[1])
    mean = float(times.mean())
    if case[0] == "poisson":
        p50, p95, p99, mean = erlang(case[1], case[2], case[3].__closure__[0].cell_contents)
    return {"p50": p50, "p95": p95, "p99": p99, "mean": mean, "throughput": rate}


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

    return quantile(0.5), quantile(0.95), quantile(0.99), mean + waits / slack


def runs(job):
    """For each run: (covered, null, relative width) of each of NAMES, and whether it was steady."""
    name, seconds, repeats, first, many = job
    exact = truth(name)
    found = []
    for seed in range(first, first + many):
        rng = random.Random(zlib.crc32(f"{name} {seconds} {repeats} {seed}".encode()))
        stages = [record(CASES[name], number, seconds, rng) for number in range(repeats)]
        point = next(one for one in points(stages) if one.request == "all")
        estimates = {**point.response_time, "throughput": point.throughput}
        row = [_judged(estimates[key], float(exact[key])) for key in NAMES]
        found.append((row, point.steady in ("steady", None)))
    return found


def _judged(estimate, exact):
    estimate = estimate or Estimate(value=exact)
    low, high = estimate.low, estimate.high
    blur = 0.0006 * exact  # a histogram's buckets
    held = (low is None or low <= exact + blur) and (high is None or exact - blur <= high)
    null = low is None or high is None
    return held, null, math.nan if null else (high - low) / exact


def tables(names, seconds, repeats, many, pool):
    good = True
    workers = os.cpu_count() or 1
    share = -(-many // workers)
    print("asked: 94 to 96.5 % of the intervals hold the truth; at most 2 % not steady")
    for name in names:
        for window in seconds:
            for times in repeats:
                jobs = [
                    (name, window, times, first, min(share, many - first))
                    for first in range(0, many, share)
                ]
                rows = [row for part in pool.map(runs, jobs) for row in part]
                print(f"\n{name}, {window:g} s x {times}, {many} runs")
                data = np.array([row for row, _ in rows], dtype=float)
                for place, key in enumerate(NAMES):
                    good &= line(key, *data[:, place].T)
                alarms = sum(not steady for _, steady in rows)
                bound = stats.binomtest(alarms, many).proportion_ci(0.95, "wilson").low
                fine = bound <= FALSE_ALARMS
                print(f"  not steady  {alarms / many:6.1%}  {'ok' if fine else 'MISSED'}")
                good &= fine
    return good


def line(key, held, null, width):
    covered = int(held.sum())
    low, high = stats.binomtest(covered, len(held)).proportion_ci(0.95, "wilson")
    known = width[~np.isnan(width)]
    mean = float(known.mean()) if len(known) else math.nan
    exact = covered == len(held) and mean < NARROW
    fine = high >= ASKED[0] and (low <= ASKED[1] or exact or null.mean() > 0.1)
    print(
        f"  {key:10}  {covered / len(held):6.1%} ({low:.1%} to {high:.1%})  "
        f"width {mean:6.1%}  null {null.mean():6.1%}  {'ok' if fine else 'MISSED'}",
        flush=True,
    )
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--only", default="", help="cases whose names hold this text")
    parser.add_argument("--seconds", type=float, nargs="+", default=[5.0, 20.0])
    parser.add_argument("--repeats", type=int, nargs="+", default=[1, 3])
    asked = parser.parse_args()
    names = [name for name in CASES if asked.only in name]
    with multiprocessing.Pool() as pool:
        good = tables(names, asked.seconds, asked.repeats, asked.runs, pool)
    sys.exit(not good)


if __name__ == "__main__":
    main()
