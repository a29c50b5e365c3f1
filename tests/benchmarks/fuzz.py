"""A million broken inputs to everything that reads what others wrote.

    PYTHONPATH=. python tests/benchmarks/fuzz.py [--inputs 1000000] [--seed 1] [--only "gauges"]

Targets and their shares of the inputs are in tests/support/fuzz_targets.py, how they are made and
what counts as wrong is in tests/support/fuzzing.py. As many processes as there are cores play them,
each one target. Asked: nothing wrong.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.fuzz_targets import TARGETS
from tests.support.fuzzing import Outcome, fuzz

PIECE = 20_000  # inputs of one process, so that what a process keeps does not count as one input's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=[*TARGETS])
    arguments = parser.parse_args()
    chosen = {name: TARGETS[name] for name in arguments.only or TARGETS}
    shares = sum(share for _, share in chosen.values())
    began = time.monotonic()
    outcomes = {name: Outcome() for name in chosen}
    print(f"{'target':<17}{'inputs':>10}{'accepted':>10}{'slowest':>10}{'memory':>10}  found")
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        playing = []
        for name, (make, share) in chosen.items():
            count = max(arguments.inputs * share // shares, 1)
            for piece, start in enumerate(range(0, count, PIECE)):
                seed = arguments.seed * 10_007 + piece
                playing.append((name, pool.submit(fuzz, make, seed, min(PIECE, count - start))))
        for name, future in playing:
            outcomes[name].add(future.result())
    for name, outcome in outcomes.items():
        share, slowest = outcome.accepted / outcome.inputs, outcome.slowest * 1e3
        print(
            f"{name:<17}{outcome.inputs:>10,}{share:>10.1%}{slowest:>7,.0f} ms"
            f"{outcome.grown / 1e6:>7,.0f} MB  {len(outcome.wrong)}"
        )
    for name, outcome in outcomes.items():
        for wrong in sorted(outcome.wrong.values(), key=lambda one: -one.times):
            print(f"\n{name}: {wrong.what}, {wrong.times:,} times\n  {wrong.data!r:.600}")
    total = sum(outcome.inputs for outcome in outcomes.values())
    print(f"\n{total:,} inputs in {time.monotonic() - began:,.0f} s, seed {arguments.seed}")
    sys.exit(any(outcome.wrong for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
