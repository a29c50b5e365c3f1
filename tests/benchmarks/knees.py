"""Knees of real processes against the knee that their settings imply.

    python tests/benchmarks/knees.py [--quick] [--out FOLDER]

`blocking-requests` with 5 to 100 threads behind delays of 20 to 500 ms, in all combinations in
which threads bind and not the CPU: T / L is at most 0.6 / c, where c is the CPU of a request as
measured in the same run. Each other delay is spread by about a fifth, the others are constant.

The truth is not taken from the curves that are judged. A request holds a thread for L + h and is
with the service for L + o, where L is the mean delay of the mock's ledger, and h and o
are measured before, with one thread (T = 1 answers 1 / (L + h) a second) and without a queue. So
N* = T (L + o) / (L + h). Asked: the median error at most 3 %, the worst 10 %, the interval around
the truth in nine of ten cases, at least 30 cases, no knee of a service with more threads than
users, and less than 2 % of the points called invalid. It takes about 20 minutes on two cores.
"""

import argparse
import math
import statistics
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from loadtests import plans, session
from loadtests.analysis.inputs import records
from loadtests.cli.progress import shown

THREADS = (5, 8, 12, 20, 40, 70, 100)
DELAYS = (0.020, 0.035, 0.050, 0.100, 0.200, 0.350, 0.500)  # seconds
BUSY = 0.6  # of a core, at the plateau
LEVELS = {  # for threads up to: two levels without a queue, three with one
    12: (1, 3, 16, 24, 32),
    40: (4, 9, 50, 64, 80),
    100: (12, 32, 120, 140, 160),
}
CONTROL = (2, 5, 10, 20, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="six cases only, to try it")
    parser.add_argument("--out", type=Path, help="keep the runs' folders here")
    options = parser.parse_args()
    keep = nullcontext(options.out) if options.out else tempfile.TemporaryDirectory()
    with keep as folder:
        sys.exit(not measured(Path(folder), options.quick))


def measured(folder, quick):
    calibration = play(folder, "calibration", 0.050, False, (1, 40), (1, 3, 5, 8), 4.0)
    outside, inside, cpu = overheads(calibration)
    print(
        f"c = {cpu * 1000:.2f} ms of CPU a request; in addition to the delay, "
        f"h = {inside * 1000:.2f} ms with a thread, o = {outside * 1000:.2f} ms in all",
        flush=True,
    )
    cases, points = [], []
    for number, delay in enumerate(DELAYS):
        fitting = [count for count in THREADS if count / delay <= BUSY / cpu]
        below = 0
        for top, levels in LEVELS.items():
            group = [count for count in fitting if below < count <= top]
            below = top
            if quick and (delay not in (0.020, 0.200) or top == 100):
                continue
            if group:
                name = f"{delay * 1000:.0f}ms-{top}"
                outcome = play(folder, name, delay, number % 2 == 1, group, levels)
                points += outcome.run.points
                cases += [judged(outcome, count, outside, inside) for count in group]
                for case in cases[-len(group) :]:
                    print(row(case), flush=True)
    control = play(folder, "control", 0.100, False, (100,), CONTROL)
    return report(cases, control, [*points, *control.run.points], quick)


def play(folder, name, delay, spread, threads, levels, measure=0.0):
    """One plan: a deployment for each number of threads."""
    latency = f"{delay * 1000:g}ms"
    if spread:
        latency = f"p50={latency} p95={1.35 * delay * 1000:g}ms"
    plan = f"""
name = "knees-{name}"
seed = 5
[upstream]
latency = "{latency}"
[deployments.threads]
variant = "blocking-requests"
settings = {{ pool = {max(threads)} }}
matrix = {{ threads = {list(threads)} }}
[[requests]]
path = "/external-data"
timeout = "30s"
[load]
levels = {list(levels)}
settle = "{math.ceil(4 * (1 + 3 * delay)) / 4}s"
measure = "{math.ceil(4 * (measure or 3 + 6 * delay)) / 4}s"
"""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.toml"
    file.write_text(plan, encoding="utf-8")
    with shown(Console(stderr=True)) as observer:
        return session.run(plans.read(file), folder, observer, [])


def overheads(calibration):
    """o and h in seconds, and c in CPU seconds a request."""
    delay = mean_delay(calibration)
    alone = {p.level: p for p in calibration.run.of("threads[1]")}
    roomy = {p.level: p for p in calibration.run.of("threads[40]")}
    outside = alone[1].response_time["mean"].value - delay
    rate = statistics.mean(alone[level].throughput.value for level in (3, 5, 8))
    busy = roomy[8]
    return outside, 1 / rate - delay, busy.resources["app_cpu"] / busy.throughput.value


def mean_delay(outcome):
    """The mean delay that the mock delivered in the run; seconds."""
    samples = records.read(outcome.folder).samples
    last = [one["mock"]["delivered"] for one in samples if one.get("mock")][-1]
    return last["total"] / last["count"]


def judged(outcome, count, outside, inside):
    """(delay, threads, truth, knee)"""
    delay = mean_delay(outcome)
    truth = count * (delay + outside) / (delay + inside)
    names = [name for name in outcome.run.knees if name in (f"threads[{count}]", "threads")]
    return delay, count, truth, outcome.run.knees[names[0]]


def row(case):
    delay, count, truth, knee = case
    if knee.level is None:
        return f"{delay * 1000:6.1f} ms {count:4} threads  N* {truth:6.1f}  no knee"
    inside = knee.low is not None and knee.low <= truth <= knee.high
    ends = "[?]" if knee.low is None else f"[{knee.low:.1f}, {knee.high:.1f}]"
    return (
        f"{delay * 1000:6.1f} ms {count:4} threads  N* {truth:6.1f}  knee {knee.level:6.1f} "
        f"{ends:16} {knee.level / truth - 1:+6.1%} {'' if inside else 'not in the interval'}"
    )


def report(cases, control, points, quick):
    found = [case for case in cases if case[3].level is not None]
    wrong = [abs(knee.level / truth - 1) for _, _, truth, knee in found]
    median, worst = (statistics.median(wrong), max(wrong)) if wrong else (math.inf, math.inf)
    held = sum(
        knee.low is not None and knee.low <= truth <= knee.high for _, _, truth, knee in found
    )
    whole = [point for point in points if point.request == "all"]
    invalid = [point for point in whole if not point.valid]
    for point in invalid:
        print(f"invalid: {point.deployment} at {point.level}: {'; '.join(point.problems)}")
    linear = [knee.level for knee in control.run.knees.values()]
    asked = [
        ("cases", "at least 30", f"{len(cases)}", quick or len(cases) >= 30),
        ("knees found", "all", f"{len(found)}", len(found) == len(cases)),
        ("median error", "at most 3 %", f"{median:.1%}", median <= 0.03),
        ("worst error", "at most 10 %", f"{worst:.1%}", worst <= 0.10),
        ("truth in the interval", "27 of 30", f"{held} of {len(cases)}", held >= 0.9 * len(cases)),
        ("knee of the control", "none", f"{linear}", linear == [None]),
        (
            "points called invalid",
            "under 2 %",
            f"{len(invalid)} of {len(whole)}",
            len(invalid) < 0.02 * len(whole) or not invalid,
        ),
    ]
    for what, wanted, got, good in asked:
        print(f"{what:24} {wanted:14} {got:14} {'ok' if good else 'MISSED'}")
    return all(good for *_, good in asked)


if __name__ == "__main__":
    main()
