"""
Whether the levels of a locustfile have the same mix: of User classes, and of requests.

A knee is where throughput stops following the number of users, so all levels must have users of the
same kinds. They do not with `fixed_count`, nor with weights at a few users: one user cannot be
three quarters of one class and one quarter of another.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from loadtests.analysis.numbers import loads, percent
from loadtests.results import Knee, Point

ALL = "all"
CLASSES = 0.05  # of the users, that may be of another class than at the highest level
REQUESTS = 0.1  # of the requests, that may be others below the knee
ENOUGH = 100  # requests of a level; with fewer its mix says little
CHANCE = 3.0  # standard errors by which mixes of few requests differ


def marked(points: Sequence[Point]) -> list[Point]:
    """The points; those with another mix of User classes than the highest level say so."""
    usual = {name: _shares(top) for name, top in _highest(points).items()}
    return [
        point.model_copy(update={"other_mix": True})
        if point.request == ALL
        and point.users
        and point.users.classes
        and _distance(_shares(point), usual[point.deployment]) > CLASSES
        else point
        for point in points
    ]


def problems(points: Sequence[Point], knees: Mapping[str, Knee]) -> list[str]:
    """A sentence for each deployment whose levels have different mixes."""
    texts = []
    for name, top in _highest(points).items():
        others = [p for p in points if p.deployment == name and p.other_mix]
        if others:
            levels = loads([point.level for point in others], top.model)
            texts.append(
                f"{name}: at {levels} the mix of User classes is another one than at {top.level:,} "
                f"({_told(others[0], top)}), so these levels say nothing of its knee."
            )
        elif found := _other_requests(points, name, knees.get(name)):
            texts.append(found)
    return texts


def without_mixed(points: Sequence[Point], knees: Mapping[str, Knee]) -> dict[str, Knee]:
    """The knees; none where the mix of requests differs between the levels below it."""
    return {
        name: Knee(level=None) if _other_requests(points, name, knee) else knee
        for name, knee in knees.items()
    }


def _highest(points: Iterable[Point]) -> dict[str, Point]:
    """The highest level of each deployment at which users were counted."""
    found: dict[str, Point] = {}
    for point in points:
        if point.request == ALL and point.users and point.users.classes:
            before = found.get(point.deployment)
            if before is None or point.level > before.level:
                found[point.deployment] = point
    return found


def _shares(point: Point) -> dict[str, float]:
    classes = point.users.classes if point.users else {}
    every = math.fsum(classes.values())
    return {name: count / every for name, count in classes.items()} if every else {}


def _distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The part that would have to change, in [0, 1] (total variation)."""
    names = one.keys() | other.keys()
    return math.fsum(abs(one.get(name, 0.0) - other.get(name, 0.0)) for name in names) / 2


def _told(point: Point, top: Point) -> str:
    here, there = _shares(point), _shares(top)
    names = sorted(there.keys() | here.keys())
    name = max(names, key=lambda n: abs(here.get(n, 0.0) - there.get(n, 0.0)))
    share = f"{name} is {percent(here.get(name, 0.0))} of {point.level:,}"
    return f"{share} instead of {percent(there.get(name, 0.0))}"


def _other_requests(points: Sequence[Point], name: str, knee: Knee | None) -> str | None:
    """The sentence that the levels below a knee have different mixes of requests; None: alike."""
    if knee is None or knee.level is None:
        return None
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    below = [
        point
        for point in points
        if point.deployment == name and point.level <= knee.level and not point.other_mix
    ]
    of_users = any(point.users for point in below)
    for point in below:
        if point.request != ALL:
            counts[point.level][point.request] = point.requests
    mixes = {
        level: {request: n / sum(each.values()) for request, n in each.items()}
        for level, each in counts.items()
        if sum(each.values()) >= ENOUGH
    }
    if not of_users or len(mixes) < 2:
        return None
    top = max(mixes)
    level = max(mixes, key=lambda one: _distance(mixes[one], mixes[top]))
    chance = CHANCE * 0.5 / math.sqrt(sum(counts[level].values()))  # of a share of one half
    if _distance(mixes[level], mixes[top]) - chance <= REQUESTS:
        return None
    request = max(
        mixes[level].keys() | mixes[top].keys(),
        key=lambda one: abs(mixes[level].get(one, 0.0) - mixes[top].get(one, 0.0)),
    )
    return (
        f"{name}: the mix of requests differs between the levels ({request} is "
        f"{percent(mixes[level].get(request, 0.0))} of the requests at {level:,} users, and "
        f"{percent(mixes[top].get(request, 0.0))} at {top:,}), so it has no single knee."
    )
