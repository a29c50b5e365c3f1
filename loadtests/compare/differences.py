"""Differences between two runs other than the service: a ratio may come from any of them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from loadtests.analysis.inputs.sample_parts import json_table
from loadtests.results import Run
from mock_upstream.units.documents import from_json

_LOAD = ("model", "levels", "settle", "measure", "think_time", "repeats", "restart")
_ENVIRONMENT = (
    "cpu",
    "cores",
    "cpu_quota",
    "cores_used",
    "memory",
    "system",
    "python",
    "implementation",
)
_REQUEST = ("method", "path", "weight", "timeout", "expect")
_SILENT = ("headers", "json", "body")  # long, or nobody else's business: the log of a CI is public
_MEMORY = 0.01  # of it: another kernel leaves a bit more or less of the same memory
_LONG = 100  # characters; more is not worth printing twice


def differences(a: Run, b: Run) -> list[str]:
    """
    A line for each; empty when the two are alike. What is compared, the deployments' commands,
    settings and commit, is none. Versions are those of brownout's own environment.
    """
    return [
        *_unlike("upstream", _profile(a.plan), _profile(b.plan)),
        *_requests(a.plan, b.plan),
        *_load(json_table(a.plan, "load"), json_table(b.plan, "load")),
        *_unlike("plan", {"telemetry": _tells(a.plan)}, {"telemetry": _tells(b.plan)}),
        *_unlike("environment", _machine(a.environment, b), _machine(b.environment, a)),
        *_unlike(
            "version", json_table(a.environment, "versions"), json_table(b.environment, "versions")
        ),
        *(f"run {n} was interrupted" for n, run in (("A", a), ("B", b)) if _cut(run)),
    ]


def _cut(run: Run) -> bool:
    return run.status != "complete"


def _profile(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The upstream as a table: a plan keeps what TOML has no word for as JSON."""
    value = plan.get("upstream")
    if isinstance(value, str):
        try:
            value = from_json(value)
        except ValueError:
            return {"profile": value}
    return value if isinstance(value, dict) else {}


def _requests(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    """Requests by name, and the users' own scenario by the name of its file."""
    yield from _unlike("plan", {"locustfile": _scenario(a)}, {"locustfile": _scenario(b)})
    in_a, in_b = _named(a), _named(b)
    if [*in_a] != [*in_b]:
        yield f"requests: {', '.join(in_a) or 'none'} in A, {', '.join(in_b) or 'none'} in B"
        return
    for name in in_a:
        yield from _unlike(f"request {name}", _only(in_a[name]), _only(in_b[name]))
        for key in _SILENT:
            if not _same(in_a[name].get(key), in_b[name].get(key)):
                yield f"request {name}: {key} is not the same in A and B"


def _scenario(plan: Mapping[str, Any]) -> str | None:
    return PurePath(str(plan["locustfile"])).name if plan.get("locustfile") else None


def _named(plan: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The requests in their order, by method and path; by name where it is another."""
    found: dict[str, Mapping[str, Any]] = {}
    for one in plan.get("requests") or []:
        short = f"{one.get('method', 'GET')} {one.get('path')}"
        usual = one.get("name") in (None, one.get("path"), short)
        found[short if usual else f"{one['name']} ({short})"] = one
    return found


def _only(request: Mapping[str, Any]) -> dict[str, Any]:
    return {key: request.get(key) for key in _REQUEST}


def _load(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    is_open = "open" in (a.get("model"), b.get("model"))
    keys: tuple[str, ...] = (*_LOAD, "arrivals") if is_open else _LOAD
    if a.get("measure") is None or b.get("measure") is None:  # as long as it had to be
        keys = tuple(key for key in keys if key != "measure")
    yield from _unlike("load", a, b, keys)


def _tells(plan: Mapping[str, Any]) -> bool:
    return bool(plan.get("telemetry", True))


def _machine(environment: Mapping[str, Any], other: Run) -> dict[str, Any]:
    """The environment's machine, without the memory if the other has as much."""
    found = {key: environment.get(key) for key in _ENVIRONMENT}
    size, another = environment.get("memory"), other.environment.get("memory")
    if isinstance(size, int):
        alike = isinstance(another, int) and abs(size - another) <= _MEMORY * max(size, another)
        found["memory"] = None if alike else f"{size / 1e9:.2f} GB"
    return found


def _unlike(
    what: str, a: Mapping[str, Any], b: Mapping[str, Any], keys: Sequence[str] | None = None
) -> Iterator[str]:
    for key in keys or dict.fromkeys([*a, *b]):
        one, other = a.get(key), b.get(key)
        if _same(one, other):
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _unlike(f"{what}: {key}", one, other)
        elif _long(one) or _long(other):
            yield f"{what}: {key} is not the same in A and B"
        else:
            yield f"{what}: {key} is {_as_text(one)} in A, {_as_text(other)} in B"


def _same(one: Any, other: Any) -> bool:
    """Whether two values mean the same; what is empty is as good as what is not there."""
    return bool(one == other) or (_empty(one) and _empty(other))


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, dict | list | str) and not value)


def _long(value: Any) -> bool:
    """Whether a value is too long, or too much of a structure, for a line."""
    nested = isinstance(value, list) and any(isinstance(item, dict | list) for item in value)
    return nested or isinstance(value, dict) or len(str(value)) > _LONG


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "not given" if _empty(value) else str(value)
