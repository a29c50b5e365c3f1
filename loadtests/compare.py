"""Two saved runs side by side: ratios with intervals, and what makes them unlike."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from loadtests.results import Estimate, Knee, Point, Result, Run

METRICS = ("p50", "p95", "p99", "throughput")


class LevelRatios(Result):
    """
    B over A at one level, all requests together, by metric (see METRICS).

    A ratio is null when one of the two was not measured, or not validly; `problems` says why.
    """

    level: int
    ratios: dict[str, Estimate | None]
    problems: list[str]


class Pair(Result):
    """The same deployment in both runs, or the only one of each; `a` and `b` are their names."""

    a: str
    b: str
    levels: list[LevelRatios]
    knee_a: Knee | None = None
    knee_b: Knee | None = None


class Comparison(Result):
    """
    Two runs and their pairs. `differences`: in what they are unlike beyond the service, in words.
    `alone_a`, `alone_b`: deployments without a counterpart.
    """

    a: Run
    b: Run
    pairs: list[Pair]
    alone_a: list[str]
    alone_b: list[str]
    differences: list[str]


def compare(a: Run, b: Run) -> Comparison:
    """What each deployment did in B as a ratio to what it did in A, level by level."""
    in_a, in_b = _deployments(a), _deployments(b)
    pairs = [(name, name) for name in in_a if name in in_b]
    if len(in_a) == len(in_b) == 1:
        pairs = [(in_a[0], in_b[0])]
    paired_a, paired_b = {one for one, _ in pairs}, {other for _, other in pairs}
    return Comparison(
        a=a,
        b=b,
        pairs=[_pair(a, b, one, other) for one, other in pairs],
        alone_a=[name for name in in_a if name not in paired_a],
        alone_b=[name for name in in_b if name not in paired_b],
        differences=[*_differences(a, b)],
    )


def ratio(a: Estimate | None, b: Estimate | None) -> Estimate | None:
    """
    b / a; null when one of them is missing or not positive.

    Its interval adds the relative errors of both as independent ones, on the log scale, each side
    with its own.
    """
    if a is None or b is None or a.value <= 0 or b.value <= 0:
        return None
    value = b.value / a.value
    if not (a.low and a.high and b.low and b.high):
        return Estimate(value=value)
    down = math.hypot(math.log(b.value / b.low), math.log(a.high / a.value))
    up = math.hypot(math.log(b.high / b.value), math.log(a.value / a.low))
    return Estimate(value=value, low=value * math.exp(-down), high=value * math.exp(up))


def _deployments(run: Run) -> list[str]:
    return list(dict.fromkeys(point.deployment for point in run.points))


def _pair(a: Run, b: Run, one: str, other: str) -> Pair:
    points_a = {point.level: point for point in a.of(one)}
    points_b = {point.level: point for point in b.of(other)}
    return Pair(
        a=one,
        b=other,
        levels=[
            _ratios(points_a[level], points_b[level]) for level in points_a if level in points_b
        ],
        knee_a=a.knees.get(one),
        knee_b=b.knees.get(other),
    )


def _ratios(a: Point, b: Point) -> LevelRatios:
    invalid = [
        f"{name} is not valid: {'; '.join(point.problems)}"
        for name, point in (("A", a), ("B", b))
        if not point.valid
    ]
    ratios = {
        metric: None if invalid else ratio(_estimate(a, metric), _estimate(b, metric))
        for metric in METRICS
    }
    return LevelRatios(level=a.level, ratios=ratios, problems=invalid)


def _estimate(point: Point, metric: str) -> Estimate | None:
    return point.throughput if metric == "throughput" else point.response_time.get(metric)


_LOAD = ("model", "levels", "settle", "measure", "think_time", "repeats")
_ENVIRONMENT = ("cpu", "cores", "cores_used", "memory", "system", "python", "implementation")


def _differences(a: Run, b: Run) -> Iterator[str]:
    """In what the runs are unlike: a ratio between them may come from any of it."""
    if a.plan.get("upstream") != b.plan.get("upstream"):
        yield from _unlike("upstream", _table(a.plan, "upstream"), _table(b.plan, "upstream"))
    if a.plan.get("requests") != b.plan.get("requests"):
        yield f"requests: {_names(a.plan)} in A, {_names(b.plan)} in B"
    yield from _unlike("load", _table(a.plan, "load"), _table(b.plan, "load"), _LOAD)
    yield from _unlike("environment", a.environment, b.environment, _ENVIRONMENT)
    yield from _unlike(
        "version", _table(a.environment, "versions"), _table(b.environment, "versions")
    )
    for name, run in (("A", a), ("B", b)):
        if run.status != "complete":
            yield f"run {name} was interrupted"


def _unlike(
    what: str, a: Mapping[str, Any], b: Mapping[str, Any], keys: tuple[str, ...] | None = None
) -> Iterator[str]:
    for key in keys or dict.fromkeys([*a, *b]):
        if a.get(key) != b.get(key):
            yield f"{what}: {key} is {_told(a.get(key))} in A, {_told(b.get(key))} in B"


def _told(value: Any) -> str:
    return "not known" if value is None else str(value)


def _names(plan: Mapping[str, Any]) -> str:
    """The requests of a plan, in short."""
    requests = plan.get("requests") or []
    names = [f"{one.get('method', 'GET')} {one.get('path')}" for one in requests]
    return ", ".join(names) or "none"


def _table(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = of.get(name)
    return value if isinstance(value, dict) else {}
