"""The two sides of a comparison: from the command line to a plan with two deployments."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from loadtests import plans
from loadtests.analysis.short_windows import mean_latency, needed
from loadtests.analysis.verdicts.block_length import CYCLES, REQUESTS, SETTLING
from loadtests.analysis.verdicts.config import (
    BLOCKS,
    MEASURE,
    SETTLE,
    STARTING,
    SWITCHING,
    ComparisonConfig,
)
from loadtests.analysis.verdicts.metrics import METRICS
from loadtests.plans import Plan, PlanError, UrlDeployment
from loadtests.plans.errors import no_such
from loadtests.plans.hosts import parts_of
from loadtests.recording.slices import whole_slices
from mock_upstream.units.durations import format_duration

USUAL = 40  # a level at which most services have something to do


def is_run(text: str) -> bool:
    """
    Whether that means a saved run: a folder with one, or whatever is there by a path. A folder may
    well be called like a deployment.
    """
    path = Path(text)
    if "/" in text or text.startswith("."):
        return os.path.exists(path)
    return any(os.path.isfile(path / name) for name in ("run.json", "slices.jsonl"))


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
) -> tuple[Plan, ComparisonConfig]:
    """
    The plan with the two alone, and on what terms they are compared.

    Telemetry is off, since it would cost one library more than another, and the
    plan's SLOs are left out: they are for a run. The upstream's delays are those of the profile,
    drawn so evenly that every hundred hold each percentile once: what differs is the deployments.

    Args:
        a, b: the name of a deployment of the plan, a URL, or a command with {port}, which takes
            the keys in which all commands of the plan agree.
        folders: in which the commands are started.
        at: levels, such as "40" or "40,10,80"; the first one decides. Without, it is that of the
            plan's first SLO on the metric, or its highest level up to 40.
        settle, measure: the length of a block. Without, the first blocks are as long as the
            upstream's delays ask for, and later ones longer where the services are slower.

    Raises:
        PlanError: one of them cannot be, or both are the same.
    """
    if metric not in METRICS:
        raise PlanError(f"--metric {metric!r}: {no_such('metric', metric, METRICS)}")
    named = _pair(plan, (a, b), folders)
    levels = _levels(at) or (_usual(plan, metric),)
    chosen = plans.altered(
        _with_both(plan, named),
        levels=",".join(map(str, sorted(levels))),
        settle=settle or format_duration(_settle(plan)),
        measure=measure or format_duration(_measure(plan, metric, min(levels))),
        repeats="1",
        telemetry=False,
    )
    restarts = any(not isinstance(deployment, UrlDeployment) for _, deployment in named)
    load = chosen.load
    block = load.settle + load.longest + SWITCHING
    return chosen, ComparisonConfig(
        a=named[0][0],
        b=named[1][0],
        metric=metric,
        at=levels,
        model=load.model,
        margin=margin,
        within=within,
        round_seconds=BLOCKS * len(levels) * block + STARTING * restarts,
        seed=plan.seed,
        restarts=restarts,
        settle=load.settle,
        measure=load.longest,
        fixed=bool(settle or measure),
    )


def _pair(
    plan: Plan, texts: tuple[str, str], folders: tuple[str, str]
) -> list[tuple[str, plans.Deployment]]:
    """Return the two deployments with their names. Raises PlanError: both are the same."""
    named = [
        _deployment(plan, text, label, folder)
        for text, label, folder in zip(texts, "AB", folders, strict=True)
    ]
    (one, first), (other, second) = named
    if isinstance(first, UrlDeployment) and isinstance(second, UrlDeployment):
        _check_apart(first.url, second.url)
        if one == other:  # two services behind one port
            return [("A", first), ("B", second)]
    elif one == other:
        raise PlanError(
            f"{texts[0]!r} would be compared with itself. Give two deployments; for a test of the "
            "comparison itself, two that are written alike"
        )
    return named


def _with_both(plan: Plan, named: Sequence[tuple[str, plans.Deployment]]) -> Plan:
    """Return the plan with these deployments alone, and evenly drawn delays of the upstream."""
    table = {
        name: deployment.model_dump(mode="json", exclude_none=True) for name, deployment in named
    }
    chosen = plans.against(plan, table)
    even = chosen.upstream.model_copy(update={"sampling": "stratified"})
    return chosen.model_copy(update={"upstream": even})


def _settle(plan: Plan) -> float:
    return whole_slices(max(SETTLE, SETTLING * _cycle(plan)))


def _measure(plan: Plan, metric: str, level: int) -> float:
    """Long enough for the metric, as far as the upstream tells; half a minute at most."""
    cycle = _cycle(plan)
    rate = level if plan.load.model == "open" else level / max(cycle, 1e-4)
    seconds = max(MEASURE, CYCLES * cycle, REQUESTS * needed(metric) / rate)
    return whole_slices(min(seconds, 30.0))


def _cycle(plan: Plan) -> float:
    """Seconds from one request of a user to the next, if the service took no time itself."""
    thinks = plan.load.think_time if plan.load.model == "closed" else 0.0
    return mean_latency(plan) + thinks


def _deployment(plan: Plan, text: str, label: str, folder: str) -> tuple[str, plans.Deployment]:
    """Its name, and what it is."""
    if text in plan.deployments:
        if folder:
            raise PlanError(f"{text!r} is a deployment of the plan; its folder is `cwd` there")
        return text, plan.deployments[text]
    if text.startswith(("http://", "https://")):
        found = plans.altered(plan, url=text)
        [(name, deployment)] = found.deployments.items()
        return name, deployment
    if "{port}" in text or " " in text:
        table = {**plans.common_keys(plan), "command": text, **({"cwd": folder} if folder else {})}
        return label, plans.against(plan, {label: table}).deployments[label]
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
