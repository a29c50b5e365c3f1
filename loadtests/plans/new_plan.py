"""The text of a new plan: a commented `brownout.toml`."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.plans.inline_toml import has_null, key, value_of
from loadtests.plans.openapi import Operation

_COMMENTED = 12  # further operations that a plan names
_PORT = re.compile(r"(--port|-p)([= ])\d{1,5}(?=\s|$)|(--bind|-b)([= ])\S+:\d{1,5}(?=\s|$)")
_SERVERS = {"uvicorn": "--port {port}", "fastapi": "--port {port}", "flask": "--port {port}",
            "hypercorn": "--bind 127.0.0.1:{port}", "gunicorn": "--bind 127.0.0.1:{port}",
            "granian": "--port {port}"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPlan:
    """
    What a plan is made of: a `command` or a `url`; the requests; `others` of the service, as
    comments; the `variables` that tell the service where its upstream is, and those that may.
    """

    name: str
    command: str = ""
    url: str = ""
    ready: str | None = None
    requests: Sequence[Operation]
    others: Sequence[Operation] = ()
    variables: Sequence[str] = ()
    possible: Sequence[str] = ()


def with_port(command: str) -> str | None:
    """
    Return the command with {port} in it: in place of a number that it has, or as the option of a
    server that is known. None: it is not known where it belongs.
    """
    if "{port}" in command:
        return command
    replaced, count = _PORT.subn(_port_in, command)
    if count:
        return replaced
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    names = [word.rpartition("/")[2] for word in words[:3]]
    option = next((_SERVERS[name] for name in names if name in _SERVERS), None)
    return f"{command} {option}" if option else None


def _port_in(found: re.Match[str]) -> str:
    """The option with {port} in place of its number; what is bound to is this machine alone."""
    if found[1]:
        return f"{found[1]}{found[2]}{{port}}"
    return f"{found[3]}{found[4]}127.0.0.1:{{port}}"


def text(plan: NewPlan) -> str:
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: NewPlan) -> Iterator[str]:
    yield "# What brownout measures, and under which load. Every key: docs/plans.md."
    yield "# brownout doctor tries it without a run; brownout run measures."
    yield f"name = {_toml(plan.name)}"
    yield ""
    yield "# The slow upstream, played by a mock; latency as percentiles. More: docs/mock.md."
    yield "[upstream]"
    yield 'latency = "p50=50ms p95=120ms p99=300ms"'
    yield '# What it answers. Without routes: 200 and {"ok": true} to every path.'
    yield "# [[upstream.routes]]"
    yield '# path = "/charge"'
    yield '# json = { state = "paid" }'
    yield ""
    yield "[deployments.mine]"
    yield from _deployment(plan)
    yield ""
    for number, one in enumerate(plan.requests):
        if number:
            yield ""
        yield from _request(one)
    if plan.others:
        yield ""
        yield "# Other requests of this service:"
        for one in plan.others[:_COMMENTED]:
            yield "#"
            yield from (f"# {line}".rstrip() for line in _request(one))
        if len(plan.others) > _COMMENTED:
            yield f"# ... and {len(plan.others) - _COMMENTED} more"
    yield ""
    yield "[load]"
    yield "levels = [1, 5, 10, 20, 40, 80]   # concurrent users; brownout doctor suggests others"
    yield 'settle = "2s"                     # time before each measurement'
    yield "# Without `measure` each level takes what its numbers need, 3 to 20 s."
    yield ""
    yield "# Service level objectives; a missed one ends brownout run with exit code 1."
    yield "# [slos]"
    yield '# fast = "p95 < 250ms at 20"'
    yield '# reliable = "errors < 0.1%"'


def _deployment(plan: NewPlan) -> Iterator[str]:
    if plan.url:
        yield f"url = {_toml(plan.url)}   # it runs already"
        yield "# brownout cannot tell it the URL of the mock. To have its upstream played, write"
        yield '# command = "..." instead of url: brownout starts the service then.'
        return
    yield "# {port} is a free port that brownout chooses."
    yield f"command = {_toml(plan.command)}"
    if plan.variables:
        names = ", ".join(f'{key(name)} = "{{upstream}}"' for name in plan.variables)
        yield f"env = {{ {names} }}   # {{upstream}} is the URL of the mock"
    else:
        yield "# The variable that tells the service where its upstream is, here that of the mock:"
        for name in plan.possible or ("PAYMENTS_URL",):
            yield f'# env = {{ {key(name)} = "{{upstream}}" }}'
    if plan.ready is not None:
        yield f"ready = {_toml(plan.ready)}   # answers 2xx once the service is up"


def _request(one: Operation) -> Iterator[str]:
    yield "[[requests]]" + (f"   # {_plain(one.summary)}" if one.summary else "")
    if one.method != "GET":
        yield f"method = {_toml(one.method)}"
    yield f"path = {_toml(one.path)}"
    if one.headers:
        yield f"headers = {_toml(dict(one.headers))}"
    if one.body is not None:
        if has_null(one.body):
            yield f"body = {_toml(json.dumps(one.body))}"
            yield 'headers.content-type = "application/json"'
        else:
            yield f"json = {_toml(one.body)}"
    if one.statuses and one.statuses != (200,):
        yield f"expect.status = {_toml(list(one.statuses))}"
    for part in one.missing:
        yield f"# Missing, fill it in: {_plain(part)}"
    if one.credentials:
        yield f"# It wants credentials ({_plain(', '.join(one.credentials))}):"
        yield '# headers.Authorization = "Bearer {env.TOKEN}"'


def _plain(words: str) -> str:
    """A text on one line of a comment."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())


def _toml(value: Any) -> str:
    return value_of(value, " ")
