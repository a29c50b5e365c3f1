"""Services of which theory knows the most that they answer: places over the time of a call."""

from collections.abc import Mapping

from loadtests.analysis.inputs.records import Record
from loadtests.results import Point
from loadtests.selfcheck.bench import Bench, RunFailed, invalid, plan
from loadtests.selfcheck.findings import Check, Findings, not_measured

TITLE = "known ceilings"
OFF = 0.05
"""A thread is also held while the service works on the answer: some milliseconds in a hundred."""
USERS = 16
PLACES = {"threads": 8, "pool": 8, "blocked-loop": 1}


def check(bench: Bench) -> Findings:
    """8 threads, a pool of 8 connections, and calls that block the event loop; twice the users."""
    deployments = {
        "threads": {"variant": "blocking-requests", "settings": {"threads": 8}},
        "pool": {"variant": "async-httpx", "settings": {"pool": 8}},
        "blocked-loop": {"variant": "blocking-in-async"},
    }
    load = {"levels": [USERS], "settle": "2s", "measure": "5s"}
    played = bench.play(plan("ceilings", deployments, load, latency="100ms"))
    delays = mean_delays(played.record())
    return Findings(
        tuple(judged(played.point(name), places, delays) for name, places in PLACES.items())
    )


def judged(point: Point, places: int, delays: Mapping[str, float]) -> Check:
    """Throughput against places / L, L being the delay that the mock delivered meanwhile."""
    name = f"ceiling of {places} ({point.deployment})"
    delay = delays.get(point.deployment)
    if delay is None:
        return not_measured(name, f"{places}/L", "the mock upstream could not be asked")
    ceiling = places / delay
    expected = f"{ceiling:.1f}/s, within {OFF:.0%}"
    if why := invalid([point]):
        return not_measured(name, expected, why)
    value = point.throughput.value
    measured = f"{value:.1f}/s ({value / ceiling - 1:+.1%})"
    # All places may become free at the same moment, right before the window's end or after it.
    allowed = OFF + places / max(point.requests, 1)
    return Check(name, expected, measured, abs(value / ceiling - 1) <= allowed)


def mean_delays(record: Record) -> dict[str, float]:
    """Deployment -> the mean delay that the mock delivered in its window; seconds."""
    found = {}
    for one in record.stages:
        if one.begun is None:
            raise RunFailed(f"{one.stage.deployment} was not played")
        begin = one.begun.at + one.stage.settle
        ledgers = [
            sample["mock"]["delivered"]
            for sample in record.samples
            if begin <= sample["at"] <= begin + one.stage.measure and sample["mock"]
        ]
        if len(ledgers) < 2 or ledgers[-1]["count"] == ledgers[0]["count"]:
            continue
        first, last = ledgers[0], ledgers[-1]
        mean = (last["total"] - first["total"]) / (last["count"] - first["count"])
        found[one.stage.deployment] = mean
    return found
