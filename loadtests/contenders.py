"""Who is compared with whom: from what was typed to a plan with two deployments, and the terms."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtests import plans
from loadtests.analysis.duels import BLOCKS, Terms
from loadtests.analysis.metrics import METRICS
from loadtests.plans import Plan, PlanError, UrlDeployment
from loadtests.plans.errors import no_such
from loadtests.plans.hosts import parts_of
from loadtests.shortness import mean_latency, needed, whole_slices
from mock_upstream.durations import format_duration

SETTLE, MEASURE = 0.25, 1.25
"""
Seconds of a block, at least. More, shorter blocks tell more than fewer, longer ones, until
switching costs too much of the time: what goes on on a machine lasts for some seconds.
"""
SETTLING = 4  # mean answers of the upstream, until queues are what they will be
REQUESTS = 2  # times those that a quantile takes, in a block
SWITCHING = 0.15  # seconds between two blocks, as measured
STARTING = 2.0  # seconds that both take to start anew, about; only for telling the time
USUAL = 40  # a level at which most services have something to do


def is_run(text: str) -> bool:
    """
    Whether that means a saved run: a folder with one, or whatever is there by a path. A folder may
    well be called like a deployment.
    """
    path = Path(text)
    if "/" in text or text.startswith("."):
        return path.exists()
    return any((path / name).is_file() for name in ("run.json", "slices.jsonl"))


def contest(
    plan: Plan,
    a: str,
    b: str,
    *,
    folders: tuple[str, str] = ("", ""),
    at: str = "",
    metric: str = "p95",
    margin: float = 0.05,
    within: float = 360.0,
    settle: str = "",
    measure: str = "",
) -> tuple[Plan, Terms]:
    """
    The plan with the two alone, and on what terms they are compared.

    The services do not tell of themselves, which would cost one library more than another, and the
    plan's SLOs are left out: they are for a run. The upstream's delays are those of the profile,
    drawn so evenly that every hundred hold each percentile once: what differs is the deployments.

    Args:
        a, b: the name of a deployment of the plan, a URL, or a command with {port}.
        folders: in which the commands are started.
        at: levels, such as "40" or "40,10,80"; the first one decides. Without, it is that of the
            plan's first SLO on the metric, or its highest level up to 40.

    Raises:
        PlanError: one of them cannot be, or both are the same.
    """
    if metric not in METRICS:
        raise PlanError(f"--metric {metric!r}: {no_such('metric', metric, METRICS)}")
    named = [
        _deployment(plan, text, label, folder)
        for text, label, folder in zip((a, b), "AB", folders, strict=True)
    ]
    (one, first), (other, second) = named
    if isinstance(first, UrlDeployment) and isinstance(second, UrlDeployment):
        _check_apart(first.url, second.url)
        if one == other:  # two services behind one port
            one, other = "A", "B"
            named = [(one, first), (other, second)]
    elif one == other:
        raise PlanError(
            f"{a!r} would be compared with itself. Give two deployments; for a test of the "
            "comparison itself, two that are written alike"
        )
    levels = _levels(at) or (_usual(plan, metric),)
    table: dict[str, Any] = {
        name: deployment.model_dump(mode="json", exclude_none=True) for name, deployment in named
    }
    chosen = plans.against(plan, table)
    chosen = plans.altered(
        chosen,
        levels=",".join(map(str, sorted(levels))),
        settle=settle or format_duration(_settle(plan)),
        measure=measure or format_duration(_measure(plan, metric, min(levels))),
        repeats="1",
        telemetry=False,
    )
    even = chosen.upstream.model_copy(update={"sampling": "stratified"})
    chosen = chosen.model_copy(update={"upstream": even})
    restarts = any(not isinstance(deployment, UrlDeployment) for _, deployment in named)
    load = chosen.load
    block = load.settle + load.measure + SWITCHING
    return chosen, Terms(
        a=one,
        b=other,
        metric=metric,
        at=levels,
        model=load.model,
        margin=margin,
        within=within,
        round_seconds=BLOCKS * len(levels) * block + STARTING * restarts,
        seed=plan.seed,
        restarts=restarts,
    )


def _settle(plan: Plan) -> float:
    return whole_slices(max(SETTLE, SETTLING * mean_latency(plan)))


def _measure(plan: Plan, metric: str, level: int) -> float:
    """Long enough for the metric, as far as the upstream tells; half a minute at most."""
    cycle = max(mean_latency(plan) + plan.load.think_time, 1e-4)
    rate = level if plan.load.model == "open" else level / cycle
    return whole_slices(min(max(MEASURE, REQUESTS * needed(metric) / rate), 30.0))


def _deployment(plan: Plan, text: str, label: str, folder: str) -> tuple[str, plans.Deployment]:
    """Its name, and what it is."""
    if text in plan.deployments:
        if folder:
            raise PlanError(f"{text!r} is a deployment of the plan; its folder is `cwd` there")
        return text, plan.deployments[text]
    if text.startswith(("http://", "https://")):
        found = plans.for_url(text, plan)
        [(name, deployment)] = found.deployments.items()
        return name, deployment
    if "{port}" in text or " " in text:
        table: Mapping[str, Any] = {"command": text, "cwd": folder or None}
        given = {key: value for key, value in table.items() if value}
        return label, plans.against(plan, {label: given}).deployments[label]
    raise PlanError(
        f"{no_such('deployment', text, plan.deployments)}\n"
        "It may also be a URL, a command with {port}, or the folder of a saved run"
    )


def _check_apart(one: str, other: str) -> None:
    """Raises PlanError when the two URLs lead to the same service."""
    first, second = _places(one), _places(other)
    if first & second and parts_of(one).path.rstrip("/") == parts_of(other).path.rstrip("/"):
        raise PlanError(
            f"{one} and {other} are one and the same service: it would be compared with itself"
        )


def _places(url: str) -> set[tuple[str, int]]:
    parts = parts_of(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    addresses = {str(entry[4][0]) for entry in found}
    if addresses & {"127.0.0.1", "::1"}:  # most services listen on both, or one stands for both
        addresses |= {"127.0.0.1", "::1"}
    return {(address, port) for address in addresses}


def _levels(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isascii() and word.isdecimal() and 0 < int(word) <= 20_000 for word in words):
        raise PlanError(f"--at {text!r} is not a level, or several such as 40,10,80")
    levels = tuple(map(int, words))
    if len(set(levels)) < len(levels):
        raise PlanError(f"--at {text!r} has a level twice")
    return levels


def _usual(plan: Plan, metric: str) -> int:
    """The level of the plan's first SLO on the metric, or its highest one up to USUAL."""
    for slo in plan.slos.values():
        if slo.metric == metric and slo.level is not None:
            return slo.level
    below = [level for level in plan.load.levels if level <= USUAL]
    return max(below) if below else plan.load.levels[0]
