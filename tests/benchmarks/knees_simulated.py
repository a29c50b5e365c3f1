"""Is the true knee in the interval that is given? Knees of simulated services, a truth for each.

    python tests/benchmarks/knees_simulated.py [200] [--seed N] [--all]

Services are drawn from a seed: threads behind constant, uniform, exponential and lognormal times,
one server with a delay before it, no limit at all, throughput that falls beyond the knee; in the
closed model with and without thinking users, and in the open one; 0 to 30 % of the requests fail.
The knee lies below the lowest level, between any two, or beyond the highest. Asked: the truth is
within what is said in 95 %, and no knee is named in 98 % of the services without one.

What is said is an interval; "at or below" the lowest level; or none up to a level, and then the
truth must not lie below the bound that is given.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

from loadtests.analysis.knees import knee
from tests.support.simulated_knees import drawn, held

HELD, CLEAR = 0.95, 0.98


def told(bend):
    """A bend in few words."""
    if bend.level is not None:
        return f"{bend.level:.1f} ({bend.low or 0:.1f} to {bend.high or 0:.1f}) {bend.beyond}"
    if bend.high is not None:
        return f"at or below {bend.high:.1f}"
    return "nothing" if bend.low is None else f"none up to {bend.low:.1f}"


def measured(count, seed, every=False):
    """(kind, whether it held, whether a knee was named, the true one, what was said)."""
    for number in range(count):
        kind, truth, levels, found = drawn(number, seed)
        bend = knee(found)
        good = held(truth, bend)
        if every or not good:
            print(
                f"{'  ' if good else '- '}{number:4} {kind:20} {truth:8.1f} {levels} {told(bend)}"
            )
        yield kind, good, bend.level is not None or bend.high is not None, truth, bend


def report(rows):
    """Print a line for each kind, and what was asked."""
    rows = list(rows)
    kinds = Counter(kind for kind, *_ in rows)
    print(f"\n{'service':24}{'services':>9}{'held':>6}{'knee named':>12}")
    for kind, count in sorted(kinds.items()):
        of = [row for row in rows if row[0] == kind]
        print(f"{kind:24}{count:9}{sum(row[1] for row in of):6}{sum(row[2] for row in of):12}")
    total, good = len(rows), sum(row[1] for row in rows)
    free = [row for row in rows if row[0].endswith("none")]
    clear = sum(not row[2] for row in free)
    seen = [(truth, one) for *_, truth, one in rows if one.level is not None]
    off = median(abs(one.level / truth - 1) for truth, one in seen)
    half = median((one.high - one.low) / 2 / one.level for _, one in seen)
    print(f"\n{len(seen)} knees: median error {off:.1%}, median half of an interval {half:.1%}")
    print(f"truth within what is said: {good} of {total} (asked: {HELD:.0%})")
    print(f"no knee where there is none: {clear} of {len(free)} (asked: {CLEAR:.0%})")
    return good >= HELD * total and clear >= CLEAR * len(free)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="print every service")
    options = parser.parse_args()
    sys.exit(not report(measured(options.count, options.seed, options.all)))


if __name__ == "__main__":
    main()
