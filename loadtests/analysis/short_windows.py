"""What a plan is too short for, told before it is played."""

import math

from loadtests.analysis import proposals
from loadtests.analysis.numbers import duration, loads
from loadtests.analysis.stats.sample_size import LEAST_QUARTERS, requests_for
from loadtests.plans import Plan, UrlDeployment
from loadtests.recording.slices import LENGTH
from loadtests.results import QUANTILES
from mock_upstream.latency.distributions import Latency

_CYCLES = 6  # response times that a window must last: a closed system forgets in about one


def too_short(plan: Plan, asked_only: bool = False) -> list[str]:
    """
    Sentences about levels whose windows are too short for a quantile's interval or the state, with
    the `measure` that would be long enough, if one can wait for it.

    From the mean latency of the plan's upstream, as if the service added nothing and no queue: more
    requests than these do not come. Empty for deployments at URLs, whose upstream is not known, and
    for a user's own locustfile.

    Args:
        asked_only: only quantiles of SLOs count, at the levels of these.
    """
    urls = all(isinstance(one, UrlDeployment) for one in plan.deployments.values())
    if urls or plan.locustfile is not None:
        return []
    load = plan.load
    cycle = mean_latency(plan) + load.think_time
    found = []
    for name, q in QUANTILES.items():
        needed = requests_for(q)
        asked = {slo.level for slo in plan.slos.values() if slo.metric == name}
        rates = {
            level: level if load.model == "open" else level / max(cycle, 1e-4)
            for level in load.levels
            if level in asked or not asked_only
        }
        short = {
            level: rate
            for level, rate in rates.items()
            if rate * load.longest * load.repeats < needed
        }
        if short:
            least = min(short.values())
            expected = math.floor(least * load.longest * load.repeats)
            found.append(
                f"No interval of {name} is to be expected at {loads(list(short), load.model)}: it "
                f"takes some {needed} requests, and at most {expected} come at the lowest. "
                f"{_way_out(needed / least / load.repeats)}"
            )
    least = _least_window(plan)
    if load.longest < least:
        found.append(
            f"Windows of {duration(load.longest)} are too short to tell whether they are steady, "
            f"and for sound intervals. {_way_out(least)}"
        )
    return found


def mean_latency(plan: Plan) -> float:
    """The mean latency of the upstream, without what its routes change; seconds."""
    return _mean(plan.upstream.latency)


def needed(metric: str) -> int:
    """The requests that a quantile's interval takes, dependent as they are; 0 for other metrics."""
    return requests_for(QUANTILES[metric]) if metric in QUANTILES else 0


def _least_window(plan: Plan) -> float:
    return max(LEAST_QUARTERS * LENGTH, least_for(mean_latency(plan)))


def least_for(cycle: float) -> float:
    """Seconds that a window must last, by those from a user's request to the next."""
    return _CYCLES * cycle


def _way_out(seconds: float) -> str:
    if (wanted := proposals.measure(seconds)) is not None:
        return f"{wanted} would do."
    return f"Even {proposals.MINUTES} would not do: requests come too slowly."


def _mean(latency: Latency) -> float:
    """The mean of the latency's quantiles; seconds."""
    steps = 500
    return math.fsum(latency.quantile((i + 0.5) / steps) for i in range(steps)) / steps
