"""One plain sentence about each deployment."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from loadtests.analysis import knees, law
from loadtests.analysis.words import duration, load, loads, percent, rate, rounded
from loadtests.results import Capacity, Knee, Point, Run

ONE_AT_A_TIME = 1.5  # users; a knee up to here is a service that blocks itself
SWOLLEN = 1.5  # times the p95 of the lower levels: no longer flat
MANY = 3  # levels; more are counted instead of listed


def sentence(run: Run, deployment: str) -> str:
    """What happened to the deployment under load, for terminal and report."""
    points, cut = run.of(deployment), _cut(run)
    found = run.capacities.get(deployment)
    if any(one.method == "interleaved" for one in run.verdicts):
        told = _side(points)
    elif found is not None:
        told = _kept(found, points)
    else:
        told = _told(points, run.knees.get(deployment), cut)
    return f"{deployment}: {told}{_moving(points)}.{_because(points, run.knees.get(deployment))}"


def _because(points: Sequence[Point], knee: Knee | None) -> str:
    """What limits it beyond the knee; without one, at the highest level; a sentence of its own."""
    found = knees.limit_of(knee, points) if knee else None
    if found is None:
        valid = [point for point in points if point.valid]
        found = valid[-1].limit if valid else None
    return f" {found.why[:1].upper()}{found.why[1:]}." if found else ""


def _cut(run: Run) -> str:
    return " before the run was interrupted" if run.status == "interrupted" else ""


def _side(points: Sequence[Point]) -> str:
    """Of a comparison, which has few levels and its own verdict."""
    answered = [point for point in points if point.throughput.value]
    if not answered:
        return "nothing was answered" if points else "nothing was measured"
    return "; ".join(f"at {_at(point)} {_state(point)}" for point in answered)


def _told(points: Sequence[Point], knee: Knee | None, cut: str) -> str:
    if not points:
        return f"nothing was measured{cut}"
    valid = [point for point in points if point.valid]
    if not valid:
        reason = next(iter(points[0].problems), "its points are invalid")
        return f"no level can be relied on: {reason}"
    answered = [point for point in valid if point.throughput.value]
    if not answered:
        return f"every request failed, from {_at(valid[0])} on ({_kinds(valid)})"
    if any(map(_unstable, answered)):
        return _with_unstable(answered, knee) + _failing(points[-1])
    seen = law.usable(points) or answered
    if knee is None or (knee.level is None and knee.low is None and knee.high is None):
        return (
            f"{len(seen)} of {len(points)} levels tell too little{cut}: "
            f"at {_at(seen[-1])} {_state(seen[-1])}"
        )
    if knee.level is None and knee.high is not None:
        return _below(seen, knee, knee.high) + _failing(points[-1])
    if knee.level is None or knee.throughput is None:
        return _following(seen, knee, cut)
    return _with_knee(points, seen[-1], knee, knee.level, knee.throughput) + _failing(points[-1])


def _following(seen: Sequence[Point], knee: Knee, cut: str) -> str:
    """Without a knee in range: up to the highest level, or up to where that is certain."""
    top, low = seen[-1], knee.low or 0.0
    if low >= law.FOLLOWING * top.level:
        return f"follows the load up to {_at(top)}{cut}: {_state(top)}"
    return (
        f"follows the load up to {load(low, top.model)} at least{cut}; the windows are too short "
        f"to tell whether it does at {_at(top)}: {_state(top)}"
    )


def _below(seen: Sequence[Point], knee: Knee, high: float) -> str:
    """The lowest level lies beyond the knee."""
    grows, end = _grows(seen[-1], knee), _end(seen[-1], knee, knee.throughput or 0.0)
    start = f"the knee is at or below {load(high, seen[0].model)}"
    if high <= seen[0].level:
        start = f"{start}, the lowest level"
    return f"{start}; {end}, {grows}" if grows else f"{start}; {end}"


def _grows(top: Point, knee: Knee) -> str:
    if knee.slope is None or knee.slope <= 0 or top.model == "open":
        return ""
    return f"p95 grows {duration(knee.slope, 2)} per user"


def _end(top: Point, knee: Knee, throughput: float) -> str:
    if knee.then != "falls":
        return f"throughput stops at {rate(throughput)}"
    low = rate(top.throughput.value)
    return f"throughput falls from {rate(throughput)} to {low} at {_at(top)}{_lost(knee)}"


def _with_knee(
    points: Sequence[Point], top: Point, knee: Knee, level: float, throughput: float
) -> str:
    grows, end = _grows(top, knee), _end(top, knee, throughput)
    if level <= ONE_AT_A_TIME and top.model == "closed":
        start = f"serves one request at a time: {end}"
        return f"{start}, {grows}" if grows else start
    flat = _flat(points, level)
    return f"{flat}, then {grows}; {end}" if grows else f"{flat}, then {end}"


def _with_unstable(answered: Sequence[Point], knee: Knee | None) -> str:
    """In the open model: from where on more arrives than is answered, and how much is."""
    first = next(point for point in answered if _unstable(point))
    below = [point for point in answered if point.level < first.level]
    told = f"unstable from {_at(first)} on: answers {rate(first.throughput.value)}"
    if below:
        told = f"{_flat(answered, below[-1].level)}; {told}"
    else:
        told = f"{told}, at the lowest rate already"
    top = answered[-1]
    if knee is not None and knee.then == "falls" and top.level > first.level:
        told += f", and {rate(top.throughput.value)} at {_at(top)}{_lost(knee)}"
    return told


def _kept(found: Capacity, points: Sequence[Point]) -> str:
    """What a search found."""
    if found.level is None:
        return found.why.rstrip(".")
    model = points[0].model if points else "closed"
    kept = f"keeps its SLOs up to {load(found.level, model)}"
    if found.above:
        return f"{kept}, the highest level that was allowed"
    if found.low is not None and found.high is not None:
        kept += f" ({rounded(found.low, 3)} to {rounded(found.high, 3)})"
    return f"{kept}; {found.slo} breaks first" if found.slo else kept


def _lost(knee: Knee) -> str:
    """By how much throughput is retrograde, e.g. ", 66 % less (60 % to 70 %)"."""
    lost = knee.retrograde
    if lost is None:
        return ""
    ends = ""
    if lost.low is not None and lost.high is not None:
        ends = f" ({percent(lost.low)} to {percent(lost.high)})"
    return f", {percent(lost.value)} less{ends}"


def _failing(last: Point) -> str:
    share = last.errors.rate
    return f"; {percent(share)} of the requests fail at {_at(last)}" if share else ""


def _moving(points: Sequence[Point]) -> str:
    """The levels whose numbers had not come to rest. An unstable one is told of by itself."""
    valid = [point for point in points if point.valid]
    moving = [p for p in valid if p.steady not in ("steady", None) and not _unstable(p)]
    if not moving:
        return ""
    states = {point.steady for point in moving}
    state = "not steady" if len(states) > 1 or states == {"none"} else str(moving[0].steady)
    if len(moving) > MANY:
        return f"; {state} at {len(moving)} of {len(valid)} levels"
    return f"; {state} at {loads([point.level for point in moving], moving[0].model)}"


def _unstable(point: Point) -> bool:
    return point.model == "open" and point.steady == "over-saturated"


def _at(point: Point) -> str:
    return load(point.level, point.model)


def _flat(points: Sequence[Point], knee: float) -> str:
    """
    How far p95 stays level. Throughput may follow the load to the knee while p95 has long risen:
    a pool that opens a connection for every other request answers all, but late.
    """
    model = points[0].model
    below = [
        (point.level, p95.value)
        for point in points
        if point.level <= knee and point.valid and (p95 := point.response_time.get("p95"))
    ]
    usual = median(value for _, value in below[: (len(below) + 1) // 2]) if below else 0.0
    for (before, _), (at, value) in pairwise(below):
        if value > SWOLLEN * usual:
            where = load(at, model) if model == "open" else f"{at}"
            return f"flat to {load(before, model)}, at {where} p95 is already {duration(value)}"
    return f"flat to {load(knee, model)}"


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
