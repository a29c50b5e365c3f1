"""What limits a deployment, in one or two sentences: of the levels beyond the knee, with advice.

The first level beyond a knee hardly differs from those that follow the load, so that it says little
of what binds. The limit that most of the valid levels beyond the knee show is named, the higher
levels with more weight: the n-th of them counts n times.
"""

from collections import Counter
from collections.abc import Sequence

from loadtests.analysis.numbers import load
from loadtests.results import Knee, Limit, Point, Resource, Run

MIXED = 1 / 3  # of the weights: another limit that has so much is named, too
_NOT_THE_SERVICE: Sequence[Resource] = ("generator", "mock", "host")
INSTRUMENT = (
    "It is not instrumented: `from brownout import Telemetry; "
    "app = Telemetry(app)` would show where its time goes, and which of threads, pool, semaphore "
    "and event loop are used up"
)


def limit_of(knee: Knee, points: Sequence[Point]) -> Limit | None:
    """What binds beyond the knee; None where there is no knee, or nothing is named there."""
    found = _beyond(knee, points)
    return found[0].limit if found else None


def limited(knee: Knee | None, points: Sequence[Point]) -> list[Point]:
    """
    The points that show what binds: beyond the knee, one for each limit that is named there, the
    foremost first; without any, the highest valid level. Empty where that has no limit.
    """
    found = _beyond(knee, points) if knee else []
    valid = [point for point in points if point.counts]
    return found or [point for point in valid[-1:] if point.limit]


def headline(run: Run, deployment: str) -> str:
    """
    What limits it, a second limit where the levels are mixed, what an experiment said, and advice.

    Sentences with full stops; empty where nothing binds. Without a knee, of the highest level.
    """
    points = run.of(deployment)
    found = limited(run.knees.get(deployment), points)
    if not found or (limit := found[0].limit) is None:
        tried = [one for one in run.experiments if one.deployment == deployment]
        model = points[0].model if points else "closed"
        return " ".join(f"At {load(one.level, model)}, {one.why}." for one in tried)
    first, *others = found
    texts = [limit.why]
    texts += [f"at {_at(one)}: {one.limit.why}" for one in others if one.limit]
    texts += [limit.experiment] if limit.experiment else []
    texts += [limit.advice] if limit.advice else []
    texts += [INSTRUMENT] if _unknown_for_want_of_telemetry(run, first) else []
    return " ".join(f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in texts)


def _beyond(knee: Knee, points: Sequence[Point]) -> list[Point]:
    """A level that shows the limit of most levels beyond the knee, then one of each other limit."""
    if knee.level is None and knee.high is None:
        return []
    where = knee.level or 0.0
    beyond = sorted((p for p in points if p.level > where and p.counts), key=lambda p: p.level)
    weights, shown = Counter[Resource](), dict[Resource, Point]()
    for weight, point in enumerate(beyond, 1):
        if point.limit is not None:
            weights[point.limit.resource] += weight
            # Of the levels that show it, the highest; but one that an experiment was made at.
            if not ((before := shown.get(point.limit.resource)) and _tried(before)):
                shown[point.limit.resource] = point
    if not weights.keys() <= set(_NOT_THE_SERVICE):
        for one in _NOT_THE_SERVICE:  # what disturbed some levels is not what limits the service
            del weights[one]
    if len(weights) > 1:
        del weights["unknown"]  # what some levels show is not unknown
    ranked = sorted(weights, key=lambda one: (weights[one], shown[one].level), reverse=True)
    least = MIXED * weights.total()
    return [
        shown[one]
        for place, one in enumerate(ranked)
        if not place or (weights[one] >= least and one not in _NOT_THE_SERVICE)
    ]


def _tried(point: Point) -> bool:
    return point.limit is not None and point.limit.experiment is not None


def _unknown_for_want_of_telemetry(run: Run, point: Point) -> bool:
    """Whether what binds is not known, or only its number, and telemetry would name it."""
    limit = point.limit
    return (
        limit is not None
        and limit.source == "outside"
        and limit.resource in ("unknown", "concurrency-limit")
        and bool(run.plan.get("telemetry", True))
    )


def _at(point: Point) -> str:
    return load(point.level, point.model)
