"""Does a comparison cry wolf, and does it see what is there?

    python tests/benchmarks/verdicts.py record --out blocks.json [--rounds 60] [--busy 0.3]
    python tests/benchmarks/verdicts.py simulate [--noise quiet,busy] [--count 2000]
    python tests/benchmarks/verdicts.py noisy [--shares 0,10,20,30] [--left 0.5] [--count 1000]
    python tests/benchmarks/verdicts.py fresh [--kinds same,mock,cpu] [--count 6] [--change 1.1]

`record` plays equal deployments against each other and keeps what each round differed by: the noise
of real blocks on this machine, with other work on it if `--busy` says so (a share of each core).
`simulate` draws rounds from such noise, multiplies the times of one side by a known change, and has
the schedule and the verdict do the rest. `noisy` does so with blocks of simulated services on two
cores that others use in bursts for a part of the time (tests/support/simulated_noise.py), with and
without what is known of these bursts. `fresh` plays real comparisons: equal ones, ones whose
upstream is slower for one side, and ones that burn CPU in the service.

Asked: at most 1 % false verdicts of 2,000 simulated comparisons of equals, quiet and busy, and of
30 real ones; a p95 that is 10 % worse is found within 90 s, 5 % within 3 minutes, 3 % within 6,
each in 90 % of 1,000; "equivalent within 5 %" in a median of 90 s; the intervals hold the change in
94 % and are at most 1.3 times as wide as those of a fixed plan of the same length. Of `noisy` ones:
at most 1 % false verdicts of 1,000 at every level of noise; a p95 that is 10 % worse is found in
90 % of 1,000 within 90 s where it is quiet, 3 minutes at 10 % and 6 at 20 %.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import peers
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[2]))

from loadtests import plans, session
from loadtests.analysis.verdicts.config import ComparisonConfig
from loadtests.analysis.verdicts.interleaved import INTERVAL, verdict
from loadtests.compare import targets
from loadtests.schedules.interleaved import Interleaved
from tests.support.blocks import block, contested
from tests.support.simulated_noise import rounds

NOISE = Path(__file__).with_name("noise")
UPSTREAM = "p50=50ms p95=80ms p99=150ms"
LEVEL = 40
ROUND = 15.0  # seconds of a round, new starts included
ALARMS, POWER, COVERAGE, WIDTH, EQUAL = 0.01, 0.90, 0.94, 1.3, 90.0
IN_NOISE = {0: 90.0, 10: 180.0, 20: 360.0, 30: 360.0}  # percent with a burst: seconds for 10 %
CHANGES = {1.10: 90.0, 1.05: 180.0, 1.03: 360.0}  # how much worse: found within this many seconds
SERVICE = [sys.executable, str(Path(__file__).parents[1] / "seeded_service.py")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("record", "simulate", "noisy", "fresh"))
    parser.add_argument("--out", type=Path, default=Path("blocks.json"))
    parser.add_argument("--variant", default="blocking-requests")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--busy", type=float, default=0.0)
    parser.add_argument("--noise", default="quiet,busy")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--kinds", default="same,mock,cpu")
    parser.add_argument("--change", type=float, default=1.1)
    parser.add_argument("--within", type=float, default=0.0)
    parser.add_argument("--shares", default="0,10,20,30", help="of the time with bursts, percent")
    parser.add_argument("--left", type=float, default=0.5, help="of a core's speed in a burst")
    parser.add_argument("--bank", type=int, default=150, help="simulated rounds to draw from")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    parts = {"record": record, "simulate": simulate, "noisy": noisy, "fresh": fresh}
    parts[options.part](options)


class Quiet:
    def begins(self, *_):
        pass

    def measured(self, _):
        pass

    def problem(self, text):
        print(text, file=sys.stderr)


def plan_of(one, other, upstream=None, seed=1):
    return plans.Plan.model_validate(
        {
            "name": "verdicts",
            "seed": seed,
            "upstream": upstream or {"latency": UPSTREAM},
            "deployments": {"base": one, "head": other},
            "requests": [{"path": "/external-data"}],
        }
    )


class Whole(Interleaved):
    """Goes on to the end, whatever is seen."""

    def next_stage(self, _plan, so_far):
        number, place = divmod(len(so_far), self.terms.size)
        return self.round(number)[place] if number < self.terms.total else None


def compared(plan, schedule=Interleaved, **terms):
    chosen, said = targets.contest(plan, "base", "head", at=str(LEVEL), **terms)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        found = session.run(chosen, Path(folder), Quiet(), [], schedule(said)).run.verdicts[0]
        return found, time.monotonic() - began


@contextmanager
def other_work(share):
    """Bursts on each core, of random length, that use so much of it."""
    words = f"""
import random, time
draw = random.Random()
while True:
    long = draw.expovariate(1 / 0.4)
    end = time.thread_time() + long * {share}
    while time.thread_time() < end: pass
    time.sleep(long * (1 - {share}))
"""
    started = []
    for core in os.sched_getaffinity(0) if share else ():
        with peers.on_core(core):
            started.append(subprocess.Popen([sys.executable, "-c", words]))
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def record(options):
    variant = {"variant": options.variant}
    plan = plan_of(variant, variant)
    with other_work(options.busy):
        found, seconds = compared(plan, Whole, within=options.rounds * ROUND)
    rounds = {}
    for one in found.blocks:
        rounds.setdefault(one.round, []).append([one.deployment, one.at, one.value, one.usable])
    options.out.write_text(
        json.dumps(
            {
                "variant": options.variant,
                "busy": options.busy,
                "seconds": seconds,
                "rounds": list(rounds.values()),
            }
        )
        + "\n",
        encoding="utf-8",
    )
    logs = noise_of(options.out)
    print(found.sentence, *found.problems, sep="\n")
    print(
        f"{len(logs)} rounds of {seconds / max(len(rounds), 1):.1f} s, deviation "
        f"{statistics.stdev(logs):.2%} between rounds, correlation of neighbours "
        f"{neighbours(logs):+.2f}"
    )


def noise_of(path):
    """The log of B over A of each usable round."""
    logs = []
    for one in json.loads(path.read_text(encoding="utf-8"))["rounds"]:
        sides = {"base": [], "head": []}
        for name, _, value, usable in one:
            if usable and value:
                sides[name].append(math.log(value))
        if len(sides["base"]) == len(sides["head"]) > 0:
            logs.append(statistics.fmean(sides["head"]) - statistics.fmean(sides["base"]))
    return logs


def neighbours(logs):
    return statistics.correlation(logs[:-1], logs[1:]) if len(logs) > 3 else 0.0


def simulate(options):
    rows = []
    for name in options.noise.split(","):
        for path in sorted(NOISE.glob(f"{name}*.json")):
            rows += list(simulated(path, options))
    sys.exit(not peers.judged(rows))


def simulated(path, options):
    """
    Rounds are drawn one by one, with replacement: neighbours were not correlated. Which side is
    which is tossed for each, since of equal ones it is arbitrary.
    """
    logs = noise_of(path)
    about = f"{path.stem} ({statistics.stdev(logs):.2%})"
    draw = random.Random(options.seed)

    def play(change, within, margin=0.05):
        said = ComparisonConfig(
            a="base",
            b="head",
            at=(LEVEL,),
            within=within,
            margin=margin,
            round_seconds=ROUND,
            seed=draw.randrange(10**9),
        )
        offs = [draw.choice((-1, 1)) * draw.choice(logs) for _ in range(said.total)]

        def made(step, number):
            off = offs[number]
            factor = change * math.exp(off) if step.deployment == "head" else 1.0
            return block(step.deployment, step.level, times=factor)

        blocks = contested(said, made)
        return verdict(blocks, said), len(blocks) / said.size * ROUND

    count = options.count or 2000
    equal = [play(1.0, 360.0) for _ in range(count)]
    false = sum(found.verdict in ("BETTER", "WORSE") for found, _ in equal)
    yield (
        f"{about}: false verdicts of {count:,} equals",
        "at most 1 %",
        f"{false / count:.2%}",
        (false <= ALARMS * count),
    )
    took = statistics.median(
        seconds if found.verdict == "EQUIVALENT" else math.inf for found, seconds in equal
    )
    yield "  equivalent within 5 %, median", "90 s", f"{took:.0f} s", took <= EQUAL
    count = options.count or 1000
    every = list(equal)
    for change, within in CHANGES.items():
        margin = min(0.05, (change - 1) / 2)
        played = [play(change, within, margin) for _ in range(count)]
        every += [(found, change) for found, _ in played]
        share = sum(found.verdict == "WORSE" for found, _ in played) / count
        title = f"  {change - 1:.0%} worse, margin {margin:.1%}, in {within:.0f} s"
        yield title, "90 %", f"{share:.1%}", share >= POWER
        hit = [found.ratio.low <= change <= found.ratio.high for found, _ in played]
        yield (
            "    interval holds the change",
            "94 %",
            f"{sum(hit) / count:.1%}",
            (sum(hit) / count >= COVERAGE),
        )
        wide = statistics.median(
            stats.t.isf(INTERVAL / 2, found.rounds - 1) / stats.t.isf(0.025, found.rounds - 1)
            for found, _ in played
        )
        yield "    as wide as a fixed plan's, times", "1.3", f"{wide:.2f}", wide <= WIDTH
        if change < 1.1:
            usual = [play(change, within) for _ in range(count)]
            share = sum(found.verdict == "WORSE" for found, _ in usual) / count
            yield "    the same with the usual margin of 5 %", "", f"{share:.1%}", None


def noisy(options):
    rows = []
    for share in map(int, options.shares.split(",")):
        played = list(rounds(share / 100, options.left, options.seed, options.bank))
        rows += of_noise(share, played, options)
    sys.exit(not peers.judged(rows))


def of_noise(share, played, options):
    """Whole rounds are drawn with replacement, and for each it is tossed which side is A."""
    draw, count, within = random.Random(options.seed), options.count or 1000, IN_NOISE[share]

    def play(change, margin, known=True):
        said = ComparisonConfig(
            a="A",
            b="B",
            at=(LEVEL,),
            within=within,
            margin=margin,
            round_seconds=ROUND,
            seed=draw.randrange(10**9),
        )
        sides = [
            {name: [one for one in part if one.deployment == side] for name, side in names}
            for part in draw.choices(played, k=said.total)
            for names in [draw.choice((("AA", "BB"), ("AB", "BA")))]
        ]

        def made(step, number):
            one = sides[number][step.deployment].pop(0)
            slow = change if step.deployment == "B" else 1.0
            return replace(
                one,
                deployment=step.deployment,
                values={**one.values, "p95": one.values["p95"] * slow},
                disturbances=one.disturbances if known else {},
            )

        blocks = contested(said, made)
        return verdict(blocks, said), len(blocks) / said.size * ROUND

    for known in (True, False) if share else (True,):
        title = f"bursts {share} %{'' if known else ', not adjusted'}"
        equal = [play(1.0, 0.001, known)[0] for _ in range(count)]
        false = sum(one.verdict in ("BETTER", "WORSE") for one in equal)
        yield (
            f"{title}: false verdicts of {count:,} equals",
            "at most 1 %",
            f"{false / count:.2%}",
            false <= ALARMS * count if known else None,
        )
        worse = [play(1.1, 0.05, known) for _ in range(count)]
        found = sum(one.verdict == "WORSE" for one, _ in worse) / count
        asked = known and share != 30
        yield (
            f"  10 % worse in {within:.0f} s",
            "90 %" if asked else "",
            f"{found:.1%}",
            found >= POWER if asked else None,
        )
        took = statistics.median(
            seconds if one.verdict == "WORSE" else math.inf for one, seconds in worse
        )
        yield "    median", "", f"{took:.0f} s", None
        hit = sum(one.ratio.low <= 1.1 <= one.ratio.high for one, _ in worse) / count
        yield (
            "    interval holds the change",
            "94 %",
            f"{hit:.1%}",
            hit >= COVERAGE if known else None,
        )


def fresh(options):
    rows = []
    for kind in options.kinds.split(","):
        change = 1.0 if kind == "same" else options.change
        within = options.within or {**CHANGES, 1.0: 360.0}[change]
        margin = 0.05 if kind == "same" else min(0.05, (change - 1) / 2)
        found = []
        for number in range(options.count or 6):
            plan = {"same": same, "mock": slower_upstream, "cpu": burning}[kind](
                change, options.variant, options.seed + number
            )
            one, seconds = compared(plan, within=within, margin=margin)
            print(
                f"{kind} {change:g} [{seconds:.0f} s]: {one.sentence} {one.problems or ''}",
                flush=True,
            )
            found.append((one, seconds))
        count = len(found)
        decided = [one for one, _ in found]
        if kind == "same":
            false = sum(one.verdict in ("BETTER", "WORSE") for one in decided)
            equal = sum(one.verdict == "EQUIVALENT" for one in decided)
            rows.append((f"false verdicts of {count} equals", "at most 1 %", str(false), not false))
            took = statistics.median(
                s if one.verdict == "EQUIVALENT" else math.inf for one, s in found
            )
            rows.append((f"  equivalent: {equal}, median", "90 s", f"{took:.0f} s", took <= EQUAL))
        else:
            seen = sum(one.verdict == "WORSE" for one in decided)
            title = f"{kind}: {change - 1:.0%} worse, found within {within:.0f} s"
            rows.append((title, "90 %", f"{seen} of {count}", seen >= POWER * count))
            if kind == "mock":
                hit = sum(one.ratio.low <= change <= one.ratio.high for one in decided if one.ratio)
                rows.append(("  interval holds the change", "94 %", f"{hit} of {count}", None))
    sys.exit(not peers.judged(rows))


def same(_change, variant, seed):
    return plan_of({"variant": variant}, {"variant": variant}, seed=seed)


def slower_upstream(change, variant, seed):
    """An equal service; its upstream is slower, in every quantile, on the path that head asks."""

    def service(prefix):
        command = [*SERVICE, variant, "--port", "{port}", "--upstream", "{upstream}" + prefix]
        return {"command": command}

    scaled = " ".join(f"p{q}={ms * change:g}ms" for q, ms in ((50, 50), (95, 80), (99, 150)))
    routes = [
        {"path": "/base/external-data", "latency": UPSTREAM},
        {"path": "/head/external-data", "latency": scaled},
    ]
    upstream = {"latency": UPSTREAM, "routes": routes}
    return plan_of(service("/base"), service("/head"), upstream, seed)


def burning(change, variant, seed):
    """
    A plan whose service is bound by the CPU of its loop, where a response takes as many times
    longer as a request takes more of it: `async-httpx2`, about 1.1 ms a request.
    """
    command = [*SERVICE, "async-httpx2", "--port", "{port}", "--upstream", "{upstream}"]
    each = CPU_EACH * (change - 1)
    return plan_of(
        {"command": [*command, "--burn", "0"]},
        {"command": [*command, "--burn", f"{each:.7f}"]},
        {"latency": "20ms"},
        seed,
    )


CPU_EACH = 1.1e-3  # seconds

if __name__ == "__main__":
    main()
