"""Do intervals still hold the truth where a stage ends as soon as they are narrow enough?

    python tests/benchmarks/stopping.py [RUNS] [--only M/M/1] [--longest 120] [--fixed]

The systems of coverage.py, each of known truth. Here a window is not as long as its system needs:
the controller's own rule looks at it while it grows, sees at each look what has been answered by
then, and ends it. Of the open model the rule knows what the queue can answer at most, as it does
once the ladder has passed the knee; a window too short for its rate has no intervals of response
times, as in a report.

Asked: 94 to 97 % of the intervals hold the truth, as in coverage.py. Told besides: what a fixed
window of the same mean length covers, and how long the windows were. What the rule costs is the
difference of the two, where the longest window (20 s) is shorter than a system needs.
"""

import argparse
import math
import multiprocessing
import random
import sys
import zlib
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
from coverage import CASES, NAMES, SETTLE, _judged, errors, line, requests, stage, truth

from loadtests.analysis.goals import LOOKS, Length
from loadtests.analysis.points import points
from loadtests.analysis.stats import relaxation
from loadtests.engine.arrivals import first_starts
from loadtests.plans import pace
from loadtests.plans.pace import Pace
from loadtests.recording.slices import LENGTH, whole_slices
from loadtests.results import Knee
from tests.support.simulated_engine import recorded


def most(case):
    """What the queue of an open case answers at most; requests a second."""
    if case.model == "closed":
        return None
    return case.servers / case.service.__closure__[0].cell_contents


def played(name, rng, longest):
    """The stage, and every request that started in the longest window."""
    case, mean = CASES[name], truth(name)["mean"]
    made = stage(
        0,
        "system",
        case.level,
        settle=SETTLE,
        measure=longest,
        think_time=0.0 if case.own else case.think_time,
        model=case.model,
        arrivals=case.arrivals or "poisson",
    ).model_copy(update={"own_tasks": case.own})
    spread = 1.0 if case.own else first_starts(made, mean)
    return made, list(requests(case, SETTLE + longest, spread, rng))


def length_of(case, made, sent):
    """Seconds that the rule has this stage measure."""
    length = Length(made, Pace(math.inf), most(case))
    for look in LOOKS:
        if look >= made.measure:
            break
        now = SETTLE + look
        seen = recorded(
            made.model_copy(update={"measure": look}), (one for one in sent if one[1] <= now)
        )
        report = SimpleNamespace(slices=[SimpleNamespace(index=round(now / LENGTH) - 1)])
        if (found := length.after(seen, report)) is not None:
            return found
    return made.measure


def judged(name, made, sent, seconds):
    """(covered, null, relative width) of each of NAMES, and whether the window was called steady"""
    case, exact = CASES[name], truth(name)
    whole = recorded(made.model_copy(update={"measure": seconds}), sent)
    point = next(one for one in points([whole]) if one.request == "all")
    if case.model == "open":
        knee = most(case)
        [point] = relaxation.marked([point], {"system": Knee(level=knee, low=knee, high=knee)})
    estimates = {
        **point.response_time,
        "throughput": point.throughput,
        "errors": errors(whole) if exact["errors"] else None,
    }
    row = [_judged(estimates[key], exact[key]) for key in NAMES]
    return row, point.steady in ("steady", None)


def stopped(job):
    name, longest, numbers = job
    found = []
    for number in numbers:
        rng = random.Random(zlib.crc32(f"stopping {name} {number}".encode()))
        made, sent = played(name, rng, longest)
        seconds = length_of(CASES[name], made, sent)
        found.append((seconds, judged(name, made, sent, seconds)))
    return found


def fixed(job):
    name, seconds, numbers = job
    found = []
    for number in numbers:
        rng = random.Random(zlib.crc32(f"fixed {name} {number}".encode()))
        made, sent = played(name, rng, seconds)
        found.append(judged(name, made, sent, seconds))
    return found


def shares(rows, exact):
    """How many of the intervals of each name hold the truth, in words."""
    data = np.array([row for row, _ in rows], dtype=float)
    return ", ".join(
        f"{key} {data[:, place, 0].mean():.1%}"
        for place, key in enumerate(NAMES)
        if key != "errors" or exact["errors"]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=int, nargs="?", default=300)
    parser.add_argument("--only", default="", help="cases whose names hold this text")
    parser.add_argument("--longest", type=float, default=pace.LONGEST, help="seconds of a window")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fixed", action="store_true", help="fixed windows of that length, too")
    asked = parser.parse_args()
    pace.LONGEST = asked.longest
    edges = [asked.runs * part // asked.workers for part in range(asked.workers + 1)]
    good = True
    with multiprocessing.Pool(asked.workers) as pool:
        for name in (name for name in CASES if asked.only in name):
            exact = truth(name)
            jobs = [(name, asked.longest, range(*ends)) for ends in pairwise(edges)]
            rows = [row for part in pool.map(stopped, jobs) for row in part]
            lengths = np.array([seconds for seconds, _ in rows])
            low, middle, high = np.quantile(lengths, (0.1, 0.5, 0.9))
            print(
                f"\n{name}, {asked.runs} runs of {lengths.mean():.1f} s "
                f"({low:g} to {high:g} s, median {middle:g} s)"
            )
            data = np.array([row for _, (row, _) in rows], dtype=float)
            for place, key in enumerate(NAMES):
                if key != "errors" or exact["errors"]:
                    good &= line(key, *data[:, place].T)
            alarms = sum(not steady for _, (_, steady) in rows)
            print(f"  not steady  {alarms / asked.runs:6.1%}")
            if asked.fixed:
                jobs = [(name, whole_slices(lengths.mean()), range(*e)) for e in pairwise(edges)]
                found = [row for part in pool.map(fixed, jobs) for row in part]
                print(f"  fixed windows of that length: {shares(found, exact)}", flush=True)
    sys.exit(not good)


if __name__ == "__main__":
    main()
