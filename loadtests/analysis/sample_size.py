"""How much must be measured before anything can be said. A dry run asks it: no imports here."""

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2  # of the intervals, on each side

LEAST_QUARTERS = 12  # of a window; with fewer a slope is not told from noise


def enough(count: int, q: float) -> bool:
    """
    Whether `count` requests bound their q-quantile from both sides at 95 %: 6 for the median, 72
    for p95, 368 for p99. With fewer, the smallest or the largest value is no bound.
    """
    return max(q, 1 - q) ** count <= TAIL
