"""Levels at which the locustfile, and not the service, keeps its users from sending requests.

The turn of a user is what it spends in requests and outside of them. A service that is slower makes
the first part longer. Where the second part grows with the level, as with a lock that the tasks
share, throughput stops at what the locustfile lets through, and says nothing of the service.
"""

from collections.abc import Iterable, Mapping, Sequence

from loadtests.analysis.law import half_width
from loadtests.analysis.numbers import duration, load
from loadtests.results import Limit, Point

ALL = "all"
LONGER = 1.25  # times the turn of the lowest level; both ends of the intervals say so
OUTSIDE = 0.5  # of what a turn is longer by
FAILING = 0.05  # of the requests, beyond the lowest level's; tasks may wait after a failure
ENOUGH = 10  # requests of the lowest level
_SECONDS = (800.0, 1250.0)  # times as long as reported: it was reported in seconds


def marked(points: Sequence[Point]) -> list[Point]:
    """The points; those of levels whose users were held back are not valid, and say why."""
    found = dict(_held_back(points))
    return [
        point.model_copy(
            update={
                "valid": False,
                "noisy": False,
                "limit": Limit(resource="generator", why=why) if point.request == ALL else None,
                "problems": [why, *point.problems],
            }
        )
        if (why := found.get((point.deployment, point.level)))
        else point
        for point in points
    ]


def _held_back(points: Iterable[Point]) -> Iterable[tuple[tuple[str, int], str]]:
    levels: dict[str, list[Point]] = {}
    for point in points:
        if point.request == ALL and point.users and point.counts and not point.other_mix:
            levels.setdefault(point.deployment, []).append(point)
    for name, of_one in levels.items():
        lowest, *others = sorted(of_one, key=lambda point: point.level)
        if lowest.requests >= ENOUGH:
            held = False  # at a higher level: then the value itself is enough, without its interval
            for point in reversed(others):
                if why := _why(point, lowest, 0.0 if held else 1.0):
                    held = True
                    yield (name, point.level), why


def _why(point: Point, lowest: Point, intervals: float) -> str | None:
    least = lowest.throughput.value - intervals * half_width(lowest)
    most = point.throughput.value + intervals * half_width(point)
    if least <= 0 or most <= 0 or point.level / most <= LONGER * lowest.level / least:
        return None
    if point.errors.rate > lowest.errors.rate + FAILING:
        return None
    turn, usual = _turn(point), _turn(lowest)
    if turn["outside"] - usual["outside"] <= OUTSIDE * (turn["whole"] - usual["whole"]):
        return None
    text = (
        f"users spent {duration(turn['outside'])} of a turn of {duration(turn['whole'])} outside "
        f"of requests, and {duration(max(usual['outside'], 0.0))} at "
        f"{load(lowest.level, 'closed')}: the locustfile holds them back, as with a lock, a pool "
        "or work of its own, or it reads bodies after the request (stream=True)"
    )
    if all(_in_seconds(one) for one in (point, lowest)):
        text += "; or its events have response_time in seconds: Locust takes milliseconds"
    return text


def _turn(point: Point) -> Mapping[str, float]:
    """Seconds of a user for each request, and those of them without a request in flight."""
    each = point.seconds / point.requests
    in_flight = point.level if point.in_flight is None else point.in_flight
    return {"whole": point.level * each, "outside": (point.level - in_flight) * each}


def _in_seconds(point: Point) -> bool:
    """Whether users were in tasks for a thousand times what they reported."""
    if not point.users or not point.in_flight:
        return False
    return _SECONDS[0] < point.users.running / point.in_flight < _SECONDS[1]
