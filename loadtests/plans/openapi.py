"""
What an OpenAPI document offers to a plan: its operations, each with a path, a body and headers that
can be sent.

Values come from the document (`example`, `examples`, `default`, `const`, `enum`), else from
hypothesis-jsonschema, where it is installed. What is still missing is named.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
_DEEPEST = 12  # levels of a schema; one that holds itself has no end
_ANY = {"integer": 1, "number": 1.0, "boolean": True, "string": "1"}  # of parameters in a path
_ASIDE = re.compile(r"health|ready|live|metrics|openapi|docs|redoc|status|ping", re.IGNORECASE)


class Missing(Exception):
    """A value is required, and neither the document nor hypothesis-jsonschema has one."""


@dataclass(frozen=True, slots=True)
class Operation:
    """
    A method of a path. `path` has values in place of its parameters.

    `body` is the JSON to send, None without one; `statuses` those of success. `missing` names what
    must be filled in before it can be sent, `credentials` the security schemes that it wants.
    """

    method: str
    template: str
    path: str
    body: Any
    headers: Mapping[str, str]
    statuses: tuple[int, ...]
    missing: tuple[str, ...]
    credentials: tuple[str, ...]
    summary: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def is_aside(self) -> bool:
        """Whether it is about the service itself, such as its health."""
        return bool(_ASIDE.search(self.template))


def operations(document: Mapping[str, Any]) -> list[Operation]:
    """
    Return the operations in the order of the document.

    Args:
        document: of OpenAPI 3, as parsed JSON. What is not as it should be is left out.
    """
    found: list[Operation] = []
    paths = _table(document.get("paths"))
    for template, item in paths.items():
        if not template.startswith("/"):
            continue
        for method in _METHODS:
            operation = _table(item).get(method)
            if isinstance(operation, Mapping):
                shared = _table(item).get("parameters")
                found.append(_operation(document, template, method, operation, _list(shared)))
    return found


def bare(method: str, path: str) -> Operation:
    """Return an operation of which nothing more is known."""
    return Operation(method, path, path, None, {}, (), (), (), "")


def first(found: list[Operation]) -> Operation | None:
    """The operation that is most likely to be measured: a GET without parameters if there is."""
    return min(
        found,
        key=lambda one: (
            one.is_aside,
            bool(one.missing),
            one.method != "GET",
            "{" in one.template,
            bool(one.credentials),
        ),
        default=None,
    )


def _operation(
    document: Mapping[str, Any],
    template: str,
    method: str,
    operation: Mapping[str, Any],
    shared: list[Any],
) -> Operation:
    missing: list[str] = []
    path, query, headers = template, list[str](), dict[str, str]()
    parameters: dict[tuple[str, str], Mapping[str, Any]] = {}
    for one in [*shared, *_list(operation.get("parameters"))]:
        resolved = _table(_resolved(document, one))
        parameters[str(resolved.get("in")), str(resolved.get("name"))] = resolved
    for (place, name), one in parameters.items():
        if place != "path" and not one.get("required"):
            continue
        try:
            text = _text(_parameter(document, one, is_path=place == "path"))
        except Missing:
            missing.append(f"the {place} parameter {name}")
            continue
        if place == "path":
            path = path.replace(f"{{{name}}}", quote(text, safe=""))
        elif place == "query":
            query.append(f"{quote(name, safe='')}={quote(text, safe='')}")
        elif place == "header":
            headers[name] = text
    if unfilled := re.findall(r"\{([^{}]*)\}", path):
        path = re.sub(r"\{([^{}]*)\}", "1", path)
        missing += [f"the path parameter {name}" for name in unfilled if name not in str(missing)]
    body, lacks = _body(document, operation)
    return Operation(
        method.upper(),
        template,
        path + (f"?{'&'.join(query)}" if query else ""),
        body,
        headers,
        _statuses(operation),
        (*missing, *lacks),
        _credentials(document, operation),
        str(operation.get("summary") or ""),
    )


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """The JSON to send, and what is missing."""
    request = _table(_resolved(document, operation.get("requestBody")))
    content = _table(request.get("content"))
    media = next((m for kind, m in content.items() if re.search(r"[/+]json\b", kind)), None)
    if media is None:
        kinds = ", ".join(content)
        return None, [f"a body of {kinds}"] if content and request.get("required") else []
    try:
        return _of_media(document, _table(media)), []
    except Missing as error:
        return None, [f"a body: {error}"] if request.get("required") else []


def _of_media(document: Mapping[str, Any], media: Mapping[str, Any]) -> Any:
    if "example" in media:
        return media["example"]
    for example in _table(media.get("examples")).values():
        resolved = _table(_resolved(document, example))
        if "value" in resolved:
            return resolved["value"]
    return _value(document, media.get("schema"), "")


def _parameter(document: Mapping[str, Any], one: Mapping[str, Any], *, is_path: bool) -> Any:
    schema = _table(_resolved(document, one.get("schema")))
    kind = str(schema.get("type"))
    # The simplest integer is 0, which identifies nothing as a rule.
    plain = is_path and kind in _ANY and schema.keys() <= {"type", "title", "description"}
    if plain and not one.keys() & {"example", "examples"}:
        return _ANY[kind]
    try:
        return _of_media(document, one)
    except Missing:
        if is_path and kind in _ANY:
            return _ANY[kind]
        raise


def _value(document: Mapping[str, Any], schema: Any, where: str, depth: int = 0) -> Any:
    """
    Return an example of a schema; of an object its required properties, and those with an example.

    Raises:
        Missing: there is none for a part that is required; the message names the part.
    """
    resolved = _resolved(document, schema)
    if not isinstance(resolved, Mapping) or depth > _DEEPEST:
        raise Missing(where or "of any kind")
    for key in ("example", "default", "const"):
        if key in resolved:
            return resolved[key]
    for key in ("examples", "enum"):
        if _list(resolved.get(key)):
            return resolved[key][0]
    for part in (*_list(resolved.get("anyOf")), *_list(resolved.get("oneOf"))):
        if _table(_resolved(document, part)).get("type") != "null":
            return _value(document, part, where, depth + 1)
    if parts := _list(resolved.get("allOf")):
        return _all_of(document, parts, where, depth)
    match resolved.get("type"):
        case "object":
            return _object(document, resolved, where, depth)
        case "array" if not resolved.get("minItems"):
            return []
        case "array":
            return [_value(document, resolved.get("items"), f"{where}[0]", depth + 1)]
        case "null":
            return None
    return _generated(_inlined(document, resolved), where)


def _object(document: Mapping[str, Any], schema: Mapping[str, Any], where: str, depth: int) -> Any:
    required = _list(schema.get("required"))
    found = {}
    for name, part in _table(schema.get("properties")).items():
        inner = f"{where}.{name}" if where else str(name)
        try:
            value = _value(document, part, inner, depth + 1)
        except Missing:
            if name in required:
                raise
            continue
        if name in required or _has_example(document, part):
            found[name] = value
    return found


def _all_of(document: Mapping[str, Any], parts: list[Any], where: str, depth: int) -> Any:
    values = [_value(document, part, where, depth + 1) for part in parts]
    if all(isinstance(value, dict) for value in values):
        return {name: item for value in values for name, item in value.items()}
    return values[0]


def _has_example(document: Mapping[str, Any], schema: Any) -> bool:
    resolved = _table(_resolved(document, schema))
    return any(key in resolved for key in ("example", "examples", "default", "const"))


def _generated(schema: Mapping[str, Any], where: str) -> Any:
    """Return the simplest value of a schema without references. Raises Missing."""
    make = _generator()
    if make is None:
        kind = schema.get("type")
        raise Missing(f"{where or 'its value'} ({kind})" if kind else where or "its value")
    try:
        return make(schema)
    except Exception as error:  # of a schema that is none, in whatever words
        raise Missing(where or "its value") from error


def _generator() -> Callable[[Mapping[str, Any]], Any] | None:
    """Return what makes a value of a schema; None: hypothesis-jsonschema is not installed."""
    try:
        from hypothesis import HealthCheck, find, settings
        from hypothesis_jsonschema import from_schema
    except ImportError:
        return None

    def make(schema: Mapping[str, Any]) -> Any:
        quick = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
        return find(from_schema(dict(schema)), lambda _: True, settings=quick)

    return make


def can_generate() -> bool:
    """Return whether hypothesis-jsonschema is installed."""
    return _generator() is not None


def _inlined(document: Mapping[str, Any], schema: Any, depth: int = 0) -> Any:
    """The schema with what its references stand for."""
    if depth > _DEEPEST:
        return {}
    if isinstance(schema, Mapping):
        resolved = _resolved(document, schema)
        if not isinstance(resolved, Mapping):
            return {}
        return {key: _inlined(document, part, depth + 1) for key, part in resolved.items()}
    if isinstance(schema, list):
        return [_inlined(document, part, depth + 1) for part in schema]
    return schema


def _resolved(document: Mapping[str, Any], value: Any) -> Any:
    """The value, or what its reference within the document leads to; None where that is nothing."""
    for _ in range(_DEEPEST):
        if not isinstance(value, Mapping) or "$ref" not in value:
            return value
        steps = str(value["$ref"]).removeprefix("#/").split("/")
        value = document
        for step in steps:
            value = _table(value).get(step.replace("~1", "/").replace("~0", "~"))
    return None


def _statuses(operation: Mapping[str, Any]) -> tuple[int, ...]:
    codes = (str(code) for code in _table(operation.get("responses")))
    return tuple(int(code) for code in codes if re.fullmatch(r"2\d\d", code))


def _credentials(document: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[str, ...]:
    wanted = operation.get("security", document.get("security"))
    return tuple(dict.fromkeys(name for one in _list(wanted) for name in _table(one)))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _table(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def wanted(found: list[Operation], text: str) -> Iterator[Operation]:
    """The operations of a path or of a method and a path, such as "POST /orders"."""
    method, path = split(text)
    for one in found:
        pattern = re.sub(r"\\\{[^{}]*\\\}", "[^/]+", re.escape(one.template))
        if method in (None, one.method) and re.fullmatch(pattern, path.partition("?")[0]):
            yield one


def split(text: str) -> tuple[str | None, str]:
    """The method (None: any) and the path of a text such as "POST /orders"."""
    method, space, path = text.strip().partition(" ")
    return (method.upper(), path.strip()) if space else (None, method)
