"""One estimate over another: the ratio with its interval."""

import math

from loadtests.results import Estimate, Point


def ratio(a: Estimate | None, b: Estimate | None) -> Estimate | None:
    """
    b / a; null when one of them is missing or not positive.

    Its interval adds the relative errors of both as independent ones, on the log scale, each side
    with its own.
    """
    if a is None or b is None or a.value <= 0 or b.value <= 0:
        return None
    low, high = ends(a, b)
    value = b.value / a.value
    if low is None or high is None:
        return Estimate(value=value)
    return Estimate(value=value, low=low, high=high)


def of_points(a: Point, b: Point, metric: str) -> Estimate | None:
    """Return `ratio` of the throughput, or of a response time, of two points."""
    if metric == "throughput":
        return ratio(a.throughput, b.throughput)
    return ratio(a.response_time.get(metric), b.response_time.get(metric))


def ends(a: Estimate, b: Estimate) -> tuple[float | None, float | None]:
    """
    Both ends of the interval of b / a, whose values are positive.

    The lower one takes the lower end of b and the upper one of a, the upper one the others; None
    where one of the two is missing, or is zero.
    """
    value = b.value / a.value
    low = high = None
    if b.low and a.high:
        low = value * math.exp(-math.hypot(math.log(b.value / b.low), math.log(a.high / a.value)))
    if b.high and a.low:
        high = value * math.exp(math.hypot(math.log(b.high / b.value), math.log(a.value / a.low)))
    return low, high
