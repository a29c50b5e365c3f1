"""Paths in a profile, dotted: `capacity.servers`, `routes.POST /charge.latency`."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue


def invented(problem: Mapping[str, Any], values: Any) -> set[int]:
    """
    Return which steps to the path of one of pydantic's complaints are not in the values.

    Such a step says which alternative of several was tried, as `token_bucket` does in
    `limits.0.token_bucket.per`. What is missing is no such step.
    """
    steps: Sequence[str | int] = problem["loc"]
    last = len(steps) - 1 if problem["type"] in ("missing", "mistake") else len(steps)
    found: set[int] = set()
    for number, step in enumerate(steps):
        if isinstance(values, Mapping):
            parts = {str(name): value for name, value in values.items()}
        elif isinstance(values, Sequence) and not isinstance(values, str):
            parts = {str(place): value for place, value in enumerate(values)}
        else:
            parts = {}
        if str(step) in parts:
            values = parts[str(step)]
        elif number < last:
            found.add(number)
    return found


def put(values: Any, path: str, value: JsonValue) -> Any:
    """
    A copy of JSON values with the one at a dotted path replaced; what is not there is made.

    In a list, elements are named by number, and routes also by method and path:
    `routes.0.latency`, `routes.POST /charge.latency`.

    Raises:
        ValueError: the path leads through something that has no parts.
    """
    return _put(values, path, value, path)


def _put(values: Any, rest: str, value: JsonValue, path: str) -> Any:
    if isinstance(values, list):
        number, after = _element(values, rest, path)
        changed = _put(values[number], after, value, path) if after else value
        return [*values[:number], changed, *values[number + 1 :]]
    if values is not None and not isinstance(values, dict):
        raise ValueError(f"{path}: {values!r:.60} is not a table")
    name, _, after = rest.partition(".")
    if not name:
        raise ValueError(f"{path!r} is not a dotted path, such as capacity.servers")
    values = values or {}
    return {**values, name: _put(values.get(name), after, value, path) if after else value}


def _element(values: list[Any], rest: str, path: str) -> tuple[int, str]:
    number, _, after = rest.partition(".")
    if number.isascii() and number.isdigit() and int(number) < len(values):
        return int(number), after
    names = [_route_name(value) for value in values]
    fitting = [name for name in names if rest == name or rest.startswith(f"{name}.")]
    if not fitting:
        raise ValueError(f"{path}: there is no {rest!r} among its {len(values)} elements")
    name = max(fitting, key=len)
    return names.index(name), rest[len(name) + 1 :]


def _route_name(value: Any) -> str:
    if not isinstance(value, Mapping) or "path" not in value:
        return "\0"  # the name of nothing
    return f"{value.get('method') or 'ANY'} {value['path']}"
