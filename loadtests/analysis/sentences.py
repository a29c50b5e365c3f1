"""One plain sentence about each deployment."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from loadtests.analysis import knees
from loadtests.analysis.words import duration, percent, rate, users
from loadtests.results import Knee, Point, Run

ONE_AT_A_TIME = 1.5  # users; a knee up to here is a service that blocks itself
SWOLLEN = 1.5  # times the p95 of the lower levels: no longer flat


def sentence(run: Run, deployment: str) -> str:
    """What happened to the deployment under load, for terminal and report."""
    return f"{deployment}: {_told(run, run.of(deployment), run.knees.get(deployment))}"


def _told(run: Run, points: Sequence[Point], knee: Knee | None) -> str:
    cut = " before the run was interrupted" if run.status == "interrupted" else ""
    if not points:
        return f"nothing was measured{cut}."
    valid = [point for point in points if point.valid]
    if not valid:
        reason = next(iter(points[0].problems), "its points are invalid")
        return f"no level can be relied on: {reason}."
    seen = knees.usable(points)
    if not seen:
        return f"every request failed, from {users(valid[0].level)} on ({_kinds(valid)})."
    if knee is None or (knee.level is None and len(seen) < knees.LEAST_LEVELS):
        return (
            f"{len(seen)} of {len(points)} levels tell too little{cut}: "
            f"at {users(seen[-1].level)} {_state(seen[-1])}."
        )
    if knee.level is None or knee.throughput is None:
        top = seen[-1]
        return f"follows the load up to {users(top.level)}{cut}: {_state(top)}."
    return _with_knee(points, seen[-1], knee, knee.level, knee.throughput)


def _with_knee(
    points: Sequence[Point], top: Point, knee: Knee, level: float, throughput: float
) -> str:
    grows = ""
    if knee.slope is not None and knee.slope > 0:
        grows = f"p95 grows {duration(knee.slope, 2)} per user"
    last = points[-1]
    failing = last.errors.rate
    end = f"throughput stops at {rate(throughput)}"
    if knee.then == "falls":
        low = rate(top.throughput.value)
        end = f"throughput falls from {rate(throughput)} to {low} at {users(top.level)}"
    if level <= ONE_AT_A_TIME:
        start = f"serves one request at a time: {end}"
        told = f"{start}, {grows}" if grows else start
    else:
        flat = _flat(points, level)
        told = f"{flat}, then {grows}; {end}" if grows else f"{flat}, then {end}"
    if failing:
        told += f"; {percent(failing)} of the requests fail at {users(last.level)}"
    return f"{told}."


def _flat(points: Sequence[Point], knee: float) -> str:
    """
    How far p95 stays level. Throughput may follow the load to the knee while p95 has long risen:
    a pool that opens a connection for every other request answers all, but late.
    """
    below = [
        (point.level, p95.value)
        for point in points
        if point.level <= knee and point.valid and (p95 := point.response_time.get("p95"))
    ]
    usual = median(value for _, value in below[: (len(below) + 1) // 2]) if below else 0.0
    for (before, _), (at, value) in pairwise(below):
        if value > SWOLLEN * usual:
            return f"flat to {users(before)}, at {at} p95 is already {duration(value)}"
    return f"flat to {users(knee)}"


def _state(point: Point) -> str:
    """E.g. "p95 82.1 ms, 2,950/s"."""
    p95, mean = point.response_time.get("p95"), point.response_time.get("mean")
    parts = []
    if p95 is not None:
        parts.append(f"p95 {duration(p95.value)}")
    elif mean is not None:
        parts.append(f"mean {duration(mean.value)}")
    parts.append(rate(point.throughput.value))
    if point.errors.rate:
        parts.append(f"{percent(point.errors.rate)} of the requests fail")
    return ", ".join(parts)


def _kinds(points: Sequence[Point]) -> str:
    counts: Counter[str] = Counter()
    for point in points:
        counts.update(point.errors.kinds)
    return ", ".join(kind for kind, _ in counts.most_common(3)) or "no kind was recorded"
