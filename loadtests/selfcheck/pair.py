"""Two starts of one service: a difference between the two is a fault of the measurement."""

import math

from loadtests.analysis.stats.ratios import of_points
from loadtests.results import Point
from loadtests.selfcheck.bench import Bench, invalid, plan
from loadtests.selfcheck.findings import Check, Findings, not_measured

TITLE = "the same service twice"
METRICS = ("p50", "p95", "throughput")
WIDENED = 1.5
"""
From 95 % for each of three intervals to 99 % for all of them (Bonferroni): a healthy machine fails
this check once in a hundred times. Three repeats have Student's t of 4.3 each; their difference
takes 6.2, with four degrees of freedom, and 1.5 times 4.3 is 6.5.
"""
WIDEST = 0.2
"""A ratio that is not known to a fifth would contain 1 on any machine."""


def check(bench: Bench) -> Findings:
    """Two identical deployments that take turns."""
    deployments = {name: {"variant": "async-aiohttp"} for name in "AB"}
    load = {"levels": [20], "settle": "1s", "measure": "4s", "repeats": 3}
    latency = "p50=50ms p95=80ms p99=150ms"
    played = bench.play(plan("pair", deployments, load, latency=latency))
    return judged(played.point("A"), played.point("B"))


def judged(a: Point, b: Point) -> Findings:
    """The ratios between both must not differ from 1."""
    return Findings(tuple(_ratio(name, a, b) for name in METRICS))


def _ratio(name: str, a: Point, b: Point) -> Check:
    title, expected = f"{name} of B over A, the same service", "1"
    if why := invalid([a, b]):
        return not_measured(title, expected, why)
    found = of_points(a, b, name)
    if found is None or found.low is None or found.high is None:
        return not_measured(title, expected, "no interval: the machine is too slow or too noisy")
    low = found.value * (found.low / found.value) ** WIDENED
    high = found.value * (found.high / found.value) ** WIDENED
    measured = f"{found.value:.3f} ({low:.3f} to {high:.3f})"
    if math.log(high / low) / 2 > WIDEST:
        return Check(title, expected, f"{measured}: too noisy to tell", passed=False)
    return Check(title, expected, measured, low <= 1 <= high)
