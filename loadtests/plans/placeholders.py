"""
Placeholders of a plan: `{env.NAME}` and `{file.PATH}` stand for a secret, and are all that a plan
and its records hold of it.

They are replaced where the secret is needed: in the process that sends a request, and when a
deployment is started.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import ValidationInfo

from loadtests import redaction
from loadtests.plans.errors import PlanError, key_of
from loadtests.plans.fields import recordable
from loadtests.recording.messages import RequestSpec, Stage

T = TypeVar("T")

_PLACEHOLDER = re.compile(r"\{(env|file)\.([^{}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST = 1 << 20  # bytes of a file
_NOT_IN_HEADERS = re.compile(r"[\r\n\x00]")


def checked(value: T, info: ValidationInfo) -> T:
    """
    A value of a plan, in which the paths of placeholders are absolute.

    Raises:
        ValueError: a placeholder that names no variable, or no file.
    """
    folder = Path((info.context or {}).get("folder") or ".")

    def placed(text: str) -> str:
        return _PLACEHOLDER.sub(lambda found: _placed(found[1], found[2], folder), text)

    shown: T = _mapped(value, placed)
    return shown


def filled(text: str, escaped: Callable[[str], str] = str) -> str:
    """
    The text with the values of its placeholders. What these hold is not replaced again.

    Args:
        escaped: makes a value fit for the text.

    Raises:
        PlanError: a variable is not set, or a file cannot be read.
    """
    return _PLACEHOLDER.sub(lambda found: escaped(_value(found[1], found[2])), text)


def filled_words(words: Sequence[str]) -> list[str]:
    """The words of a command; each value stays within its word. Raises PlanError."""
    return [filled(word) for word in words]


def filled_environment(variables: Mapping[str, str | None]) -> dict[str, str | None]:
    """Variables of an environment. Raises PlanError."""
    return {name: text and filled(text) for name, text in variables.items()}


def filled_stage(stage: Stage) -> Stage:
    """The stage with its requests as they are sent. Raises PlanError."""
    return stage.model_copy(update={"requests": tuple(map(_filled_request, stage.requests))})


def check(plan: Mapping[str, Any]) -> None:
    """
    Nothing, if all that the placeholders of a plan stand for is there.

    Args:
        plan: as a table.

    Raises:
        PlanError: what is missing, one a line, and the way out; a value of a recorded plan that
            was redacted is missing, too.
    """
    wrong: list[str] = []
    for steps, text in _texts(plan):
        where = key_of(steps)
        if redaction.MARK in text:
            wrong.append(
                f"{where}: the value was {redaction.MARK} when this plan was recorded; write it "
                "there, or better {env.NAME}, which is recorded as it stands"
            )
        try:
            value = filled(text)
        except PlanError as error:
            wrong.append(f"{where}: {error}")
            continue
        if "headers" in steps and _NOT_IN_HEADERS.search(value):
            wrong.append(f"{where}: {text!r} stands for several lines, which no header can carry")
        elif "\0" in value:
            wrong.append(f"{where}: {text!r} stands for a NUL character, which cannot be passed on")
    if wrong:
        raise PlanError("\n".join(wrong))


def _texts(plan: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The texts of a plan that may hold placeholders, each with its key."""
    for index, request in enumerate(plan.get("requests", ())):
        for key in ("headers", "json", "body", "path"):
            yield from _leaves(request.get(key), ("requests", index, key))
    for name, deployment in plan.get("deployments", {}).items():
        for key in ("env", "command", "stop"):
            yield from _leaves(deployment.get(key), ("deployments", name, key))


def _leaves(
    value: object, steps: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield steps, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*steps, key))
    elif isinstance(value, Sequence):
        for index, item in enumerate(value):
            yield from _leaves(item, (*steps, index))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """The value with each of its texts changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(item, change) for item in value)
    return value


def _placed(kind: str, name: str, folder: Path) -> str:
    if kind == "env":
        if not _VARIABLE.fullmatch(name):
            raise ValueError(
                f"{{env.{name}}} names no variable: letters, digits and _, no digit first"
            )
        return f"{{env.{name}}}"
    if not name.strip():
        raise ValueError("{file.} names no file; write {file.token.txt}")
    return f"{{file.{recordable((folder / name).absolute())}}}"


def _value(kind: str, name: str) -> str:
    placeholder = f"{{{kind}.{name}}}"
    if kind == "env":
        if name not in os.environ:
            raise PlanError(
                f"{placeholder}: the environment has no {name}; set it before brownout starts"
            )
        value = os.environ[name]
    else:
        value = _content(placeholder, Path(name))
    redaction.remember(value)
    return value


def _content(placeholder: str, path: Path) -> str:
    """A file's text without its last line end."""
    try:
        if path.exists() and not path.is_file():
            raise PlanError(f"{placeholder}: that is not a file")
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise PlanError(f"{placeholder}: the file is larger than {_LARGEST:,} bytes")
        return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise PlanError(f"{placeholder}: the file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PlanError(f"{placeholder}: the file is not text in UTF-8") from None


def _filled_request(spec: RequestSpec) -> RequestSpec:
    texts = (spec.path, spec.body or "", *spec.headers.values())
    if not any(_PLACEHOLDER.search(text) for text in texts):
        return spec
    body = spec.body
    if body is not None:
        # Within JSON a value is escaped as its texts are.
        body = json.dumps(_mapped(json.loads(body), filled)) if spec.json_body else filled(body)
    return spec.model_copy(
        update={
            "path": filled(spec.path, lambda value: quote(value, safe="")),
            "headers": {name: filled(value) for name, value in spec.headers.items()},
            "body": body,
        }
    )
