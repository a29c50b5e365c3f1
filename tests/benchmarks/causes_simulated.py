"""Is a limit named where there is none? Services without any, simulated with their mock's ledger.

    python tests/benchmarks/causes_simulated.py [200] [--seed N]

Each service answers as many requests at a time as come. Its times are exponential, lognormal with a
coefficient of variation of 1, or those of the default plan's profile, in turns; the users do not
think, or they do; some of the requests fail. Asked: no limit and no knee in 98 %. As a control,
a quarter as many with 4 to 23 servers: a limit is named at the highest level of each.
"""

import argparse
import math
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from loadtests.analysis.runs import run_of
from mock_upstream.profiles.profile import Profile
from tests.support.simulated_engine import Station, System, exponential
from tests.support.simulated_upstream import played

LEVELS = (1, 5, 10, 20, 40, 80)
NAMES = ("exponential", "lognormal, CV 1", "default profile")
CLEAR = 0.98


def draws(name):
    """Service times of this name; about 50 ms in the mean."""
    if name == "exponential":
        return exponential(0.05)
    if name == "default profile":
        latency = Profile.model_validate({"latency": "p50=50ms p95=80ms p99=150ms"}).latency
        return lambda rng: latency.quantile(rng.random())
    sigma = math.sqrt(math.log(2))
    return lambda rng: rng.lognormvariate(math.log(0.05) - sigma**2 / 2, sigma)


def run(number, seed, servers=None):
    """(name of the times, the Run) of a service."""
    rng = random.Random(f"causes/{seed}/{number}")
    name = NAMES[number % len(NAMES)]
    think, share = rng.choice((0.0, 0.0, 0.1)), rng.choice((0.0, 0.0, 0.05))
    system = System([Station(draws(name), servers)], failing=lambda level: share, thinks=think > 0)
    return name, run_of(played(system, LEVELS, seed + number, think_time=think))


def named(found):
    """The limits that are named, by level."""
    return {p.level: p.limit.resource for p in found.points if p.request == "all" and p.limit}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    wrong, counts, found = Counter(), Counter(), 0
    for number in range(options.count):
        name, one = run(number, options.seed)
        bad = named(one) or one.knees["a"].level is not None or one.knees["a"].high is not None
        counts[name] += 1
        wrong[name] += bool(bad)
        if bad:
            print(f"- {number} {name}: {named(one)} {one.knees['a']}", flush=True)
        if number % 4 == 0:
            found += max(LEVELS) in named(run(number, options.seed, 4 + number % 20)[1])
    print(f"\n{'service without a limit':28}{'services':>9}{'limit named':>13}")
    for name in NAMES:
        print(f"{name:28}{counts[name]:9}{wrong[name]:13}")
    good, controls = options.count - wrong.total(), -(-options.count // 4)
    print(f"\nnothing named: {good} of {options.count} (asked: {CLEAR:.0%})")
    print(f"control: a limit is named in {found} of {controls} services with servers (asked: all)")
    sys.exit(not (good >= CLEAR * options.count and found == controls))


if __name__ == "__main__":
    main()
