"""What is wrong with a plan, in words that help the person who wrote it."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from loadtests import redaction
from loadtests.exit_codes import Failure
from mock_upstream.profiles import paths
from mock_upstream.profiles.profile import unknown_tag
from mock_upstream.units.documents import listed

# What is said about a value, by the kind of mistake; the braces are filled with its limits.
_PHRASES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a table of key = value",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "list_type": "must be a list, in [ ]",
    "literal_error": "must be {expected}",
    "model_attributes_type": "must be a table of key = value",
    "model_type": "must be a table of key = value",
    "path_type": "must be a path, in quotes",
    "string_type": "must be text, in quotes",
    "tuple_type": "must be a list, in [ ]",
}


_LISTS = ("list_type", "tuple_type")


class PlanError(Failure, ValueError):
    """A plan that cannot be played; the message says what, where, which value and the way out."""


def no_such(kind: str, name: object, known: Iterable[str]) -> str:
    """Says that there is no such thing, with the nearest one that there is, or all of them."""
    names = list(known)
    nearest = get_close_matches(str(name), names, n=1)
    if nearest:
        return f"there is no {kind} {name!r}; did you mean {nearest[0]!r}?"
    return f"there is no {kind} {name!r}; there are: {', '.join(names) or 'none'}"


def mistakes(found: Iterable[tuple[tuple[str | int, ...], str]]) -> ValidationError:
    """What a validator raises for several mistakes, each with its key."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError("mistake", "{text}", {"text": text}), loc=key, input=None
        )
        for key, text in found
    ]
    return ValidationError.from_exception_data("plan", details)


def explain(
    error: ValidationError, model: type[BaseModel], data: Any, source: str = ""
) -> PlanError:
    """
    Every mistake that pydantic found in the data of a `model`, one a line, in our own words and
    without secrets.

    Args:
        data: as they were checked; the keys of the mistakes are theirs.
        source: the file that the data came from; leads each line.
    """
    lines = []
    for mistake in error.errors(include_url=False):
        # The value of a default that depends on a field which is wrong itself, and is told.
        if mistake["type"] == "default_factory_not_called":
            continue
        key, text = _explained(mistake, model, data)
        text = redaction.text(text)
        lines += [
            ": ".join(filter(None, (source, key, line)))
            for line in ([text] if key else text.splitlines())
        ]
    return PlanError(listed(lines))


def key_of(steps: Sequence[str | int]) -> str:
    """Where a value stands, as one writes it: load.levels[2]."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _explained(mistake: ErrorDetails, root: type[BaseModel], data: Any) -> tuple[str, str]:
    """The key of a mistake, and what is wrong there."""
    invented = paths.invented(mistake, data)
    steps: list[str | int] = []
    models: list[type[BaseModel]] = [root]
    field: FieldInfo | None = None
    for number, step in enumerate(mistake["loc"]):
        if number in invented:  # not a key: which of a union it is
            models = [model for model in models if _is_called(model, step)] or models
            continue
        steps.append(step)
        if mistake["type"] == "extra_forbidden" and number == len(mistake["loc"]) - 1:
            break
        found = [model for model in models if step in _fields(model)]
        if found:
            field = _fields(found[0])[str(step)]
            models = list(_models_in(field.annotation))
    if mistake["type"] == "recursion_depth_exceeded":
        return key_of(steps[:4]), "has too many tables in tables"
    key = key_of(steps)
    if mistake["type"] == "extra_forbidden":
        known = [name for model in models for name in _fields(model)]
        return key_of(steps[:-1]), no_such("key", steps[-1], known)
    if mistake["type"] == "value_error":
        return key, str(mistake["ctx"]["error"])
    if mistake["type"] == "mistake":
        return key, str(mistake["ctx"]["text"])
    if mistake["type"] in ("union_tag_invalid", "union_tag_not_found"):
        name, text = unknown_tag(mistake["ctx"])
        return key_of([*steps, name]), text
    if mistake["type"] == "missing":
        return key, f"is missing{_hint(steps, field)}"
    phrase = _PHRASES.get(mistake["type"])
    if phrase:
        text = phrase.format(**mistake.get("ctx", {}))
        if mistake["type"] == "literal_error":
            known = re.findall(r"'([^']+)'", mistake["ctx"]["expected"])
            nearest = get_close_matches(str(mistake["input"]), known, n=1)
            text += f"; did you mean {nearest[0]!r}?" if nearest else ""
    else:  # a kind that this table does not know yet
        text = mistake["msg"].replace("Input should be", "must be").replace("Input should", "must")
    tables = field is not None and any(_models_in(field.annotation))
    if tables and mistake["type"] in _LISTS and isinstance(mistake["input"], dict):
        text = f"must be a list of tables: write [[{key}]] in place of [{key}]"
    hidden = any(isinstance(step, str) and redaction.is_secret(step) for step in steps)
    value = redaction.MARK if hidden else shown(mistake["input"])
    return key, f"{value} {text}{_hint(steps, field)}"


def shown(value: Any) -> str:
    """A value as TOML would have it, cut short."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _hint(steps: Sequence[str | int], field: FieldInfo | None) -> str:
    """The way out, as far as the field knows it."""
    if field is not None and field.description:
        return f"; {field.description}"
    if field is None or not field.examples:
        return ""
    names = [step for step in steps if isinstance(step, str)]
    return f", for example {names[-1]} = {shown(field.examples[0])}"


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _is_called(model: type[BaseModel], name: str | int) -> bool:
    """Whether a union has the model under that name: its own, or that of its kind."""
    kinds = [get_args(field.annotation) for field in model.model_fields.values()]
    return name == model.__name__ or any(name in kind for kind in kinds)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
