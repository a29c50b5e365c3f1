"""How often are equals called different, and is the throughput of a comparison the true one?

    python tests/benchmarks/false_alarms.py [N] [--parts duels,modes,stored,throughput]

Equal services are compared N times for each way of failing: none, 2 and 5 % of the requests, each
for itself or in bursts of a tenth of a second. Interleaved comparisons are decided by one metric
after the other, saved runs by p95; and comparisons of equals whose times have two modes, with p95
in either. Asked: at most 1 % BETTER or WORSE of 2,000, each.

Throughput is compared of services that answer after 0.05 to 2 s, by the real schedule on the
simulated engine. Asked: the ratio is within 1 % of the true one.
"""

import argparse
import itertools
import math
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from loadtests.analysis.verdicts import interleaved, stored
from loadtests.analysis.verdicts.blocks import block
from loadtests.analysis.verdicts.config import ComparisonConfig
from loadtests.analysis.verdicts.metrics import METRICS
from loadtests.schedules import Played
from loadtests.schedules.interleaved import Interleaved
from tests.loadtests.analysis.test_truth_failures import SLOW_SHARES, with_two_modes
from tests.support.blocks import contested, terms
from tests.support.simulated_blocks import FAILING, Equals, point
from tests.support.simulated_engine import SimulatedEngine, Station, System, record, stage

ALARMS = 0.01
NEAR = 0.01
MARGIN = 0.001  # next to nothing: none is called equivalent before it can be called different
ANSWERS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.49, 0.505, 0.62, 0.8, 1.0, 1.2, 1.5, 1.7, 2.0)
WITHIN = 180.0  # seconds of a comparison of equals: twelve rounds, nine looks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("number", type=int, nargs="?", default=2000)
    parser.add_argument("--parts", default="duels,modes,stored,throughput")
    options = parser.parse_args()
    parts = {"duels": of_duels, "modes": of_modes, "stored": of_stored}
    parts["throughput"] = of_throughput
    good = [parts[name](options.number) for name in options.parts.split(",")]
    sys.exit(not all(good))


def of_duels(number):
    print(f"interleaved, {number:,} each: BETTER or WORSE")
    good = True
    for kind, (share, bursts) in FAILING.items():
        found, false = Counter[str](), Counter[str]()
        for seed in range(number):
            metric = METRICS[seed % len(METRICS)]
            verdict = duel(seed, share, bursts, metric)
            found[verdict] += 1
            false[metric] += verdict in ("BETTER", "WORSE")
        good &= judged(kind, found, number)
        print(f"    by metric: {', '.join(f'{metric} {false[metric]}' for metric in METRICS)}")
    return good


def duel(seed, share, bursts, metric):
    said = terms(seed=seed, metric=metric, within=WITHIN, margin=MARGIN)
    blocks = contested(said, Equals(seed, share, bursts).made)
    return interleaved.kind(blocks, said)


def of_modes(number):
    print(f"two modes at the quantile, {number:,} each: BETTER or WORSE")
    good = True
    for share in SLOW_SHARES:
        found = Counter(with_two_modes(share, seed) for seed in range(number))
        good &= judged(f"{share:.1%} slow", found, number)
    return good


def of_stored(number):
    print(f"saved runs, {number:,} each: BETTER or WORSE")
    good = True
    for kind, (share, bursts) in FAILING.items():
        found = Counter[str]()
        for seed in range(number):
            a, b = (point(2 * seed + side, share, bursts) for side in (0, 1))
            found[stored.verdict(("mine", "mine"), [a], [b], margin=MARGIN).verdict] += 1
        good &= judged(kind, found, number)
    return good


def judged(title, found, number):
    false = (found["BETTER"] + found["WORSE"]) / number
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(found.items()))
    print(
        f"  {title:32} {false:7.2%}  {'' if false <= ALARMS else 'TOO MANY  '}{kinds}", flush=True
    )
    return false <= ALARMS


def of_throughput(_number):
    print("throughput of B over A, against the true ratio")
    good = True
    for one, other in itertools.pairwise(ANSWERS):
        for answers in ((one, other), (one, one * 1.02), (other, other * 0.97)):
            found = compared(*answers)
            off = found.ratio.value / (answers[0] / answers[1]) - 1
            good &= abs(off) <= NEAR
            print(
                f"  {answers[0]:.3g} s against {answers[1]:.3g} s: {off:+.3%}"
                f"{'' if abs(off) <= NEAR else '  TOO FAR'}  {found.verdict}",
                flush=True,
            )
    return good


def compared(a, b, level=40, spread=0.01):
    """A whole comparison by throughput of two services without a limit."""

    def answering(seconds):
        draw = lambda rng: max(rng.gauss(seconds, spread * seconds), 1e-3)  # noqa: E731
        return System([Station(draw)])

    said = ComparisonConfig(a="A", b="B", metric="throughput", at=(level,), round_seconds=14.5)
    engines = {
        name: SimulatedEngine({name: answering(seconds)}, seed=number)
        for number, (name, seconds) in enumerate((("A", a), ("B", b)))
    }
    schedule, so_far = Interleaved(said), []
    while (step := schedule.next_stage(None, so_far)) is not None:
        length = step.settle or said.settle, step.measure or said.measure
        played = stage(len(so_far), step.deployment, level, settle=length[0], measure=length[1])
        made = block(record(engines[step.deployment], played), [])
        seconds = math.fsum((*length, a, 0.15))
        so_far.append(Played(step, None, 0.0, block=made, seconds=seconds))
    return interleaved.verdict([one.block for one in so_far], said)


if __name__ == "__main__":
    main()
