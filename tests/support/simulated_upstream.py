"""Samples of the mock's ledger of a simulated deployment whose requests are its calls."""

import numpy as np

from loadtests.analysis.inputs.records import Header, Record
from tests.support.simulated_engine import SimulatedEngine, record, stage


def played(system, levels, seed=0, *, cpu=0.2, **options):
    """The record of a ladder of one deployment, "a", with what the mock and the host would tell."""
    engine = SimulatedEngine({"a": system}, seed)
    queues = any(one.servers for one in system.stations)
    stages, samples, before = [], [], Ledger(queues=queues)
    for number, level in enumerate(levels):
        one = record(engine, stage(number, "a", level, **options))
        stages.append(one)
        samples += before.samples(one, engine.calls, cpu)
    plan = {"deployments": {"a": {}}, "load": {"levels": list(levels)}}
    header = Header(id="x", name="x", plan=plan, deployments={})
    return Record(header, stages=stages, samples=samples, status="complete")


class Ledger:
    """
    Counts that only grow, over all stages.

    With `queues` calls wait for each other, and what was asked of the mock is not known.
    """

    def __init__(self, queues=False):
        self.queues = queues
        self.calls = 0
        self.seconds = 0.0

    def samples(self, one, calls, cpu):
        """One for each second of a stage."""
        starts, ends = np.array(calls).T
        times = np.concatenate([starts, ends])
        order = np.argsort(times, kind="stable")
        steps = np.repeat([1, -1], len(calls))[order]
        flights = np.concatenate([[0], np.cumsum(steps)])
        seconds = range(int(one.stage.settle + one.stage.measure) + 1)
        edges = np.searchsorted(times[order], seconds)
        found = [self._sample(one.begun.at, 0, starts, ends, 0, cpu)]
        for second in seconds[1:]:
            peak = int(flights[edges[second - 1] : edges[second] + 1].max())
            found.append(self._sample(one.begun.at, second, starts, ends, peak, cpu))
        self.calls += len(calls)
        self.seconds += float((ends - starts).sum())
        return found

    def _sample(self, begun, second, starts, ends, peak, cpu):
        begins, done = starts[starts < second], ends < second
        flight = (np.minimum(ends, second)[starts < second] - begins).sum()
        delays = {
            "count": self.calls + int(done.sum()),
            "total": self.seconds + float((ends - starts)[done].sum()),
        }
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
                "in_flight": {"seconds": self.seconds + float(flight), "peak": peak, "now": 0},
                "arrivals": self.calls + len(begins),
                "answers": {"200": delays["count"]},
                "unanswered": 0,
                "refused": {},
                "connections": {"accepted": 10},
                **({} if self.queues else {"asked": delays}),
                "delivered": delays,
            },
        }
