"""Samples of the mock's ledger of a simulated deployment whose requests are its calls."""

import random
from itertools import pairwise

from simulated_engine import SimulatedEngine, _requests, record, stage

from loadtests.analysis.records import Header, Record


def played(system, levels, seed=0, *, cpu=0.2, **options):
    """The record of a ladder of one deployment, "a", with what the mock and the host would tell."""
    engine = SimulatedEngine({"a": system}, seed)
    stages, samples, before = [], [], Ledger()
    for number, level in enumerate(levels):
        answer = engine._answers.get("a")
        one = record(engine, stage(number, "a", level, **options))
        stages.append(one)
        samples += before.samples(one, calls_of(one, system, seed, answer), cpu)
    plan = {"deployments": {"a": {}}, "load": {"levels": list(levels)}}
    header = Header(id="x", name="x", plan=plan, deployments={})
    return Record(header, stages=stages, samples=samples, status="complete")


def calls_of(one, system, seed, answer):
    """When each call of a stage starts and ends, by the very numbers that the engine drew."""
    length = one.stage.settle + one.stage.measure
    rng = random.Random(f"{seed} {one.stage.number} {one.stage.seed}")
    return [(each.start, each.end) for each in _requests(system, one.stage, length, rng, answer)]


class Ledger:
    """Counts that only grow, over all stages."""

    def __init__(self):
        self.calls = 0
        self.seconds = 0.0

    def samples(self, one, calls, cpu):
        """One for each second of a stage."""
        length = one.stage.settle + one.stage.measure
        changes = sorted([(start, 1) for start, _ in calls] + [(end, -1) for _, end in calls])
        found = [self._sample(one.begun.at, 0, calls, [], cpu)]
        for start, end in pairwise(range(int(length) + 1)):
            within = [step for at, step in changes if start <= at < end]
            now = sum(step for at, step in changes if at < start)
            peaks = [now]
            for step in within:
                peaks.append(peaks[-1] + step)
            found.append(self._sample(one.begun.at, end, calls, peaks, cpu))
        self.calls += len(calls)
        self.seconds += sum(end - start for start, end in calls)
        return found

    def _sample(self, begun, second, calls, peaks, cpu):
        arrivals = self.calls + sum(start < second for start, _ in calls)
        ended = [end - start for start, end in calls if end < second]
        flight = self.seconds + sum(min(e, second) - s for s, e in calls if s < second)
        delays = {"count": self.calls + len(ended), "total": self.seconds + sum(ended)}
        at = begun + second
        return {
            "type": "sample",
            "at": at,
            "cores": [0.3, 0.3],
            "worked": [0.3, 0.3],
            "stolen": [0, 0],
            "processes": {"a": {"cpu": cpu, "rss": 5e7, "affinity": [1]}},
            "mock": {
                "epoch": "e",
                "generation": 1,
                "elapsed": at,
                "in_flight": {"seconds": flight, "peak": max(peaks, default=0), "now": 0},
                "arrivals": arrivals,
                "answers": {"200": delays["count"]},
                "unanswered": 0,
                "refused": {},
                "connections": {"accepted": 10},
                "asked": delays,
                "delivered": delays,
            },
        }
