"""One plain sentence about each deployment."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from loadtests.analysis import knees, law
from loadtests.analysis.causes import headline
from loadtests.analysis.checks.generator import OWN_FAILURES
from loadtests.analysis.checks.noise import NOTABLE
from loadtests.analysis.collapse import TOO_MANY_FAILURES, unstable
from loadtests.analysis.numbers import duration, load, loads, percent, rate, rounded
from loadtests.results import Capacity, Knee, Point, Run

ONE_AT_A_TIME = 1.5  # users; a knee up to here is a service that blocks itself
SWOLLEN = 1.5  # times the p95 of the lower levels: no longer flat
SHORT = 0.75  # of the throughput that the lowest level predicts: it does not follow the load
ENOUGH = 30  # requests of a level that predicts what others have
FEWER = 0.9  # of the throughput of the level before: it does not follow the load
MANY = 3  # levels; more are counted instead of listed
TURNS = 5  # of all users that a window should hold
WIDE = 1.5  # times as high as its lower end: the interval of a knee that is told with it


def sentence(run: Run, deployment: str) -> str:
    """What happened to the deployment under load, for terminal and report."""
    points, cut = run.of(deployment), _cut(run)
    found = run.capacities.get(deployment)
    if any(one.method == "interleaved" for one in run.verdicts):
        told = _side(points)
    elif found is not None:
        told = _capacity(found, points)
    else:
        knee = run.knees.get(deployment)
        told = _degradation(points, knee, cut) + _unknown(points) + _disturbed(points, knee)
    why = headline.headline(run, deployment)
    return f"{deployment}: {told}{_moving(points)}.{' ' if why else ''}{why}"


def _cut(run: Run) -> str:
    return " before the run was interrupted" if run.status == "interrupted" else ""


def _side(points: Sequence[Point]) -> str:
    """The summary of one side of a comparison, which has few levels and its own verdict."""
    answered = [point for point in points if point.throughput.value]
    if not answered:
        return "nothing was answered" if points else "nothing was measured"
    return "; ".join(f"at {_at(point)} {_state(point)}" for point in answered)


def _degradation(points: Sequence[Point], knee: Knee | None, cut: str) -> str:
    if not points:
        return f"nothing was measured{cut}"
    tried = [point for point in points if point.requests]
    if tried and all(map(_fails_wholly, tried)):
        return f"every request failed, from {_at(tried[0])} on ({_kinds(tried)})"
    valid = [point for point in points if point.counts]
    if not valid:
        reason = next(iter(points[0].problems), "its points are invalid")
        return f"{_failing_first(tried)}no level can be relied on: {reason}"
    answered = [point for point in valid if point.throughput.value]
    if not answered:
        return f"no request succeeded within the window, from {_at(valid[0])} on"
    ends = f"{_silent(valid)}{_failing(valid)}"
    if any(map(unstable, answered)):
        return _with_unstable(answered, knee) + ends
    seen = law.usable(points) or answered
    if knee is None or _tells_nothing(knee, answered):
        tell = (
            "one level tells" if len(points) == 1 else f"{len(seen)} of {len(points)} levels tell"
        )
        numbers = f"at {_at(seen[-1])} {_numbers(seen[-1])}"
        return f"{tell} too little{cut}: {numbers}{_longer(seen)}{ends}"
    if knee.level is None and knee.high is None:
        return _following(answered, knee, cut) + ends
    return _with_knee(seen, knee) + _in_flight(knee, seen[0].model) + ends


def _collapsed(point: Point) -> bool:
    """Whether a longer window would say no more: it fails, or has locked up."""
    locked = point.limit is not None and point.limit.resource == "lock-up"
    return locked or point.errors.rate > TOO_MANY_FAILURES


def _longer(seen: Sequence[Point]) -> str:
    """The `measure` that would tell more, where users hardly took their turn in a window."""
    turns = [
        (point.level / point.throughput.value, point.seconds)
        for point in seen
        if point.model == "closed" and point.throughput.value and not _collapsed(point)
    ]
    if not any(turn * TURNS > seconds for turn, seconds in turns):
        return ""
    longest = max(turn for turn, _ in turns)
    return (
        f"; a turn of all users takes up to {duration(longest)}: measure for "
        f"{duration(math.ceil(longest * TURNS))} or longer"
    )


def _tells_nothing(knee: Knee, answered: Sequence[Point]) -> bool:
    """Neither a knee, nor a bound of it that is within the levels."""
    if knee.level is not None or knee.high is not None:
        return False
    return knee.low is None or knee.low < answered[0].level


def _following(answered: Sequence[Point], knee: Knee, cut: str) -> str:
    """The summary without a knee in range: up to the highest level, or the last certain one."""
    top, low = answered[-1], knee.low or 0.0
    each = 1 / knee.cycle if knee.cycle and top.model == "closed" else 0.0
    short = next(
        (
            point
            for number, point in enumerate(answered)
            if number and _falls_short(point, max(each, *map(_promised, answered[:number])))
        ),
        None,
    )
    if short is not None:
        before = max(point.level for point in answered if point.level < short.level)
        return (
            f"follows the load up to {load(before, top.model)}{cut}; where it stops is "
            f"not known: at {_at(short)} {_numbers(short)}"
        )
    if low >= law.FOLLOWING * top.level:
        return f"follows the load up to {_at(top)}{cut}: {_numbers(top)}"
    return (
        f"follows the load up to {load(low, top.model)} at least{cut}; the windows are too short "
        f"to tell whether it does at {_at(top)}: {_numbers(top)}"
    )


def _promised(lower: Point) -> float:
    """The throughput for each user that a lower level predicts; 0: it had too few requests."""
    came = _came(lower) if lower.requests >= ENOUGH else 0.0
    return lower.throughput.value / came if came else 0.0


def _falls_short(point: Point, each: float) -> bool:
    """Whether a level has much less throughput than is predicted for its load."""
    return point.throughput.value < SHORT * each * _came(point)


def _is_down(point: Point, before: Point, each: float) -> bool:
    """Whether a level has less throughput than the one before, or than the lowest predicts."""
    if point.throughput.high is None:
        return False
    # What disturbed it is in its interval, and so is chance.
    highest, lowest = point.throughput.high, before.throughput.low or 0.0
    fewer = point.throughput.value < FEWER * before.throughput.value and highest < lowest
    return fewer or (_falls_short(point, each) and highest < each * _came(point))


def _came(point: Point) -> float:
    """Users, or in the open model what came in a second."""
    if point.model == "closed":
        return point.level
    return point.requests / point.seconds if point.seconds else 0.0


def _with_knee(valid: Sequence[Point], knee: Knee) -> str:
    top, level = valid[-1], knee.level
    grows = ""
    if knee.slope is not None and knee.slope > 0 and top.model == "closed":
        grows = f"p95 grows {duration(knee.slope, 2)} per user"
    most = "" if knee.throughput is None else f" at {rate(knee.throughput)}"
    end = f"throughput stops{most}{_faster(valid, knee)}"
    if knee.beyond == "errors" and knee.throughput is None:
        end = "more requests fail, though throughput still rises"
    if knee.beyond is None:
        end += "; the windows are too short to tell whether it falls"
    if knee.beyond == "falls" and knee.throughput is not None:
        low = rate(top.throughput.value)
        end = f"throughput falls from {rate(knee.throughput)} to {low} at {_at(top)}{_lost(knee)}"
    behind = f"{end}, {grows}" if grows else end
    if level is None:
        return f"{_below(valid, knee.high or 0.0)}; {behind}"
    if top.model == "closed" and _one_at_a_time(knee):
        unknown = knee.limit == "unknown"
        start = "one user keeps it busy" if unknown else "serves one request at a time"
        return f"{start}: {behind}"
    if not any(point.level <= level for point in valid):
        return f"its knee is {load(level, top.model)}, below every level: {behind}"
    flat = _flat(valid, level, _interval(knee) if _is_wide(knee) else "")
    return f"{flat}, then {grows}; {end}" if grows else f"{flat}, then {end}"


def _in_flight(knee: Knee, model: str) -> str:
    """The knee in requests in flight, where users are not as many; else empty."""
    if knee.level is None or knee.in_flight is None:
        return ""
    return f"; {load(knee.level, model)} are {rounded(knee.in_flight, 3)} requests in flight"


def _below(valid: Sequence[Point], high: float) -> str:
    """The lowest level lies beyond the knee."""
    start = f"the knee is at or below {load(high, valid[0].model)}"
    return f"{start}, the lowest level" if high <= valid[0].level else start


def _faster(valid: Sequence[Point], knee: Knee) -> str:
    """The level that had more than X_max, but moved, e.g. " (260/s at 40 users, drifting)"."""
    most = knee.throughput or 0.0
    moving = [point for point in valid if point.steady not in ("steady", None)]
    fastest = max(moving, key=lambda point: point.throughput.value, default=None)
    if fastest is None or fastest.throughput.value <= 1.05 * most:
        return ""
    state = "not steady" if fastest.steady == "unsteady" else fastest.steady
    return f" ({rate(fastest.throughput.value)} at {_at(fastest)}, {state})"


def _one_at_a_time(knee: Knee) -> bool:
    """Whether a single request keeps it busy: a knee of 1, whose interval leaves 2 out."""
    level, high = knee.level or 0.0, knee.high
    if knee.limit in ("threads", "pool"):
        return False  # a request holds several in turn, as a task after its answer does
    return level <= ONE_AT_A_TIME and (high is None or high < 2)


def _silent(valid: Sequence[Point]) -> str:
    """The levels at the top at which nothing succeeds, with the kinds of their failures."""
    silent = _at_the_top(valid)
    if not silent:
        return ""
    where = f"at {_at(silent[0])}" if len(silent) == 1 else f"from {_at(silent[0])} on"
    if not all(point.errors.rate >= 1 for point in silent):
        return f"; no request succeeded within the window {where}"
    return f"; every request fails {where} ({_kinds(silent)})"


def _with_unstable(answered: Sequence[Point], knee: Knee | None) -> str:
    """The summary of the open model: the rate above which arrivals outnumber answers."""
    first = next(point for point in answered if unstable(point))
    below = [point for point in answered if point.level < first.level]
    told = f"unstable from {_at(first)} on: answers {rate(first.throughput.value)}"
    if below:
        told = f"{_flat(answered, below[-1].level)}; {told}"
    else:
        told = f"{told}, at the lowest rate already"
    top = answered[-1]
    if knee is not None and knee.beyond == "falls" and top.level > first.level:
        told += f", and {rate(top.throughput.value)} at {_at(top)}{_lost(knee)}"
    return told


def _capacity(found: Capacity, points: Sequence[Point]) -> str:
    """What a search found."""
    if found.level is None:
        return found.why.rstrip(".")
    model = points[0].model if points else "closed"
    met = f"meets its SLOs up to {load(found.level, model)}"
    if found.above:
        return f"{met}, the highest level that was allowed"
    if found.low is not None and found.high is not None and found.low < found.high:
        met += f" ({rounded(found.low, 3)} to {rounded(found.high, 3)})"
    return f"{met}; {found.slo} fails first" if found.slo else met


def _lost(knee: Knee) -> str:
    """How far throughput is retrograde, e.g. ", 66 % less (60 % to 70 %)"."""
    lost = knee.retrograde
    if lost is None:
        return ""
    ends = ""
    if lost.low is not None and lost.high is not None:
        low, high = percent(lost.low), percent(lost.high)
        ends = f" ({low} to {high})" if low != high else ""
    return f", {percent(lost.value)} less{ends}"


def _at_the_top(valid: Sequence[Point]) -> Sequence[Point]:
    """The highest levels, as far as nothing succeeds at them."""
    count = next((n for n, p in enumerate(reversed(valid)) if p.throughput.value), len(valid))
    return valid[len(valid) - count :]


def _failing(valid: Sequence[Point]) -> str:
    """The summary of a level where most requests fail, or of the highest level that answers."""
    shown = valid[: len(valid) - len(_at_the_top(valid))]
    failing = [point for point in shown if point.errors.rate]
    if not failing:
        return ""
    top = shown[-1]
    worst = top if top.errors.rate else max(failing, key=lambda point: point.errors.rate)
    return (
        f"; {percent(worst.errors.rate)} of the requests fail at {_at(worst)} ({_kinds([worst])})"
    )


def _failing_first(tried: Sequence[Point]) -> str:
    """What matters more than that the levels are not valid; empty where few requests fail."""
    worst = max(tried, key=_service_failures, default=None)
    share = 0.0 if worst is None else _service_failures(worst)
    if worst is None or share < law.FAILING:
        return ""
    return f"{percent(share)} of the requests fail at {_at(worst)}, and "


def _fails_wholly(point: Point) -> bool:
    return _service_failures(point) >= 1 and not point.throughput.value


def _service_failures(point: Point) -> float:
    """The share of the requests that fail, of those that the generator was able to send."""
    own = sum(point.errors.kinds.get(kind, 0) for kind in OWN_FAILURES)
    return 0.0 if own else point.errors.rate


def _moving(points: Sequence[Point]) -> str:
    """The levels whose numbers had not come to rest. An unstable level is reported separately."""
    valid = [point for point in points if point.counts]
    moving = [p for p in valid if p.steady not in ("steady", None) and not unstable(p)]
    if not moving:
        return ""
    states = {point.steady for point in moving}
    state = "not steady" if len(states) > 1 or states == {"unsteady"} else str(moving[0].steady)
    if len(moving) > MANY:
        return f"; {state} at {len(moving)} of {len(valid)} levels"
    return f"; {state} at {loads([point.level for point in moving], moving[0].model)}"


def _disturbed(points: Sequence[Point], knee: Knee | None) -> str:
    """A clause if a knee rests on levels that were disturbed, with where it can be then."""
    if knee is None or len(points) < knees.LEAST_LEVELS:
        return ""
    moved = [point for point in points if point.counts and _moved(point) > NOTABLE]
    if not moved:
        return ""
    most = max(map(_moved, moved))
    interval = "" if _is_wide(knee) else _interval(knee)
    width = f", so that it can be {interval}" if interval else ""
    share = "several times its throughput" if most > 1 else f"{percent(most)} of its throughput"
    levels = f"{len(moved)} of {len(points)} levels {'was' if len(moved) == 1 else 'were'}"
    return f"; {levels} disturbed, by up to {share}{width}"


def _interval(knee: Knee) -> str:
    """Where the knee can be, e.g. "3.27 to 4.68"; empty where that is not known or one number."""
    if knee.level is None or knee.low is None or knee.high is None:
        return ""
    low, high = rounded(knee.low, 3), rounded(knee.high, 3)
    return f"{low} to {high}" if low != high else ""


def _is_wide(knee: Knee) -> bool:
    """Whether the knee alone would sound more exact than it is."""
    return bool(knee.low and knee.high) and (knee.high or 0.0) > WIDE * (knee.low or math.inf)


def _unknown(points: Sequence[Point]) -> str:
    """The levels beyond the highest one that counts, which say nothing."""
    top = max((point.level for point in points if point.counts), default=None)
    beyond = [point for point in points if top is not None and point.level > top]
    if not beyond:
        return ""
    levels = loads([point.level for point in beyond], beyond[0].model)
    reason = next(iter(beyond[0].problems), "no reason is known")
    return f"; what happens at {levels} is not known: {reason}"


def _moved(point: Point) -> float:
    """The part of its throughput by which disturbances can have lowered it."""
    value = point.throughput.value
    return point.noise.get("throughput", 0.0) / value if value else 0.0


def _at(point: Point) -> str:
    return load(point.level, point.model)


def _flat(points: Sequence[Point], knee: float, interval: str = "") -> str:
    """
    How far p95 stays level. Throughput may follow the load to the knee while p95 has long risen:
    a pool that opens a connection for every other request answers all, but late.
    """
    model = points[0].model
    below = [point for point in points if point.level <= knee and point.counts]
    times = [p95.value for point in below if (p95 := point.response_time.get("p95"))]
    usual = median(times[: (len(times) + 1) // 2]) if times else math.inf
    for before, point in pairwise(below):
        at, start = load(point.level, model), f"flat to {_at(before)}"
        p95 = point.response_time.get("p95")
        if p95 and p95.value > SWOLLEN * usual:
            where = at if model == "open" else f"{point.level}"
            return f"{start}, at {where} p95 is already {duration(p95.value)}"
        if _is_down(point, before, _promised(below[0])):
            return f"{start}, at {at} throughput is down to {rate(point.throughput.value)}"
    return f"flat to {load(knee, model)}" + (f" ({interval})" if interval else "")


def _state(point: Point) -> str:
    """E.g. "p95 82.1 ms, 2,950/s, 2 % of the requests fail"."""
    share = point.errors.rate
    return _numbers(point) + (f", {percent(share)} of the requests fail" if share else "")


def _numbers(point: Point) -> str:
    """E.g. "p95 82.1 ms, 2,950/s"."""
    p95, mean = point.response_time.get("p95"), point.response_time.get("mean")
    parts = []
    if p95 is not None:
        parts.append(f"p95 {duration(p95.value)}")
    elif mean is not None:
        parts.append(f"mean {duration(mean.value)}")
    parts.append(rate(point.throughput.value))
    return ", ".join(parts)


def _kinds(points: Sequence[Point]) -> str:
    counts: Counter[str] = Counter()
    for point in points:
        counts.update(point.errors.kinds)
    return ", ".join(kind for kind, _ in counts.most_common(3)) or "no kind was recorded"
