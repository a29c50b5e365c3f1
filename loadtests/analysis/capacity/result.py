"""The highest level that meets the SLOs, from trials at any levels: its interval, and why."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise

from loadtests.analysis.capacity.boundary import Bracket, found, mean
from loadtests.analysis.capacity.margins import SURE, Bounds, Slack, Trial
from loadtests.analysis.numbers import rate
from loadtests.plans.slos import Slo
from loadtests.results import Capacity


def capacity(
    slos: Mapping[str, Slo], trials: Sequence[Trial], bounds: Bounds, unit: str, seconds: float
) -> Capacity:
    """
    The result of a search that may have come to its end or not.

    `high` is the highest level that may still be the capacity. Where the lowest level already
    misses an SLO, `level` is None and `high` below it.

    Args:
        unit: of a level, such as "users".
    """
    seen = found(trials)
    low, high = seen.passing, None if seen.failing is None else seen.failing - 1

    def result(level: int | None, why: str, *, above: bool = False) -> Capacity:
        return Capacity(
            level=level,
            low=low,
            high=None if above else high,
            above=above,
            slo=seen.slo if level is not None or _below(high, bounds) else None,
            seconds=seconds,
            why=f"{why}.",
        )

    if not trials:
        return result(None, "nothing was measured")
    if seen.unreached:
        most = max(trials, key=lambda one: one.rate)
        return Capacity(
            level=None,
            slo=seen.unreached,
            seconds=seconds,
            why=f"no level reaches {slos[seen.unreached].text!r}: "
            f"the most was {rate(most.rate)}, at {most.level:,} {unit}.",
        )
    if _below(high, bounds):
        return result(None, f"{_misses(trials, seen, bounds.lowest, unit)}, at the lowest level")
    if low is None:
        return result(None, f"no level was shown to meet {_all(slos)}{_unresolved(trials)}")
    if high is None and low >= bounds.highest:
        return result(
            low, f"the highest level allowed, {low:,} {unit}, meets {_all(slos)}", above=True
        )
    level = low if seen.crossing is None else max(math.floor(seen.crossing), low)
    if high is not None:
        level = min(level, high)
    if high is None:
        return result(
            level, f"{_do(low, unit, 'meet')} {_all(slos)}; no level was shown to miss one"
        )
    told = _misses(trials, seen, high + 1, unit)
    late = "" if seen.resolved(bounds) else "; the time was over before the border was narrowed"
    return result(level, f"{_do(low, unit, 'meet')} {_all(slos)}, {told}{_both_ways(trials)}{late}")


def undecided(result: Capacity, bounds: Bounds) -> bool:
    """Whether the search ended before it was done: its answer is wider than was asked."""
    if result.above or misses_everywhere(result):
        return False
    if result.low is None or result.high is None:
        return True
    return result.high > bounds.narrow(round(result.low))


def misses_everywhere(result: Capacity) -> bool:
    """Whether it was shown that no level that was allowed meets every SLO."""
    return result.level is None and result.slo is not None


# Words


def _do(count: int, unit: str, verb: str) -> str:
    """E.g. "46 users miss", "1 user misses"."""
    if count == 1 and unit == "users":
        return f"1 user {verb}{'es' if verb.endswith('s') else 's'}"
    return f"{count:,} {unit} {verb}"


def _misses(trials: Sequence[Trial], seen: Bracket, level: int, unit: str) -> str:
    """E.g. "46 users miss checkout-p95 (p95 212 ms)"."""
    levels = sorted({one.level for one in trials})
    at = levels[min(bisect_left(levels, level), len(levels) - 1)]
    broke = [
        (one.margins[name].value, name, one.seen[name])
        for one in trials
        if one.level == at
        for name in one.margins
    ]
    if not broke:
        return f"{_do(at, unit, 'miss')} {seen.slo}"
    _, name, told = min(broke)
    return f"{_do(at, unit, 'miss')} {name} ({told})"


def _both_ways(trials: Sequence[Trial]) -> str:
    """Says it when a level answers differently after a higher one than after a lower one."""
    ways: dict[tuple[int, str], dict[bool, list[Slack]]] = {}
    for before, one in pairwise(trials):
        if before.level != one.level:
            for name, margin in one.margins.items():
                came = ways.setdefault((one.level, name), {True: [], False: []})
                came[before.level > one.level].append(margin)
    for (level, name), came in ways.items():
        if came[True] and came[False]:
            (down, e), (up, f) = mean(came[True]), mean(came[False])
            if down * up < 0 and abs(down - up) > SURE * math.hypot(e, f):
                side = "from below, not from above" if up > 0 else "from above, not from below"
                return f"; {level:,} meets {name} when it is reached {side}"
    return ""


def _all(slos: Mapping[str, Slo]) -> str:
    return " and ".join(slos) if len(slos) < 3 else "every SLO"


def _unresolved(trials: Sequence[Trial]) -> str:
    if not any(one.margins for one in trials):
        return ": no stage was long enough, or valid, to tell"
    return " beyond doubt"


def _below(high: int | None, bounds: Bounds) -> bool:
    return high is not None and high < bounds.lowest
