"""
Redaction: what is written or shown of a plan, a command, a log or a request holds no secret.

A text is hidden for one of three reasons: it stands under a name that says so (a header, a
variable, a key of JSON, an option, a parameter of a URL), it is the user part of a URL, or it is a
value that this process knows to be secret. What is hidden becomes `{redacted}`; placeholders stay.
"""

import binascii
import html
import json
import os
import re
import shlex
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, unquote

from loadtests import private_files
from loadtests.characters import printable
from loadtests.recording.messages import (
    GeneratorDone,
    GeneratorLost,
    Message,
    Report,
    RequestSpec,
    Stage,
)

Reported = TypeVar("Reported", bound=Message)

MARK = "{redacted}"
SHORTEST = 4
"""Characters: a known value that is shorter is hidden in its own place alone, since it is likely to
be part of other texts."""
_SHORTEST_LITERAL = 8  # the same, for a value that is only known by the name it stands under
_SHORTEST_LINE = 8  # the same, for a line of a longer value
_SHORTEST_CODED = 8  # the same, for a part of a value in base64 or in hexadecimal digits
_BLOCK = 1 << 20  # bytes
_MOST_LITERALS = 200  # values that are known by their names; each text is searched for all of them

_SECRET = re.compile(
    r"authori[sz]ation|cookie|token|secret|passw|passphrase|pwd|credential|signature"
    r"|key(?!word|board)|sess(?:ion)?[_-]?id"
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

_QUOTED = r"""\"(?:[^\"\\\n]|\\.){0,4096}\"|'(?:[^'\\\n]|\\.){0,4096}'"""
_VALUE = rf"((?:(?:bearer|basic|digest)[ \t]+)?(?:{_QUOTED}|[^\s&;,\"']+))"
_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie"
        r"|x-[\w-]{0,40}(?:key|token|auth|secret)[\w-]{0,40})"
        r"(\s*:\s*)([^\r\n\"']+)",  # headers
        r"(?<![\w-])([\w-]{0,40}(?:passw(?:or)?d|passphrase|secret|api[_-]?key))"
        r"([ \t]*:[ \t]*)([^\s,;\"']{4,})",  # YAML
        rf"(\\?[\"'][\w.-]{{1,64}}\\?[\"'])(\s*:\s*)"  # JSON, also within a text of JSON
        rf"(\\\"[^\"\\\n]{{0,4096}}\\\"|{_QUOTED})",
        rf"(?<![\w.-])([\w.-]{{1,64}})(=){_VALUE}",  # parameters and variables
        r"(?<![\w.-])([\w.-]{1,64})(%3d)([^\s&;,\"'%]+)",  # parameters within one
        rf"(?<![\w.-])([\w.-]{{1,64}})([ \t]{{1,2}}=[ \t]{{1,2}})({_QUOTED})",  # TOML
        rf"(?<![\w-])(--?[\w-]{{1,64}})(\s+)(?!-){_VALUE}",  # options
    )
]
_USER_PART = re.compile(r"""(\b[\w+.-]{2,16}://)([^\s/?#"']{1,512})@""")
_QUOTE = re.compile(r"""\\?["']""")

_known: set[str] = set()  # of this process, as its environment is
_literals: set[str] = set()  # those that are known by the name they stand under


def remember(value: str) -> None:
    """
    Have `masked` hide the value from now on, also where it is escaped or coded, and each of its
    lines.
    """
    if len(value) < SHORTEST or value in _known:
        return
    lines = [line.strip() for line in value.splitlines()]
    for text in (value, *(line for line in lines if len(line) >= _SHORTEST_LINE)):
        _known.update(_forms(text))
    longest_first.cache_clear()


_NOT_QUOTED = (
    *("", "/", "!#$%&'()*+,/:;=?@[]~"),  # urllib's two, requests'
    *("!~*'()", ";,/?:@&=+$!~*'()#"),  # encodeURIComponent and encodeURI of browsers
)


def _forms(text: str) -> set[str]:
    """
    The spellings of a value in URLs, forms, HTML, JSON, Python, base64 and hexadecimal, and in one
    of these within another, such as JSON in JSON.
    """
    once = {text, *_escaped(text)}
    return once.union(*map(_escaped, once), *map(_coded, once))


def _escaped(text: str) -> Iterator[str]:
    for escaped in (quote_plus(text), *(quote(text, safe=kept) for kept in _NOT_QUOTED)):
        yield escaped
        yield re.sub("%..", lambda found: found[0].lower(), escaped)
    yield html.escape(text)
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    yield repr(text.encode(errors="replace"))[2:-1]


def _coded(text: str) -> Iterator[str]:
    content = text.encode(errors="replace")
    coded = [content.hex(), b64encode(content).decode()]
    for before in range(3):  # bytes in the same group of three, such as the end of a user's name
        group = b64encode(bytes(before) + content).decode().rstrip("=")
        # A character at an edge holds bits of the bytes next to the value.
        coded.append(group[(0, 2, 3)[before] : len(group) - bool((before + len(content)) % 3)])
    for one in coded:
        if len(one) >= _SHORTEST_CODED:
            yield one
            yield one.replace("+", "-").replace("/", "_")


@lru_cache(maxsize=1)
def longest_first() -> list[str]:
    """The values that `masked` hides."""
    return sorted(_known, key=len, reverse=True)


def masked(text: str) -> str:
    """The text without the values that are known to be secret."""
    for value in longest_first():
        text = text.replace(value, MARK)
    return text


def scrub(folder: Path) -> None:
    """
    Take the known values out of the files in a folder. What cannot be written stays as it is.

    A file is read a block at a time: a program can print lines without end.
    """
    values = [value.encode(errors="surrogateescape") for value in longest_first()]
    for place, _, names in os.walk(folder) if values else ():
        for path in (Path(place, name) for name in names):
            with suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    _scrub(path, values)


def is_secret(name: str) -> bool:
    """Whether a value of that name is one to hide: a header, variable, key, option or parameter."""
    return bool(_SECRET.search(name)) and not _NAMES_A_PLACE.search(name)


def text(text: str) -> str:
    """
    A text, such as an answer or the end of a log, without what its names say is secret.

    What is hidden for its name is not remembered: a service can answer any number of them.
    """
    return _without_secrets(text, lambda _: None)


def own_text(text: str) -> str:
    """Hide secrets in a text of the user, such as a URL, and remember their values."""
    return _without_secrets(text, _remember_literal)


def of_report(message: Reported, names: Collection[str]) -> Reported:
    """
    What a generator reports, without secrets: a locustfile's request is named by its URL unless it
    says otherwise, and a failure by what an exception or an answer says.

    Args:
        names: of the plan's requests, which stay.
    """
    match message:
        case Report():
            slices = [
                part.model_copy(
                    update={
                        "request": part.request
                        if part.request in names
                        else _shown_name(part.request),
                        "kinds": _added_up(part.kinds),
                    }
                )
                for part in message.slices
            ]
            return message.model_copy(update={"slices": tuple(slices)})
        case GeneratorDone():
            apart = [
                one.model_copy(update={"name": _shown_name(one.name)}) for one in message.apart
            ]
            update = {"apart": tuple(apart), "errors": _added_up(message.errors)}
            return message.model_copy(update=update)
        case GeneratorLost():
            return message.model_copy(update={"reason": _shown_name(message.reason)})
    return message


def _shown_name(text: str) -> str:
    return _again(text, len(_known))


@lru_cache(maxsize=4096)
def _again(text: str, known: int) -> str:
    """What is shown of a text that comes again and again, while this many values are known."""
    return printable(own_text(text))


def _added_up(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts by texts without secrets, which can be the same for several."""
    shown: Counter[str] = Counter()
    for text, count in counts.items():
        shown[_shown_name(text)] += count
    return dict(shown)


def _without_secrets(text: str, remember: Callable[[str], None]) -> str:
    """
    Args:
        remember: is called with each value that is hidden for its name.
    """

    def of_user(found: re.Match[str]) -> str:
        password = found[2].partition(":")[2]
        for secret in {found[2], password, unquote(password)}:
            if not _KEPT.search(secret):
                remember(secret)
        return f"{found[1]}{_hidden(found[2], remember)}@"

    text = _USER_PART.sub(of_user, masked(text))
    for pattern in _PATTERNS:
        text = pattern.sub(lambda found: _of_match(found, remember), text)
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
        found.append(own_text(word))
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
        return own_text(content)
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
        return _shown(value, {"headers": named, "path": own_text})
    return own_text(value)


def of_stage(stage: Stage) -> Stage:
    """A stage, as it is recorded."""
    return stage.model_copy(update={"requests": tuple(map(_spec, stage.requests))})


def _scrub(path: Path, values: Sequence[bytes]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    found, rest, overlap = False, b"", len(values[0]) - 1
    try:
        with path.open("rb") as file, open(draft, "wb", opener=private_files.opener) as shown:
            while block := file.read(_BLOCK):
                hidden = rest + block
                for value in values:
                    found = found or value in hidden
                    hidden = hidden.replace(value, MARK.encode())
                # The beginning of a value may stand at the end of a block.
                rest = hidden[-overlap:]
                shown.write(hidden[:-overlap])
            shown.write(rest)
        if not found:
            draft.unlink()
            return
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _request(request: Mapping[str, Any]) -> dict[str, Any]:
    return _shown(request, {"headers": named, "json": payload, "body": body, "path": own_text})


def _shown(table: Mapping[str, Any], ways: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """A table in which each value is shown in the way of its key; without one, as it is."""
    return {key: ways[key](value) if key in ways else value for key, value in table.items()}


def _spec(spec: RequestSpec) -> RequestSpec:
    return spec.model_copy(
        update={
            "headers": named(spec.headers),
            "body": None if spec.body is None else body(spec.body),
            "path": own_text(spec.path),
        }
    )


def _of_match(found: re.Match[str], remember: Callable[[str], None]) -> str:
    """The match with the name, the separator and the quotes kept, and the value hidden."""
    name, between, value = found.groups()
    if not is_secret(name.strip("\\\"'")):
        return found[0]
    quote = _QUOTE.match(value)
    mark = quote[0] if quote else ""
    inner = value[len(mark) : -len(mark)] if mark else value
    return f"{name}{between}{mark}{_hidden(inner, remember)}{mark}"


def _of_name(name: str, value: str) -> str:
    return _hidden(value) if is_secret(name) else own_text(value)


def _hidden(value: str, remember: Callable[[str], None] | None = None) -> str:
    """The mark in place of the value; placeholders, and names around them, stay."""
    remember = remember or _remember_literal
    places = [match.span() for match in _KEPT.finditer(value)]
    if not places:
        scheme = _SCHEME.match(value)
        kept = scheme[0] if scheme else ""
        remember(value[len(kept) :])
        return kept + MARK if value[len(kept) :] else value
    shown, last = "", 0
    for start, end in [*places, (len(value), len(value))]:
        literal = value[last:start]
        if literal and not _FRAME.fullmatch(literal):
            remember(literal)
            literal = MARK
        shown += literal + value[start:end]
        last = end
    return shown


def _remember_literal(value: str) -> None:
    """Remember a value that was hidden for its name, and what it is made of."""
    for secret in (value, *_parts(value)):
        secret = secret.strip()
        if len(secret) >= _SHORTEST_LITERAL and len(_literals) < _MOST_LITERALS:
            _literals.add(secret)
            remember(secret)


def _parts(value: str) -> Iterator[str]:
    """The values of cookies or parameters in a value, and the password of Basic authentication."""
    for part in re.split(r"[;&,]", value):
        yield part.partition("=")[2].strip(" \"'")
    with suppress(binascii.Error, UnicodeDecodeError):
        yield b64decode(value.strip(), validate=True).decode("ascii").partition(":")[2]
