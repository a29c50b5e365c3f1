"""
Redaction: what is written or shown of a plan, a command or a log holds no secret.

A text is hidden for one of three reasons: it stands under a name that says so (a header, a
variable, a key of JSON, an option, a parameter of a URL), it is the user part of a URL, or it is a
value that this process knows to be secret. What is hidden becomes `{redacted}`; placeholders stay.
"""

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from loadtests import private_files
from loadtests.recording.messages import RequestSpec, Stage

MARK = "{redacted}"
SHORTEST = 4
"""Characters: a known value that is shorter is hidden in its own place alone, since it is likely to
be part of other texts."""
_SHORTEST_LITERAL = 8  # the same, for a value that is only known by the name it stands under
_SHORTEST_LINE = 8  # the same, for a line of a longer value

_SECRET = re.compile(
    r"authori[sz]ation|cookie|token|secret|passw|passphrase|pwd|credential|signature"
    r"|key(?!word|board)"
    r"|(?<![a-z])(?:auth|pass|pin|otp|jwt|sid|sig|dsn|session)(?![a-z])",
    re.IGNORECASE,
)
_NAMES_A_PLACE = re.compile(r"(?:file|path|dir|url|uri|host|port)$", re.IGNORECASE)
_SECRET_NUMBER = re.compile(r"secret|passw|pwd|credential|(?<![a-z])(?:pin|otp)", re.IGNORECASE)
_KEPT = re.compile(r"\{(?:(?:env|file)\.[^{}]+|port|upstream|upstream_ca|redacted)\}")
_SCHEME = re.compile(r"\s*(?:bearer|basic|digest|token|apikey)\s+", re.IGNORECASE)
_FRAME = re.compile(  # what may stand around a placeholder: schemes, names, separators
    r"\s*(?:(?:bearer|basic|digest|token|apikey)\s+|[\w.-]{1,64}[:=]\s*|[;,&]\s*)*", re.IGNORECASE
)

_VALUE = r"""("[^"\n]{0,4096}"|'[^'\n]{0,4096}'|[^\s&;,"']+)"""
_ASSIGNED = re.compile(rf"([\w.-]{{1,64}})(=){_VALUE}")
_OPTION = re.compile(rf"(?<![\w-])(--?[\w-]{{1,64}})(\s+)(?!-){_VALUE}")
_HEADER = re.compile(
    r"(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie"
    r"|x-[\w-]{0,40}(?:key|token|auth|secret)[\w-]{0,40})"
    r"(\s*:\s*)([^\r\n\"']+)",
    re.IGNORECASE,
)
_MEMBER = re.compile(r"""(["'][\w.-]{1,64}["'])(\s*:\s*)("[^"\n]{0,4096}"|'[^'\n]{0,4096}')""")
_USER_PART = re.compile(r"""(\b[\w+.-]{2,16}://)([^\s/@?#"']{1,512})@""")

_known: set[str] = set()  # of this process, as its environment is


def remember(value: str) -> None:
    """Have `masked` hide the value from now on, also where it is escaped, and each of its lines."""
    if len(value) < SHORTEST:
        return
    lines = [line.strip() for line in value.splitlines()]
    for text in (value, *(line for line in lines if len(line) >= _SHORTEST_LINE)):
        _known.update((text, quote(text, safe=""), quote(text), json.dumps(text)[1:-1]))


def masked(text: str) -> str:
    """The text without the values that are known to be secret."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, MARK)
    return text


def scrub(folder: Path) -> None:
    """
    Take the known values out of the files in a folder. What cannot be written stays as it is.

    A file is read a line at a time: a value of several lines is found by its lines.
    """
    values = sorted((value.encode() for value in _known), key=len, reverse=True)
    for path in folder.rglob("*") if values else ():
        if path.is_file() and not path.is_symlink():
            with suppress(OSError):
                _scrub(path, values)


def is_secret(name: str) -> bool:
    """Whether a value of that name is one to hide: a header, variable, key, option or parameter."""
    return bool(_SECRET.search(name)) and not _NAMES_A_PLACE.search(name)


def text(text: str) -> str:
    """A text, such as a URL, a script or the end of a log, without what its names say is secret."""
    text = _USER_PART.sub(lambda found: f"{found[1]}{_hidden(found[2])}@", text)
    for pattern in (_HEADER, _MEMBER, _ASSIGNED, _OPTION):
        text = pattern.sub(_of_match, text)
    return masked(text)


def named(values: Mapping[str, str]) -> dict[str, str]:
    """Headers, or variables of an environment."""
    return {name: _of_name(name, value) for name, value in values.items()}


def words(argv: Sequence[str]) -> list[str]:
    """The words of a command: `--token=x`, and x in `--token x`."""
    found: list[str] = []
    hiding = False
    for word in argv:
        if hiding and not word.startswith("-"):
            found.append(_hidden(word))
            hiding = False
            continue
        hiding = word.startswith("-") and "=" not in word and is_secret(word)
        found.append(text(word))
    return found


def command(command: str | list[str]) -> str | list[str]:
    """A command of a plan; a text in which something was hidden becomes a list of its words."""
    split = shlex.split(command) if isinstance(command, str) else command
    shown = words(split)
    return command if shown == split else shown


def payload(value: Any, name: str = "") -> Any:
    """A JSON value, which stands under a name; numbers of passwords alone are hidden."""
    if isinstance(value, dict):
        return {key: payload(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [payload(item, name) for item in value]
    if isinstance(value, str):
        return _of_name(name, value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return MARK if _SECRET_NUMBER.search(name) else value
    return value


def body(content: str) -> str:
    """A request's body: JSON, a form, or another text."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return text(content)
    shown = payload(value)
    return content if shown == value else json.dumps(shown)


def of_plan(data: Mapping[str, Any]) -> dict[str, Any]:
    """A plan as a table. What its upstream answers is not a secret and stays as it is."""
    requests = [_request(request) for request in data.get("requests", ())]
    deployments = {name: of_deployment(one) for name, one in data.get("deployments", {}).items()}
    locust = _shown(data.get("locust", {}), {"options": payload})
    shown = {"requests": requests, "deployments": deployments, "locust": locust}
    return {**data, **{key: value for key, value in shown.items() if key in data}}


def of_deployment(table: Mapping[str, Any]) -> dict[str, Any]:
    """A deployment of a plan, or how it was started."""
    ways: dict[str, Callable[[Any], Any]] = {
        "env": named,
        "argv": words,
        "command": command,
        "stop": command,
        "ready": _ready,
    }
    return _shown(table, ways)


def _ready(value: Any) -> Any:
    """What a deployment is asked to know whether it is up: a path, or a table."""
    if isinstance(value, Mapping):
        return _shown(value, {"headers": named, "path": text})
    return text(value)


def of_stage(stage: Stage) -> Stage:
    """A stage, as it is recorded."""
    return stage.model_copy(update={"requests": tuple(map(_spec, stage.requests))})


def _scrub(path: Path, values: Sequence[bytes]) -> None:
    with path.open("rb") as file:
        if not any(value in line for line in file for value in values):
            return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with path.open("rb") as file, open(draft, "wb", opener=private_files.opener) as shown:
            for line in file:
                for value in values:
                    line = line.replace(value, MARK.encode())
                shown.write(line)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _request(request: Mapping[str, Any]) -> dict[str, Any]:
    return _shown(request, {"headers": named, "json": payload, "body": body, "path": text})


def _shown(table: Mapping[str, Any], ways: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """A table in which each value is shown in the way of its key; without one, as it is."""
    return {key: ways[key](value) if key in ways else value for key, value in table.items()}


def _spec(spec: RequestSpec) -> RequestSpec:
    return spec.model_copy(
        update={
            "headers": named(spec.headers),
            "body": None if spec.body is None else body(spec.body),
            "path": text(spec.path),
        }
    )


def _of_match(found: re.Match[str]) -> str:
    """The match with the name, the separator and the quotes kept, and the value hidden."""
    name, between, value = found.groups()
    if not is_secret(name.strip("\"'")):
        return found[0]
    mark = value[0] if value[0] in "\"'" else ""
    return f"{name}{between}{mark}{_hidden(value.strip(mark) if mark else value)}{mark}"


def _of_name(name: str, value: str) -> str:
    return _hidden(value) if is_secret(name) else text(value)


def _hidden(value: str) -> str:
    """The mark in place of the value; placeholders, and names around them, stay."""
    places = [match.span() for match in _KEPT.finditer(value)]
    if not places:
        scheme = _SCHEME.match(value)
        kept = scheme[0] if scheme else ""
        _remember_literal(value[len(kept) :])
        return kept + MARK if value[len(kept) :] else value
    shown, last = "", 0
    for start, end in [*places, (len(value), len(value))]:
        literal = value[last:start]
        if literal and not _FRAME.fullmatch(literal):
            _remember_literal(literal)
            literal = MARK
        shown += literal + value[start:end]
        last = end
    return shown


def _remember_literal(value: str) -> None:
    if len(value.strip()) >= _SHORTEST_LITERAL:
        remember(value.strip())
