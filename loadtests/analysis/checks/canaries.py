"""How fast the cores were, by a fixed loop that runs once a second on each; see watcher.canary."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.sample_parts import Sample
from loadtests.analysis.numbers import duration, load, percent
from loadtests.results import Point

APART = 0.15  # of the loop's CPU time, by which two levels or runs are told to differ
LEAST = 3  # results in the windows of a level, of which the median is one


def of_level(records: Sequence[StageRecord], samples: Sequence[Sample]) -> float | None:
    """
    Seconds of CPU that the loop took in the windows of one (deployment, level), on its cores.

    The median, as a result on a core that is full has cold caches; None: there are too few.
    """
    windows = [record.window for record in records if record.window]
    if not windows:
        return None
    cores = _cores(records[0].stage.deployment, samples)
    found = [
        seconds
        for at, core, seconds in _laps(samples)
        if any(start <= at < end for start, end in windows) and (not cores or core in cores)
    ]
    return median(found) if len(found) >= LEAST else None


def with_cpu(point: Point, each: float | None) -> dict[str, Any]:
    """
    What a point says of the CPU of a request.

    Args:
        each: seconds.
    """
    canaries = each / point.canary if each is not None and point.canary else None
    return {"request_cpu": each, "request_canaries": canaries}


def problems(points: Iterable[Point]) -> list[str]:
    """A sentence where the cores were not equally fast at all levels of a run; else none."""
    known = [(point.canary, point) for point in points if point.canary]
    if not known:
        return []
    (least, fast), (most, slow) = (choose(known, key=lambda pair: pair[0]) for choose in (min, max))
    if most <= (1 + APART) * least:
        return []
    where = [f"{load(one.level, one.model)} of {one.deployment}" for one in (fast, slow)]
    return [
        "The cores were not equally fast at all levels: the same small calculation took "
        f"{duration(least)} of CPU at {where[0]} and {duration(most)} at {where[1]}, "
        f"{percent(most / least - 1)} more. request_canaries in run.json allows for that."
    ]


def apart(a: Point, b: Point) -> str:
    """How much slower or faster the cores were in B than in A, in words; empty: hardly."""
    if not a.canary or not b.canary:
        return ""
    change = b.canary / a.canary
    if abs(math.log(change)) <= math.log1p(APART):
        return ""
    slower = "slower" if change > 1 else "faster"
    return (
        f"its cores were {slower}: the same small calculation took {duration(b.canary)} of CPU "
        f"and {duration(a.canary)} in A, so all work that needs CPU was {slower} by as much"
    )


def _laps(samples: Sequence[Sample]) -> Iterable[tuple[float, int | None, float]]:
    """When, on which core, and the seconds; files of other versions may hold anything."""
    for sample in samples:
        found = sample.get("canary")
        for one in found if isinstance(found, list) else ():
            at, seconds = (one.get("at"), one.get("seconds")) if isinstance(one, dict) else (0, 0)
            if isinstance(at, int | float) and isinstance(seconds, int | float) and seconds > 0:
                core = one.get("core")
                yield at, core if isinstance(core, int) else None, seconds


def _cores(name: str, samples: Sequence[Sample]) -> frozenset[int]:
    """The cores that a deployment may use; empty where that is not known."""
    for sample in samples:
        found: Any = sample
        for key in ("processes", name, "affinity"):
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, list) and found:
            return frozenset(core for core in found if isinstance(core, int))
    return frozenset()
