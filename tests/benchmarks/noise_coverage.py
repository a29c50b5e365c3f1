"""Do intervals of disturbed windows hold the truth, and is what is left out left out blindly?

    python tests/benchmarks/noise_coverage.py [N]

N windows of 5 s for each share of the time (10, 20, 30 %) in which others take everything, in
bursts of 20 to 500 ms, on simulated queues of known truth. Asked:

- the interval of throughput, mean and p95 holds the truth of the undisturbed queue in 95 %;
- of the points that are not valid, those whose value is within its interval of the truth without
  the noise's part are false alarms: under 2 % at 10 %;
- the same bursts, recorded but without any effect: quarters that are left out for them change
  nothing, so the coverage of the rest is that of whole windows.
"""

import argparse
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from loadtests.analysis.points import points
from tests.support.disturbed import paused, samples, seconds_taken
from tests.support.recorded import Request, lognormal, recorded, stage, users

QUEUES = {
    "below the knee": (8, 20),
    "beyond the knee": (20, 8),
    "no queue": (12, None),
}
MEAN = 0.08


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("number", type=int, nargs="?", default=200)
    options = parser.parse_args()
    for name, (level, servers) in QUEUES.items():
        truth = true_values(level, servers)
        for share in (0.0, 0.1, 0.2, 0.3):
            found = Counter()
            for seed in range(options.number):
                found.update(judged(level, servers, share, seed, truth, effect=True))
            print(f"{name:16} {share:4.0%} {told(found)}", flush=True)
        found = Counter()
        for seed in range(options.number):
            found.update(judged(level, servers, 0.1, seed, truth, effect=False))
        print(f"{name:16} 10 % recorded without effect: {told(found)}", flush=True)


def told(found):
    count = found["points"]
    parts = [f"{k} {found[k] / count:.1%}" for k in ("throughput", "mean", "p95", "valid")]
    parts += [f"false alarms {found['false'] / count:.1%}", f"cut {found['cut'] / count:.0%}"]
    parts += [f"{k} as whole {found[f'whole {k}'] / count:.1%}" for k in ("throughput", "mean")]
    return ", ".join(parts)


def bursts(share, seed):
    """The intervals in which others have the core, in the time of a stage."""
    rng, now, found = random.Random(seed), 0.0, []
    while share and now < 9.0:
        length = rng.uniform(0.02, 0.5)
        now += rng.expovariate(share / (1 - share) / 0.26)
        found.append((now, now + length))
        now += length
    return found


def sent(played, servers, seed):
    return users(played, lognormal(MEAN, 0.3), random.Random(seed), servers=servers)


def true_values(level, servers):
    """The true values, from a long window."""
    played = stage(0, "a", level, settle=2.0, measure=200.0)
    seen = points([recorded(played, sent(played, servers, 1))])[0]
    times = seen.response_time
    return {
        "throughput": seen.throughput.value,
        "mean": times["mean"].value,
        "p95": times["p95"].value,
    }


def judged(level, servers, share, seed, truth, *, effect):
    played = stage(0, "a", level, settle=2.0, measure=5.0)
    pauses = bursts(share, seed)
    requests = sent(played, servers, seed + 1000)
    if effect:
        requests = [Request(paused(a, pauses), paused(b, pauses)) for a, b, _ in requests]
    record = recorded(played, requests)
    taken = samples([record], seconds_taken(pauses, record.begun.at))
    whole = next(p for p in points([record]) if p.request == "all")
    point = next(p for p in points([record], taken) if p.request == "all")
    found = {"points": 1, "valid": point.valid, "cut": bool(point.left_out)}
    for name, value in truth.items():
        for prefix, one in (("", point), ("whole ", whole)):
            seen = one.throughput if name == "throughput" else one.response_time[name]
            inside = seen is not None and (seen.low or 0) <= value <= (seen.high or 1e9)
            found[prefix + name] = inside
    known = whole.throughput
    near = known.low is not None and known.low <= truth["throughput"] <= known.high
    found["false"] = near and not point.valid
    return {name: int(value) for name, value in found.items()}


if __name__ == "__main__":
    main()
