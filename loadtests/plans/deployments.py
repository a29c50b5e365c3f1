"""What may be measured: a variant, a command of the user's, or something that runs already."""

import os
import re
import shlex
import ssl
import sys
from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    model_validator,
)

from app_under_test import variants
from app_under_test.tuning import Tuning, to_flags
from loadtests.plans import placeholders
from loadtests.plans.errors import mistakes, no_such, shown
from loadtests.plans.fields import PositiveDuration, recordable
from loadtests.plans.hosts import is_local, parts_of
from loadtests.plans.readiness import Question, Ready
from mock_upstream.units.tables import StrictTable

MOST = 1000
"""Deployments of a plan; each takes a process, a log and a line in every table."""
_SHELL = {"&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"}


def _variant(name: str) -> str:
    if name not in variants.names():
        raise ValueError(no_such("variant", name, variants.names()))
    return name


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    for name in settings:
        if name not in Tuning.model_fields:
            raise ValueError(no_such("setting", name, Tuning.model_fields))
    to_flags(settings)
    return settings


def _words(command: str | list[str]) -> list[str]:
    """
    The words of a command; no shell takes part.

    Raises:
        ValueError: there are none, or they need a shell.
    """
    try:
        words = shlex.split(command) if isinstance(command, str) else list(command)
    except ValueError as error:
        raise ValueError(f"{command!r} cannot be split into words: {error}") from None
    if not words or not words[0]:
        raise ValueError("is empty; write what starts the service")
    if isinstance(command, str) and (_SHELL & set(words) or "=" in words[0]):
        raise ValueError(
            f"{command!r} needs a shell, and none takes part. Put variables into env, the folder "
            'into cwd, or start the shell yourself: command = ["sh", "-c", "..."]'
        )
    return words


def _command(value: object) -> object:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{shown(value)} must be text, or a list of the command's words")
    _words(value if isinstance(value, str) else words)
    return value


def _url(url: str) -> str:
    placeholders.none_in(url)
    parts_of(url)
    return url.rstrip("/")


def _loopback(host: str) -> str:
    name = host.strip("[]")
    if not is_local(name):
        raise ValueError(
            f"{host!r} is not a loopback address of this machine: write 127.0.0.1, ::1 or "
            "localhost. A service elsewhere is measured by its url"
        )
    return name


def _certificate_file(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    path = (folder_of_plan(info) / value).absolute()
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(
            f"{value!r} is not a file with certificates in PEM (looked for {path}): "
            f"{error.strerror or error}"
        ) from None
    return recordable(path)


def _check_certificates(scheme: str, ca: Path | None, verify: bool | None) -> None:
    if scheme == "http" and (ca is not None or verify):
        key = "ca" if ca is not None else "verify"
        raise ValueError(f"{key} is about a certificate, and the service is asked by plain HTTP")
    if ca is not None and verify is False:
        raise ValueError("has a ca to check the certificate with and verify = false; keep one")


CertificateFile = Annotated[Path, BeforeValidator(_certificate_file)]


def folder_of_plan(info: ValidationInfo) -> Path:
    """What the relative paths of a plan start from."""
    return Path((info.context or {}).get("folder", "."))


def _folder(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    folder = (folder_of_plan(info) / value).absolute()
    if not os.path.isdir(folder):
        raise ValueError(f"{value!r} is not a folder (looked for {folder})")
    return recordable(folder)


_OF_THE_MOCK = ("upstream", "upstream_ca")
Command = Annotated[
    str | list[str],
    BeforeValidator(_command),
    AfterValidator(placeholders.strict_words("port", *_OF_THE_MOCK)),
]
Variables = Annotated[dict[str, str], AfterValidator(placeholders.strict("port", *_OF_THE_MOCK))]
VariablesOfVariant = Annotated[dict[str, str], AfterValidator(placeholders.strict(*_OF_THE_MOCK))]


class VariantDeployment(StrictTable):
    """The service of `app_under_test`, written one way."""

    variant: Annotated[str, AfterValidator(_variant)]
    settings: Annotated[dict[str, Any], AfterValidator(_settings)] = Field(default_factory=dict)
    env: VariablesOfVariant = Field(default_factory=dict)


class LimitSetting(StrictTable):
    """What sets the size of the limit of a service, for an experiment that raises it."""

    env: str = Field(examples=["POOL_SIZE"])
    """The name of a variable in the deployment's `env`, whose value is a whole number."""


class CommandDeployment(StrictTable):
    """
    A service that a command starts. `{port}`, `{upstream}` and `{upstream_ca}` are filled in; other
    names in braces are refused, and `{{name}}` is the text `{name}`.
    """

    command: Command = Field(examples=["uvicorn shop.main:app --port {port}"])
    env: Variables = Field(default_factory=dict)
    cwd: Annotated[Path, BeforeValidator(_folder)] | None = None
    scheme: Literal["http", "https"] = "http"
    """What it speaks on its port."""
    host: Annotated[str, AfterValidator(_loopback)] = "127.0.0.1"
    """The address of this machine on which it listens: 127.0.0.1, ::1 or localhost."""
    ca: CertificateFile | None = None
    """The authority that its certificate is checked with."""
    verify: bool | None = None
    """Check its certificate. Unless this is set, it is checked with `ca` alone."""
    ready: Ready = Question()
    """A GET of it answers 2xx once the service is up."""
    ready_timeout: PositiveDuration = 30.0
    stop: Command | None = None
    """Run after the service was ended, to clean up what it left behind."""
    limit: LimitSetting | None = None
    """What sets the size of its limit; `brownout run --why` raises it."""
    check_listener: bool = True
    """
    Whether the process that listens on the port must be one that the command started. False for a
    service in a container, whose port is held by the container engine.
    """

    @model_validator(mode="after")
    def _the_port_is_told(self) -> Self:
        if not any("{port}" in text for text in (*_words(self.command), *self.env.values())):
            raise ValueError(
                f"the command {shown(self.command)} is never told its port. brownout chooses a "
                "free one; put {port} into command or env, for example --port {port}"
            )
        return self

    @model_validator(mode="after")
    def _tls_alone_has_certificates(self) -> Self:
        _check_certificates(self.scheme, self.ca, self.verify)
        return self

    @model_validator(mode="after")
    def _the_limit_can_be_raised(self) -> Self:
        if self.limit is not None:
            value = self.env.get(self.limit.env, "")
            if not (value.isascii() and value.isdigit() and 0 < int(value) <= 100_000):
                raise ValueError(
                    f"limit.env names {self.limit.env!r}, which env does not set to a whole number;"
                    f' write env = {{ {self.limit.env} = "20" }}'
                )
        return self


class UrlDeployment(StrictTable):
    """A service that runs already."""

    url: Annotated[str, AfterValidator(_url)]
    ca: CertificateFile | None = None
    """The authority that its certificate is checked with."""
    verify: bool | None = None
    """Check its certificate. Unless this is set, it is checked with `ca` alone."""
    ready: Ready | None = None
    ready_timeout: PositiveDuration | None = None
    """How long to wait for it; by default 30s with `ready`, but 2s where nothing listens."""

    @model_validator(mode="after")
    def _tls_alone_has_certificates(self) -> Self:
        _check_certificates(self.url.partition(":")[0], self.ca, self.verify)
        return self


_KINDS = {"variant": VariantDeployment, "command": CommandDeployment, "url": UrlDeployment}


def _one_kind(value: object) -> object:
    if isinstance(value, Mapping):
        given = [key for key in _KINDS if key in value]
        for key in value if not given else ():
            if nearest := get_close_matches(str(key), _KINDS, n=1):
                raise ValueError(f"there is no key {key!r}; did you mean {nearest[0]!r}?")
        if not given:
            raise ValueError(
                f"has none of the keys {', '.join(_KINDS)}: say how it is started, for example "
                'command = "uvicorn shop.main:app --port {port}", or where it runs'
            )
        if len(given) > 1:
            raise ValueError(f"has {' and '.join(given)}; keep one of them")
    elif not isinstance(value, tuple(_KINDS.values())):
        raise ValueError(f"{shown(value)} must be a table with one of the keys {', '.join(_KINDS)}")
    return value


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return next(kind.__name__ for key, kind in _KINDS.items() if key in value)
    return type(value).__name__


Deployment = Annotated[
    Annotated[VariantDeployment, Tag("VariantDeployment")]
    | Annotated[CommandDeployment, Tag("CommandDeployment")]
    | Annotated[UrlDeployment, Tag("UrlDeployment")],
    Discriminator(_kind),
    BeforeValidator(_one_kind),
]


def expanded(tables: Mapping[str, Any]) -> dict[str, Any]:
    """
    The tables of deployments, each that has a matrix replaced by one for each of its values:
    `threads` with `matrix = { threads = [20, 40] }` by `threads[20]` and `threads[40]`.

    Raises:
        ValidationError: a matrix that is not lists of values, or two deployments of one name.
        ValueError: they are more than MOST.
    """
    found: list[tuple[str, Any]] = []
    for name, table in tables.items():
        if len(found) > MOST:
            break  # refused below
        if not isinstance(table, Mapping) or not {"matrix", "variant"} <= table.keys():
            found.append((name, table))
            continue
        rest = {key: value for key, value in table.items() if key != "matrix"}
        settings, matrix = rest.get("settings", {}), table["matrix"]
        if not isinstance(matrix, Mapping) or not all(
            isinstance(values, list) and values for values in matrix.values()
        ):
            what = "is not a table of lists, such as { threads = [20, 40, 100] }"
            raise mistakes([((name, "matrix"), f"{shown(matrix)} {what}")])
        if not isinstance(settings, Mapping):
            found.append((name, rest))  # refused as it stands
            continue
        count = prod(len(values) for values in matrix.values())
        if count > MOST:
            what = f"gives {count:,} deployments; a plan has {MOST:,} at most"
            raise mistakes([((name, "matrix"), what)])
        for values in product(*matrix.values()):
            chosen = dict(zip(matrix, values, strict=True))
            label = ",".join(map(str, values))
            found.append((f"{name}[{label}]", {**rest, "settings": {**settings, **chosen}}))
    if len(found) > MOST:
        raise ValueError(f"are more than {MOST:,}, the most that a plan may have")
    for name, count in Counter(name for name, _ in found).items():
        if count > 1:
            what = "is there twice; each value of a matrix gives one deployment, TABLE[VALUE]"
            raise mistakes([((name,), what)])
    return dict(found)


def argv(command: str | list[str], **values: object) -> list[str]:
    """
    The words to start, `{port}` and what else `values` has filled in; a leading `python` is the
    one that runs this. Braces of other kinds stay: a command may well hold JSON.
    """
    words = [filled(word, **values) for word in _words(command)]
    return [sys.executable, *words[1:]] if words[0] == "python" else words


def filled(text: str, **values: object) -> str:
    """
    The text with these placeholders filled in; those of secrets, and what is in braces twice, stay
    until the process is started.
    """

    def value(found: re.Match[str]) -> str:
        return str(values[found[1]]) if found[1] else found[0]

    names = "|".join(map(re.escape, values))
    return re.sub(rf"\{{\{{\s*[\w.-]+\s*\}}\}}|\{{({names})\}}", value, text)
