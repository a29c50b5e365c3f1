"""How throughput answers a faster upstream, and which limits that speaks for: one table.

Beyond the knee of a closed system throughput is 1 / s for the time s that a request holds what
limits it (Denning and Buzen, The Operational Analysis of Queueing Network Models, 1978). So if the
upstream's delay L becomes shorter, throughput rises by the part of s that is spent there: the
elasticity d ln X / d ln L is minus that part. It is -1 where all that is held is held during the
calls, as threads, connections or places are, and 0 where nothing of it is, as CPU. To make one part
faster and to look at the whole is how Coz finds what matters (Curtsinger and Berger, SOSP 2015).
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Literal

from loadtests.analysis.light_scipy import special
from loadtests.results import Estimate

LEAST_PAIRS = 2
RESOLUTION = 0.003  # of a throughput: no two windows are as equal as they look
CONFIDENCE = 0.975  # of a 95 % interval, at its upper end

Zone = Literal["held", "free"]
Verdict = Literal["confirmed", "refuted", "cannot tell"]
BORDER = -0.35  # between an upstream that is waited for, and one that hardly matters
NARROW = 0.7  # of an interval, from end to end

EXPECTED: Mapping[str, tuple[float, float]] = {  # of the elasticity, by what limits a service
    "threads": (-math.inf, BORDER),
    "pool": (-math.inf, BORDER),
    "concurrency-limit": (-math.inf, BORDER),
    "upstream servers": (-math.inf, BORDER),
    "cpu": (BORDER, math.inf),
    "churn": (BORDER, math.inf),
    "upstream rate": (BORDER, math.inf),
    # A blocked loop waits for the upstream, if the call is what blocks it, or for something else.
    "loop": (-math.inf, math.inf),
}


def ratio(pairs: Sequence[tuple[float, float]]) -> Estimate | None:
    """
    The second throughput over the first, of pairs of windows: the geometric mean.

    The interval is Student's, of the logarithms' mean over the pairs, whose windows lie next to
    each other. None with fewer than LEAST_PAIRS.
    """
    logs = [math.log(faster / plain) for plain, faster in pairs if plain > 0 and faster > 0]
    if len(logs) < LEAST_PAIRS:
        return None
    mean, error = fmean(logs), stdev(logs) / math.sqrt(len(logs))
    half = math.hypot(quantile(len(logs) - 1) * error, RESOLUTION)
    return Estimate(value=math.exp(mean), low=math.exp(mean - half), high=math.exp(mean + half))


def quantile(freedom: float) -> float:
    """Half the width of a 95 % interval in standard errors; Student's t."""
    return float(special.stdtrit(freedom, CONFIDENCE))


def elasticity(changed: Estimate, scale: float) -> Estimate:
    """
    d ln X / d ln L, from the ratio of throughputs with delays times `scale`.

    Args:
        changed: with both ends of its interval.
    """
    assert changed.low is not None
    assert changed.high is not None
    ends = [math.log(x) / math.log(scale) for x in (changed.value, changed.low, changed.high)]
    return Estimate(value=ends[0], low=min(ends[1:]), high=max(ends[1:]))


def expected(part: float, scale: float) -> float:
    """The elasticity where the upstream is this part of what a request holds."""
    return -math.log(1 - part * (1 - scale)) / math.log(scale)


def upstream_part(changed: float, scale: float) -> float:
    """The upstream's part of the time that a request holds what limits it; in [0, 1]."""
    return min(max((1 - 1 / changed) / (1 - scale), 0.0), 1.0)


def zone(found: Estimate) -> Zone | None:
    """The side of the border on which the whole interval lies; None: it lies on both."""
    assert found.low is not None
    assert found.high is not None
    if found.high < BORDER:
        return "held"
    return "free" if found.low > BORDER else None


def precise(found: Estimate) -> bool:
    """Whether the interval is narrow enough to speak of a part."""
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low <= NARROW


def verdict(cause: str, found: Estimate) -> Verdict:
    """What an elasticity says of a cause of the table; of another one it cannot tell."""
    assert found.low is not None
    assert found.high is not None
    low, high = EXPECTED.get(cause, (math.nan, math.nan))
    if math.isinf(low) and math.isinf(high) and not precise(found):
        return "cannot tell"
    if low <= found.low and found.high <= high:
        return "confirmed"
    return "refuted" if found.high < low or found.low > high else "cannot tell"
