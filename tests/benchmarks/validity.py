"""Are good points called valid, and spoilt ones invalid?

    python tests/benchmarks/validity.py [RUN ...] [--simulated 400] [--stages 300] [--spoilt 20]

False alarms, under 2 % asked of at least 300 points each:

- of simulated stages: queues of several kinds, by few users and many, with and without think time;
- of real stages, made here: two variants behind a mock, two seconds each;
- of the run folders that are given, which were made while nothing else ran.

Spoilt points, all of which are to be found:

- a process that does nothing but compute, on the core of the generator, and of the mock, while the
  deployment has the other one (needs two cores);
- simulated stages in which one user of twenty, and of two hundred, is neither waiting nor thinking
  (Little's law), told only: the rule leaves two parts of a hundred to chance and clocks.

A point here is one stage, as the run's schedule sees it: repeats are not taken together.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2]))

from loadtests import plans, session
from loadtests.analysis.inputs import records
from loadtests.analysis.points import points
from loadtests.cli.progress import shown
from loadtests.processes.affinity import Cores
from tests.support.brownout_runs import PAIR
from tests.support.simulated_engine import (
    SimulatedEngine,
    Station,
    System,
    constant,
    exponential,
    record,
    stage,
    threads,
    uniform,
)

FALSE = 0.02
LEAST = 300
SYSTEMS = {
    "40 threads": threads(40, exponential(0.05)),
    "one loop": threads(1, uniform(0.001, 0.003)),
    "two in a row": System([Station(exponential(0.002), 2), Station(constant(0.05))]),
    "sometimes failing": System([Station(uniform(0.04, 0.08))], failing=lambda _: 0.1),
}
LEVELS = (1, 5, 20, 80, 200)
THINKING = (0.0, 0.1)
PLAN = f"""
name = "validity"
[upstream]
latency = "p50=50ms p95=80ms p99=150ms"
{PAIR}
[load]
levels = [5, 10, 20, 40]
settle = "500ms"
measure = "2s"
repeats = {{repeats}}
"""
BURN = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, help="folders of runs, to be counted too")
    parser.add_argument("--simulated", type=int, default=400, help="simulated stages")
    parser.add_argument("--stages", type=int, default=300, help="real stages; 3 s each")
    parser.add_argument("--spoilt", type=int, default=20, help="real stages of each spoilt kind")
    parser.add_argument("--out", type=Path, help="keep the runs' folders here")
    options = parser.parse_args()
    asked = []
    with tempfile.TemporaryDirectory() as kept:
        out = options.out or Path(kept)
        if options.simulated:
            asked.append(false_alarms("simulated", simulated(options.simulated)))
            asked += power()
        if options.stages:
            asked.append(false_alarms("real", play(out, options.stages)))
        for folder in options.runs:
            asked.append(false_alarms(str(folder), judged(folder)))
        if options.spoilt:
            asked += [spoilt(out, who, options.spoilt) for who in ("generator", "mock")]
    for what, wanted, got, good in asked:
        print(f"{what:44} {wanted:24} {got:14} {'ok' if good else 'MISSED'}")
    sys.exit(not asked or not all(good for *_, good in asked))


def simulated(count):
    """Points of simulated stages; nothing is wrong with any."""
    kinds = list(product(SYSTEMS, LEVELS, THINKING))
    for number in range(count):
        system, level, think = kinds[number % len(kinds)]
        played = stage(number, system, level, think_time=think, measure=4.0)
        engine = SimulatedEngine(SYSTEMS, seed=number)
        yield whole([record(engine, played)], ())


def power():
    """Little's law where a part of the users is missing."""
    for part, wanted in ((0.05, True), (0.005, False)):
        found = []
        for seed in range(40):
            played = stage(0, "40 threads", 200)
            made = record(SimulatedEngine(SYSTEMS, seed=seed), played)
            made.stage = played.model_copy(update={"level": round(200 / (1 - part))})
            found.append(not whole([made], ()).valid)
        yield (
            f"{part:.1%} of the users missing, found",
            "all" if wanted else "(told only)",
            f"{sum(found)} of {len(found)}",
            all(found) or not wanted,
        )


def play(out, stages):
    """A point for each of a number of real stages."""
    text = PLAN.format(repeats=max(-(-stages // 8), 1))
    out.mkdir(parents=True, exist_ok=True)
    file = out / "validity.toml"
    file.write_text(text, encoding="utf-8")
    with shown(Console(stderr=True)) as observer:
        outcome = session.run(plans.read(file), out, observer, [])
    return judged(outcome.folder)


def judged(folder):
    """The point of all requests of each stage in a run's folder."""
    read = records.read(folder)
    return [whole([one], read.samples) for one in read.stages if one.begun]


def whole(made, samples):
    return next(point for point in points(made, samples) if point.request == "all")


def false_alarms(what, seen):
    seen = list(seen)
    wrong = [point for point in seen if not point.valid]
    told(wrong)
    got = f"{len(wrong)} of {len(seen)}"
    good = len(seen) > 0 and len(wrong) < FALSE * len(seen)
    few = "" if len(seen) >= LEAST else f" (of fewer than {LEAST})"
    return f"false alarms, {what}", f"under {FALSE:.0%}{few}", got, good


def spoilt(out, who, stages):
    """A busy process on the core of the generator, or of the mock, that is otherwise idle."""
    first, second = (frozenset({core}) for core in sorted(os.sched_getaffinity(0))[:2])
    places = {"apps": second, "mock": second, "generator": second} | {who: first}
    before = Cores.here
    Cores.here = classmethod(lambda cls: Cores(**places, pinned=True))
    try:
        with burning(first):
            seen = play(out, stages)
    finally:
        Cores.here = before
    wrong = [point for point in seen if not point.valid]
    told(wrong)
    good = len(seen) > 0 and len(wrong) == len(seen)
    return f"{who} on a busy core, found", "all", f"{len(wrong)} of {len(seen)}", good


@contextmanager
def burning(cores):
    with subprocess.Popen(
        [sys.executable, "-c", BURN], preexec_fn=lambda: os.sched_setaffinity(0, cores)
    ) as burner:
        try:
            yield
        finally:
            burner.kill()


def told(wrong):
    """Why points were called invalid; the same kind of reason once, with its count."""
    reasons = Counter(problem.split(":")[0] for point in wrong for problem in point.problems)
    examples = {p.split(":")[0]: p for point in wrong for p in point.problems}
    for reason, count in reasons.most_common():
        print(f"  {count} times: {examples[reason]}", file=sys.stderr)


if __name__ == "__main__":
    main()
