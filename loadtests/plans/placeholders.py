"""
Placeholders of a plan: `{env.NAME}` and `{file.PATH}` stand for a secret, and are all that a plan
and its records hold of it.

They are replaced where the secret is needed: in the process that sends a request, and when a
deployment is started.

In values that are no documents (variables, commands, headers, paths) an unknown name in braces is a
mistake, and `{{name}}` stands for the text `{name}`. In a body, braces other than those two stay.
"""

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import ValidationInfo

from loadtests import redaction
from loadtests.plans.errors import PlanError, key_of, mistakes
from loadtests.plans.fields import recordable
from loadtests.recording.messages import RequestSpec, Stage

T = TypeVar("T")

_PLACEHOLDER = re.compile(r"\{(env|file)\.([^{}]*)\}")
_NAME = r"[A-Za-z_][\w.-]*"
_ESCAPED = re.compile(rf"\{{(\{{\s*{_NAME}\s*\}})\}}", re.ASCII)
# A name in braces, twice in them, or something that begins as a secret's placeholder does.
_BRACES = re.compile(
    rf"\{{\{{\s*{_NAME}\s*\}}\}}|\$?\{{(\s*(?:{_NAME}|(?i:env|file)\b[^{{}}]*)\s*)\}}", re.ASCII
)
_EITHER = re.compile(f"{_ESCAPED.pattern}|{_PLACEHOLDER.pattern}", re.ASCII)
_FILLED = ("port", "upstream", "upstream_ca")
_FAR = {
    "port": "is filled in only in the command, env and stop of a command deployment",
    "upstream": "is filled in only in the command, env and stop of a deployment",
    "upstream_ca": "is filled in only in the command, env and stop of a deployment",
}
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


def strict(*names: str) -> Callable[[T, ValidationInfo], T]:
    """
    Return a validator for values in which each name in braces is a placeholder: it does what
    `checked` does, and refuses unknown ones.

    Args:
        names: that are filled in there besides `{env.NAME}` and `{file.PATH}`.
    """
    return _validator(lambda value: _leaves(value, ()), lambda text: _unknown(text, names))


def strict_words(*names: str) -> Callable[[T, ValidationInfo], T]:
    """
    Return the same for a command, as text or a list of words.

    `${NAME}` is a shell's. A word with spaces in it is a script, whose braces mean something to its
    interpreter: only names are refused there that nearly are a placeholder.
    """

    def words(value: object) -> _Leaves:
        if isinstance(value, str):
            return (((), word) for word in shlex.split(value))
        return _leaves(value, ())

    return _validator(words, lambda word: _unknown(word, names, in_command=True))


_Leaves = Iterator[tuple[tuple[str | int, ...], str]]


def _validator(
    texts: Callable[[object], _Leaves], unknown: Callable[[str], Iterator[str]]
) -> Callable[[T, ValidationInfo], T]:
    def check(value: T, info: ValidationInfo) -> T:
        wrong = [(steps, problem) for steps, text in texts(value) for problem in unknown(text)]
        if wrong:
            raise mistakes(wrong)
        return checked(value, info)

    return check


def none_in(text: str) -> None:
    """Raises ValueError when the text, in which nothing is filled in, has a name in braces."""
    found = _BRACES.search(text)
    if found is not None:
        raise ValueError(f"{found[0]} in {text!r}: no placeholder is filled in here; write a value")


def _unknown(text: str, names: Sequence[str], in_command: bool = False) -> Iterator[str]:
    """What is wrong with each name in braces that nothing is filled in for."""
    for found in _BRACES.finditer(text):
        inner = found[1]
        if inner is None:
            continue
        braced, name = f"{{{inner}}}", inner.strip()
        if inner in names or _PLACEHOLDER.fullmatch(braced) or braced == redaction.MARK:
            continue
        foreign = found[0].startswith("$") or (_is_script(text) and not _is_nearly(name, names))
        if not (in_command and foreign):
            yield f"there is no placeholder {braced}{_hint(name, names)}"


def _is_script(word: str) -> bool:
    return any(letter.isspace() for letter in word)


def _is_nearly(name: str, names: Sequence[str]) -> bool:
    """Whether a name is that of a placeholder but for a letter or two of a longer one."""
    return name in names or bool(get_close_matches(name.lower(), names, n=1, cutoff=0.8))


def _hint(name: str, names: Sequence[str]) -> str:
    """The way out for an unknown placeholder; begins with a comma, colon or semicolon."""
    literal = f". For the text {{{name}}} write {{{{{name}}}}}" if re.fullmatch(_NAME, name) else ""
    if name in _FAR and name not in names:
        return f" here: {{{name}}} {_FAR[name]}{literal}"
    kind, _, rest = re.sub(r"\W+", ".", name, count=1).partition(".")
    meant = get_close_matches(kind.lower(), ("env", "file"), n=1)
    if rest and meant:
        return f"; did you mean {{{meant[0]}.{rest}}}?{literal[1:]}"
    nearest = get_close_matches(name.lower(), names, n=1)
    if nearest:
        return f"; did you mean {{{nearest[0]}}}?{literal[1:]}"
    if name in os.environ or re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
        return f"; did you mean {{env.{name}}}?{literal[1:]}"
    known = ", ".join(f"{{{one}}}" for one in (*names, "env.NAME", "file.PATH"))
    return f"; there are: {known}{literal}"


def filled(text: str, escaped: Callable[[str], str] = str) -> str:
    """
    The text with the values of its placeholders. What these hold is not replaced again.

    Args:
        escaped: makes a value fit for the text.

    Raises:
        PlanError: a variable is not set, or a file cannot be read.
    """
    return _PLACEHOLDER.sub(lambda found: escaped(_value(found[1], found[2])), text)


def filled_strictly(text: str, escaped: Callable[[str], str] = str) -> str:
    """Fill a value that `strict` has checked, as `filled` does: `{{name}}` becomes `{name}`."""

    def value(found: re.Match[str]) -> str:
        return found[1] or escaped(_value(found[2], found[3]))

    return _EITHER.sub(value, text)


def filled_words(words: Sequence[str]) -> list[str]:
    """
    The words of a command; each value stays within its word. In a script, names in two braces that
    are not those of placeholders stay.

    Raises:
        PlanError: as for `filled`.
    """
    return [_filled_script(word) if _is_script(word) else filled_strictly(word) for word in words]


def _filled_script(text: str) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] is None:
            return _value(found[2], found[3])
        own = _is_nearly(found[1][1:-1].strip(), _FILLED) or _PLACEHOLDER.fullmatch(found[1])
        return found[1] if own else found[0]

    return _EITHER.sub(value, text)


def filled_environment(variables: Mapping[str, str | None]) -> dict[str, str | None]:
    """Variables of an environment. Raises PlanError."""
    return {name: text and filled_strictly(text) for name, text in variables.items()}


def filled_stage(stage: Stage) -> Stage:
    """The stage with its requests as they are sent. Raises PlanError."""
    return stage.model_copy(update={"requests": tuple(map(filled_request, stage.requests))})


def filled_request(spec: RequestSpec) -> RequestSpec:
    """The request as it is sent. Raises PlanError."""
    texts = (spec.path, spec.body or "", *spec.headers.values())
    if not any(_EITHER.search(text) for text in texts):
        return spec
    body = spec.body
    if body is not None:
        # Within JSON a value is escaped as its texts are.
        body = json.dumps(_mapped(json.loads(body), filled)) if spec.json_body else filled(body)
    return spec.model_copy(
        update={
            "path": filled_strictly(spec.path, lambda value: quote(value, safe="")),
            "headers": {name: filled_strictly(value) for name, value in spec.headers.items()},
            "body": body,
        }
    )


def check(plan: Mapping[str, Any]) -> None:
    """
    Check that each placeholder of a plan has a value.

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
            value = filled(text) if "json" in steps or "body" in steps else filled_strictly(text)
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
    yield from _leaves(plan.get("locust", {}).get("options"), ("locust", "options"))
    for name, deployment in plan.get("deployments", {}).items():
        for key in ("env", "command", "stop", "ready"):
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
