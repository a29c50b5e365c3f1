"""Are real runs right in noise, and do they still say something?

    python tests/benchmarks/noise.py [--shares 0,10,20,30] [--runs 20] [--seed 1] [--goal]
        [--no-stops] [--out FOLDER] [--record]

Each `brownout run` plays one service, whose limit is drawn from a seed: 5 to 60 threads, a pool, a
semaphore, a blocked loop, or CPU that is burnt. Meanwhile there are bursts of CPU on each core, for
0, 10, 20 and 30 % of the time, and short stops of generator, mock and service (see
tests/support/noise_maker.py). The same services are played at each level of noise. Twenty runs take
some eight minutes.

The truth: the limit where it is a number of threads, connections or slots. Where requests go one
after the other, (L + s) / s, where L is the mean latency that the mock was asked for and s what a
request holds the loop for: what it blocks, and the CPU that it took in the run itself, by the
processes' own clocks.

    knee        within 10 % of the truth, or with an interval that holds it
    cause       the one that was put there
    wrong       an interval that excludes the truth by more than 5 %, or another cause
    cannot tell neither wrong nor right in both
    false alarm a point that is called invalid, of which the throughput's interval holds the truth,
                or comes as close as 3 %

What the host of this machine and other processes took meanwhile is printed, as it comes on top.
`--record` keeps the noise of these runs for simulations (tests/support/recorded_noise.py). `--goal`
leaves the lengths of the stages to brownout.
"""

import argparse
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from loadtests import exit_codes, results
from loadtests.analysis.inputs import cpu, records
from tests.support import recorded_noise
from tests.support import seeded_faults as faults
from tests.support.noise_maker import noise
from tests.support.recorded_noise import Recording, Second

ROOT = Path(__file__).parents[2]
KINDS = (
    *("threads", "pool", "burn", "threads", "concurrency-limit"),
    *("hidden", "threads", "pool", "concurrency-limit", "blocked"),
)
LATENCY = 0.05, 0.20  # seconds
THREADS = 5, 60
LEVELS = {0.3: 1, 0.6: 1, 1.7: 2, 2.6: 4}  # times the knee -> users at least
NEAR, EXCLUDED, CLOSE = 0.10, 0.05, 0.03
SPOILT = {"generator", "mock", "host", "unknown"}
ASKED = {  # share of bursts -> knee, cause, wrong, cannot tell
    0.0: (0.98, 0.95, 0.01, 0.01),
    0.1: (0.95, 0.95, 0.02, 0.03),
    0.2: (0.90, 0.90, 0.03, 0.08),
    0.3: (0.80, 0.80, 0.05, 0.15),
}
FALSE_ALARMS = {0.1: 0.02}
LONGEST = 240.0  # seconds of a run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shares", default="0,10,20,30", help="of the time with bursts, percent")
    parser.add_argument("--runs", type=int, default=20, help="at each level of noise")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--goal", action="store_true", help="stages as long as brownout likes")
    parser.add_argument("--no-stops", action="store_true", help="bursts only, no SIGSTOP")
    parser.add_argument("--record", action="store_true", help="keep the noise for simulations")
    parser.add_argument("--out", type=Path, help="keep the runs' folders here")
    asked = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(number, signal.default_int_handler)
    keep = nullcontext(asked.out) if asked.out else tempfile.TemporaryDirectory()
    found = {}
    with keep as folder:
        try:
            for percent in map(float, asked.shares.split(",")):
                judged = found.setdefault(percent / 100, [])
                for number in range(asked.runs):
                    judged.append(played(Path(folder), asked, percent / 100, number))
                    print(judged[-1].text, flush=True)
        except KeyboardInterrupt:
            print("interrupted")
    sys.exit(not report({share: judged for share, judged in found.items() if judged}))


# What is played.


@dataclass(frozen=True)
class Case:
    """A service with one limit; `holds`: seconds that a request holds it for, without its CPU."""

    group: faults.Group
    fault: faults.Fault
    one_by_one: bool
    holds: float


def case(seed, number):
    rng = random.Random(f"noise/{seed}/{number}")
    kind = KINDS[number % len(KINDS)]
    count = rng.randint(*THREADS)
    seconds = round(rng.uniform(*LATENCY), 3)
    if kind in ("threads", "pool", "concurrency-limit"):  # the CPU must have room for them
        seconds = round(max(seconds, count * faults.CPU / faults.ROOM), 3)
    fault = {
        "threads": lambda: faults.threads(count),
        "pool": lambda: faults.pool(rng, count),
        "concurrency-limit": lambda: faults.slots(count),
        "blocked": faults.blocked,
        "hidden": lambda: faults.hidden(rng, seconds),
        "burn": lambda: faults.burn(rng, seconds),
    }[kind]()
    latency = f"{seconds * 1000:g}ms"
    if rng.random() < 0.6:
        latency = f"uniform({seconds * 700:g}ms,{seconds * 1300:g}ms)"
    levels = (max(round(part * fault.knee), least) for part, least in LEVELS.items())
    upstream = f'[upstream]\nlatency = "{latency}"'
    group = replace(
        faults.group(number, upstream, [fault], seconds), levels=tuple(sorted(set(levels)))
    )
    return Case(group, fault, kind in ("burn", "hidden"), fault.extra.get("block", 0.0))


def played(folder, asked, share, number):
    """One run of the case, judged."""
    drawn = case(asked.seed, number)
    text = drawn.group.plan()
    if asked.goal:
        text = re.sub(r"^(settle|measure) = .*\n", "", text, flags=re.MULTILINE)
    out = folder / f"{share * 100:.0f}-{number}"
    out.mkdir(parents=True, exist_ok=True)
    plan = out / "plan.toml"
    plan.write_text(text, encoding="utf-8")
    seed = asked.seed * 10_000 + number * 100 + round(share * 100)
    code = None
    with brownout(plan, out) as process, suppress(subprocess.TimeoutExpired):
        below = None if asked.no_stops else process.pid
        with noise(share, seed, below=below) as made:
            code = process.wait(LONGEST)
    if code == exit_codes.INTERRUPTED:
        raise KeyboardInterrupt
    runs = sorted(out.glob("*/run.json"))
    if code is None or not runs:
        output = (out / "output").read_text(encoding="utf-8").splitlines()[-3:]
        why = f"not within {LONGEST:.0f} s" if code is None else f"exit code {code}"
        return Judged(f"? {drawn.fault.kind}: no run, {why}: {' / '.join(output)}")
    record = records.read(runs[-1].parent)
    recording = recorded(share, seed, made, record)
    if asked.record:
        recorded_noise.add(recording)
    return judged(drawn, results.read(runs[-1]), recording, cpu_of_request(record))


@contextmanager
def brownout(plan, out):
    """The command as a user types it; interrupted, and waited for, if the block ends before it."""
    words = [sys.executable, "-m", "loadtests", "run", str(plan), "--out", str(out)]
    with (out / "output").open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            words, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def recorded(share, seed, made, record):
    """The noise of a run, as simulations and the table of this benchmark need it."""
    cores = sorted(os.sched_getaffinity(0))
    index = {core: place for place, core in enumerate(cores)}
    samples = [one for one in record.samples if one.get("cores")]
    began = samples[0]["at"] - 1 if samples else 0.0
    names = {"generator": "generator", "mock": "mock"}
    names |= {one.stage.deployment: "service" for one in record.stages}
    roles, seconds = {}, []
    for sample in samples:
        ours = [*sample["processes"].values(), sample["harness"] or {}]
        others = []
        for core in cores:
            used = sum(one["cpu"] for one in ours if core in one.get("affinity", ()))
            others.append(round(max(sample["worked"][core] - used, 0.0), 3))
        known = {names[name]: one for name, one in sample["processes"].items() if name in names}
        roles |= {name: index[min(one["affinity"])] for name, one in known.items()}
        seconds.append(
            Second(
                round(sample["at"] - began, 2),
                others,
                [sample["stolen"][core] for core in cores],
                [sample["cores"][core] for core in cores],
                {name: one["wait"] for name, one in known.items() if "wait" in one},
                {name: one["runs"] for name, one in known.items() if "runs" in one},
            )
        )
    bursts = sorted(
        (index[core], round(begin - began, 3), round(end - began, 3), round(got, 3))
        for core, begin, end, got in made.bursts
        if end > began
    )
    stops = [
        (name, round(begin - began, 3), round(end - began, 3))
        for name, begin, end in made.stops
        if end > began
    ]
    length = round(seconds[-1].at, 2) if seconds else 0.0
    return Recording(share, seed, length, roles, bursts, stops, seconds)


# How it is judged.


@dataclass(frozen=True)
class Judged:
    """`points`: of all; `alarms`: those that are invalid without need, `invalid`: all of them."""

    text: str
    knee: bool = False
    cause: bool = False
    wrong: bool = False
    points: int = 0
    invalid: int = 0
    alarms: int = 0
    stolen: float = 0.0
    others: float = 0.0  # of a core, without the bursts
    bursts: float = 0.0  # of a core, what they got

    @property
    def mute(self):
        return not self.wrong and not (self.knee and self.cause)


def cpu_of_request(record):
    """Seconds of CPU that a request took, as read at the barriers; of all stages together."""
    name = record.stages[0].stage.deployment
    return cpu.per_request(name, record.stages, cpu.resting(name, record.stages) or 0.0) or 0.0


def judged(drawn, run, recording, used):
    fault = drawn.fault
    points = run.of(drawn.group.name(0))
    knee = next(iter(run.knees.values()), None)
    held = drawn.holds + used
    base = drawn.group.seconds + held
    truth = base / held if drawn.one_by_one else fault.knee
    good, wrong_knee = of_knee(knee, truth)
    causes = {knee.limit if knee else None, points[-1].limit and points[-1].limit.resource}
    causes -= {None, *SPOILT}
    right = bool(causes) and causes <= fault.causes
    wrong_cause = bool(causes - fault.causes)
    invalid = [point for point in points if not point.valid]
    alarms = [p for p in invalid if close(p, truth, base, held if drawn.one_by_one else 0.0)]
    cores = len(recording.samples[0].stolen) if recording.samples else 1
    got = sum(seconds for *_, seconds in recording.bursts) / max(recording.seconds, 1) / cores
    others = mean(other for one in recording.samples for other in one.others)
    marks = ("K" if good else "k" if wrong_knee else ".") + (
        "C" if right else "c" if wrong_cause else "."
    )
    text = (
        f"{marks} {recording.share:4.0%} {fault.kind:8} {fault.settings | fault.extra} truth "
        f"{truth:.1f}: {said(knee)}; {', '.join(causes) or 'no cause'}; {len(invalid)} of "
        f"{len(points)} invalid, {len(alarms)} without need"
        + "".join(f"\n      {p.level}: {'; '.join(p.problems)}" for p in invalid)
    )
    return Judged(
        text,
        good,
        right,
        wrong_knee or wrong_cause,
        len(points),
        len(invalid),
        len(alarms),
        mean(stolen for one in recording.samples for stolen in one.stolen),
        max(others - got, 0.0),
        got,
    )


def mean(values):
    values = list(values)
    return statistics.mean(values) if values else 0.0


def of_knee(knee, truth):
    """Whether it is right, and whether it is wrong; neither: it says too little."""
    if knee is None or knee.level is knee.low is knee.high is None:
        return False, False
    if knee.level is None:  # beyond the levels
        end = knee.high if knee.low is None else knee.low
        return abs(end / truth - 1) <= NEAR, excludes(knee.low, knee.high, truth)
    near = abs(knee.level / truth - 1) <= NEAR
    if knee.low is None and knee.high is None:
        return near, not near
    holds = (knee.low or 0.0) <= truth <= (knee.high or float("inf"))
    return near or holds, excludes(knee.low, knee.high, truth)


def excludes(low, high, truth):
    return (low is not None and low > (1 + EXCLUDED) * truth) or (
        high is not None and high < (1 - EXCLUDED) * truth
    )


def close(point, truth, base, held):
    """Whether the interval of the throughput holds the truth, or nearly."""
    high = min(point.level, truth) / base
    low = mva(point.level, base - held, held) if held else high
    value = point.throughput
    ends = (value.low or value.value, value.high or value.value)
    return ends[1] >= (1 - CLOSE) * low and ends[0] <= (1 + CLOSE) * high


def mva(users, delay, service):
    """The throughput of users who meet in a queue with exponential service: a lower bound."""
    queue = rate = 0.0
    for count in range(1, users + 1):
        wait = service * (1 + queue)
        rate = count / (delay + wait)
        queue = rate * wait
    return rate


def said(knee):
    if knee is None:
        return "no knee"
    ends = "[{}, {}]".format(*("?" if e is None else f"{e:.1f}" for e in (knee.low, knee.high)))
    return f"knee {'none' if knee.level is None else f'{knee.level:.1f}'} {ends}"


def report(found):
    """Print the table; whether all that is asked is kept."""
    print(f"\n{'bursts':>28}" + "".join(f"{share:>22.0%}" for share in found))
    print(f"{'runs':>28}" + "".join(f"{len(runs):>22}" for runs in found.values()))
    rows = {
        "knee": lambda one: one.knee,
        "right cause": lambda one: one.cause,
        "confidently wrong": lambda one: one.wrong,
        "cannot tell": lambda one: one.mute,
    }
    kept = True
    for place, (name, of) in enumerate(rows.items()):
        cells = []
        for share, runs in found.items():
            count = sum(map(of, runs))
            asked = ASKED.get(share, (None,) * 4)[place]
            good = asked is None or (
                count >= asked * len(runs) if place < 2 else count <= asked * len(runs)
            )
            kept &= good
            wanted = "" if asked is None else f" ({'<' if place > 1 else '>'} {asked:.0%})"
            cells.append(f"{count} = {count / len(runs):.0%}{wanted}{'' if good else ' -'}")
        print(f"{name:>28}" + "".join(f"{cell:>22}" for cell in cells))
    numbers = {
        "false alarms": lambda runs: of_points(runs, "alarms"),
        "invalid points": lambda runs: of_points(runs, "invalid"),
        "stolen, of a core": lambda runs: f"{mean(one.stolen for one in runs if one.points):.1%}",
        "bursts got, of a core": lambda runs: (
            f"{mean(one.bursts for one in runs if one.points):.1%}"
        ),
        "other work, of a core": lambda runs: (
            f"{mean(one.others for one in runs if one.points):.1%}"
        ),
    }
    for name, of in numbers.items():
        print(f"{name:>28}" + "".join(f"{of(runs):>22}" for runs in found.values()))
    for share, most in FALSE_ALARMS.items():
        runs = found.get(share, ())
        kept &= sum(one.alarms for one in runs) <= most * sum(one.points for one in runs)
    return kept


def of_points(runs, what):
    count, all_of_them = sum(getattr(one, what) for one in runs), sum(one.points for one in runs)
    return f"{count} of {all_of_them}"


if __name__ == "__main__":
    main()
