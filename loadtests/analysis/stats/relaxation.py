"""How long a window of the open model must be for the intervals of its response times.

A queue forgets slowly where its rate is near what the service can answer: a window shorter than
some of its ups and downs shows neither how far they reach nor that there are any. The time in which
the queue M/M/c forgets is 1 / (X_max (1 - sqrt(rho))^2), with X_max answers a second at most and
the part rho of them that comes (Morse, Queues, Inventories and Maintenance, 1958; Whitt, Planning
queueing simulations, Management Science 1989). No window tells rho; the knee of the whole run does.
"""

import math
from collections.abc import Mapping, Sequence

from loadtests.analysis import proposals
from loadtests.analysis.numbers import percent, rate
from loadtests.results import Estimate, Knee, Point

TIMES = 120.0
"""Relaxation times that a window takes; with fewer, a 95 % interval holds the truth less often."""
TELLING = 20.0
"""
Relaxation times that distinguish a stable queue from one that grows, and after which a share of
slow answers is known about as well as it will be: the queue's swings are then small against a
random walk's.
"""


def marked(points: Sequence[Point], knees: Mapping[str, Knee]) -> list[Point]:
    """
    The points; those of windows that are too short for their rate say so, and their response times
    have no intervals.
    """
    return [_marked(point, knees.get(point.deployment)) for point in points]


def needed(level: float, most: float, times: float = TIMES) -> float:
    """Seconds of a window at `level` requests a second of `most`; infinite from `most` on."""
    slack = 1 - math.sqrt(min(level / most, 1.0))
    return times / (most * slack**2) if slack else math.inf


def advised(level: float, knee: Knee, times: float = TIMES) -> float:
    """
    Seconds of a window that would do where the knee is lower than it looks: between its value and
    the low end of its interval. The knee of short windows is mostly too high; a longer window,
    which shows it better, would then be too short once more.
    """
    if knee.level is None:
        return math.inf
    low = knee.level if knee.low is None else knee.low
    return needed(level, math.sqrt(low * knee.level), times) if low else math.inf


def _marked(point: Point, knee: Knee | None) -> Point:
    if point.model != "open" or knee is None or knee.level is None or point.level >= knee.level:
        return point
    seconds = needed(point.level, knee.level)
    if point.seconds >= seconds:
        return point
    wanted = proposals.measure(advised(point.level, knee))
    enough = f"; {wanted} would do" if wanted else f", and so are {proposals.MINUTES}"
    text = (
        f"{point.seconds:g} s are too short for intervals of response times at "
        f"{percent(point.level / knee.level)} of the knee, {rate(knee.level)}{enough}"
    )
    return point.model_copy(
        update={
            "response_time": _bare(point.response_time),
            "service_time": _bare(point.service_time),
            "response_time_with_failures": _bare(point.response_time_with_failures),
            "problems": [*point.problems, text],
        }
    )


def _bare(times: Mapping[str, Estimate | None]) -> dict[str, Estimate | None]:
    return {name: time and Estimate(value=time.value) for name, time in times.items()}
