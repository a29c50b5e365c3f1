"""Samples of a machine on which others take time from ours, quarter second by quarter second."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from loadtests.analysis.inputs.records import StageRecord

NAMES = ("a", "mock", "generator")
Taken = Callable[[float], tuple[float, float]]


def samples(
    records: Sequence[StageRecord], taken: Taken, *, cpu: float = 0.3, name: str = "a"
) -> list[dict[str, Any]]:
    """
    One sample a second with four quarters each, over the records' stages.

    Args:
        taken: gives the parts of the deployment's core that the host, and other processes that it
            waits for, take in the quarter second that ends at this moment (monotonic seconds).
        cpu: cores that the deployment uses.
    """
    made = []
    for record in records:
        assert record.begun is not None
        begin = record.begun.at
        for second in range(round(record.stage.settle + record.stage.measure) + 2):
            at = begin + second
            quarters = list(_quarters(at, taken, cpu, name))
            made.append(
                {
                    "at": at,
                    "cores": [0.3, 0.9],
                    "worked": [0.3, cpu],
                    "stolen": [0.0, 0.0],
                    "processes": {
                        name: {"cpu": cpu, "affinity": [1], "wait": 0.0},
                        "mock": {"cpu": 0.1, "affinity": [0], "wait": 0.0},
                        "generator": {"cpu": 0.2, "affinity": [0], "wait": 0.0},
                    },
                    "quarters": quarters,
                }
            )
    return made


def _quarters(at: float, taken: Taken, cpu: float, name: str) -> Iterator[dict[str, Any]]:
    for place in range(4):
        end = at - 1 + 0.25 * (place + 1)
        host, others = taken(end)
        extra = others + 0.04 if others else 0.0  # a tick of the system's is not counted
        yield {
            "at": end,
            "worked": [0.3, min(cpu + extra, 1.0 - host)],
            "stolen": [0.0, host],
            "used": {name: cpu, "mock": 0.1, "generator": 0.2},
            "waited": {name: others, "mock": 0.0, "generator": 0.0},
        }


def paused(moment: float, pauses: Sequence[tuple[float, float]]) -> float:
    """
    When something happens that would happen at this moment, had nothing stood still.

    Args:
        pauses: from when to when nothing goes on at all, in order.
    """
    for start, end in pauses:
        if moment >= start:
            moment += end - start
    return moment


def seconds_taken(pauses: Sequence[tuple[float, float]], begin: float) -> Taken:
    """What `samples` says about such pauses: others had the core; `begin` of the stage."""

    def taken(end: float) -> tuple[float, float]:
        until = end - begin
        lost = sum(max(min(b, until) - max(a, until - 0.25), 0.0) for a, b in pauses)
        return 0.0, min(lost / 0.25, 0.95)

    return taken
