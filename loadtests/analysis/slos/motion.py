"""SLOs at a level that moved while it was measured: what every part of it shows decides."""

import math
from collections.abc import Sequence
from dataclasses import replace

from loadtests.analysis.inputs.windows import Quarter, together, window
from loadtests.analysis.points import level_pieces
from loadtests.analysis.slos.metrics import (
    AT_MOST,
    LONGER,
    Evidence,
    SloMeasurement,
    Unresolved,
    of_metric,
    status_of,
)
from loadtests.plans.slos import Slo
from loadtests.results import Point

MOVING = ("drifting", "unsteady")
_JUMP = 2.0  # times the value; what jumped once by 10 % or more may jump again
_GOES_ON = 4  # halves of a window for which a drift can go on as it does


def while_it_moves(
    slo: Slo, evidence: Evidence, point: Point, seen: SloMeasurement
) -> SloMeasurement:
    """
    What both halves of every window show by themselves.

    Raises:
        Unresolved: they do not agree, or a motion that goes on may break what is kept so far.
    """
    halves = []
    whole = [window(record) for record in evidence.at(point.level)]
    if not any(one.hung or one.unanswered for one in whole):
        halves = _halves(*level_pieces(evidence.at(point.level)))

    def looks(asked: Slo) -> list[SloMeasurement]:
        return [of_metric(asked, evidence, point, *half, part=True) for half in halves] or [seen]

    found = looks(slo)
    if all(status_of(slo, look) == "missed" for look in found):
        return replace(found[0], why=f"{seen.why}, and {described(point)}", shown=False)
    if point.model == "closed" and halves:
        stricter = _stricter(slo, _drift(halves) if point.steady == "drifting" else 1.0)
        if stricter and all(status_of(stricter, look) == "met" for look in looks(stricter)):
            return replace(found[0], why=f"{seen.why}, though {described(point)}", shown=False)
    raise Unresolved(f"{seen.why}, but {described(point)}", longer=LONGER)


def _stricter(slo: Slo, drift: float) -> Slo | None:
    """
    The SLO with room for a jump to twice the response time, or to half the throughput, or for a
    drift that goes on for two more windows; None where a drift is so large that failures follow.
    """
    if slo.metric == "errors":
        return slo if drift**2 <= _JUMP else None
    room = max(_JUMP, drift**_GOES_ON)
    return replace(slo, threshold=slo.threshold * (1 / room if slo.comparison in AT_MOST else room))


def _drift(halves: Sequence[tuple[Sequence[Quarter], Sequence[int]]]) -> float:
    """How many times as much time a request takes in one half of the windows as in the other."""
    totals = [together(pieces) for pieces, _ in halves]
    if not all(one.response.count and one.succeeded and one.seconds for one in totals):
        return math.inf
    times = [one.response.mean() for one in totals]
    paces = [one.seconds / one.succeeded for one in totals]
    return max(max(each) / min(each) for each in (times, paces))


def described(point: Point) -> str:
    """The motion, as the end of a sentence."""
    if point.steady == "drifting":
        return "response times drift while it is measured"
    return "response times jump while it is measured"


def _halves(
    pieces: Sequence[Quarter], parts: Sequence[int]
) -> list[tuple[list[Quarter], list[int]]]:
    """The first half of every window, and the second; all of them where windows are one piece."""
    if min(parts) < 2:
        return [(list(pieces), list(parts))]
    first: list[Quarter] = []
    second: list[Quarter] = []
    begin = 0
    for count in parts:
        middle = begin + count // 2
        first += pieces[begin:middle]
        second += pieces[middle : begin + count]
        begin += count
    firsts = [count // 2 for count in parts]
    return [
        (first, firsts),
        (second, [count - half for count, half in zip(parts, firsts, strict=True)]),
    ]
