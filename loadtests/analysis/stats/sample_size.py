"""How much must be measured before anything can be said. A dry run asks it: no imports here."""

import math
from functools import lru_cache

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2  # of the intervals, on each side

SPARE = 1.3  # what dependent requests, and an error known from few pieces, take beyond `enough`

LEAST_QUARTERS = 12  # of a window; with fewer a slope is not told from noise


def enough(count: int, q: float) -> bool:
    """
    Whether `count` requests bound their q-quantile from both sides at 95 %: 6 for the median, 72
    for p95, 368 for p99. With fewer, the smallest or the largest value is not a bound.
    """
    return max(q, 1 - q) ** count <= TAIL


@lru_cache
def least(q: float) -> int:
    """The smallest number of requests that is `enough` for the q-quantile."""
    count = 1
    while not enough(count, q):
        count += 1
    return count


def requests_for(q: float) -> int:
    """The requests that the interval of the q-quantile takes, dependent as they are."""
    return math.ceil(SPARE * least(q))
