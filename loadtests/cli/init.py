"""Write a plan for a service of one's own: `brownout init`."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loadtests.cli.output import mistakes, print_lines
from loadtests.cli.playing import OWN
from loadtests.cli.usage import did_you_mean

if TYPE_CHECKING:
    from loadtests.plans.new_plan import NewPlan
    from loadtests.plans.openapi import Operation

_UPSTREAM_LIKE = re.compile(
    r"upstream|_ur[il]$|_endpoint$|_base$|_host$|_api$|_service$|_addr(?:ess)?$", re.IGNORECASE
)
_NOT_CALLED = re.compile(
    r"proxy|^(?:BROWNOUT|PIP|UV|GIT|SSH|XDG|DBUS|LC|VIRTUAL|PYENV|CONDA|GITHUB|CI)_", re.IGNORECASE
)
_READY = ("/health", "/healthz", "/ready", "/livez", "/ping")
_EXTRA = (
    "pip install 'brownout[examples]' (hypothesis-jsonschema) makes values for which the OpenAPI "
    "document has no example."
)


def init(
    command: Annotated[
        str,
        typer.Option(metavar="CMD", help="Starts the service: 'uvicorn main:app --port {port}'."),
    ] = "",
    url: Annotated[str, typer.Option(metavar="URL", help="Where the service runs already.")] = "",
    path: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[METHOD ]/PATH",
            help="What is requested, such as 'POST /orders'; can be repeated.",
            show_default=False,
        ),
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream-variable",
            metavar="NAME",
            help="Variable that tells the service the URL of its upstream; can be repeated.",
            show_default=False,
        ),
    ] = None,
    from_environment: Annotated[
        bool,
        typer.Option(
            "--from-environment",
            metavar="",
            help="Look for such variables in this environment, by their names.",
        ),
    ] = False,
    file: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")] = Path(OWN),
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite the file.")] = False,
) -> None:
    """
    Write a commented brownout.toml, a plan for a service of yours.

    On a terminal it asks for what is not given. It starts the command for a moment, or asks the
    URL, for the OpenAPI document of the service, and takes paths, methods and example bodies from
    it.
    """
    with mistakes():
        from loadtests.cli.arguments import UsageError
        from loadtests.plans import new_plan
        from loadtests.plans.hosts import check_host

        if not force and os.path.lexists(file):
            raise UsageError(
                f"{file} exists and was not changed. --force overwrites it, --file NAME writes "
                "another file."
            )
        if command and url:
            raise UsageError("--command and --url exclude each other: keep one of them.")
        if not command and not url:
            command, url = _asked_for_service()
        if url:
            check_host(url, ())
        else:
            command = _with_port(command)
        variables = list(variable or ())
        found_names = _upstream_like() if from_environment else []
        document, ready = _document(command, url, variables)
        chosen, others = _chosen(document, path or [])
        if command and not variables:
            variables = _asked_for_variables(found_names)
        plan = new_plan.NewPlan(
            name=_name(),
            command=command,
            url=url.rstrip("/"),
            ready=ready,
            requests=chosen,
            others=others,
            variables=variables,
            possible=found_names,
        )
        _write(file, plan, force)
        print_lines(_written(file, chosen, variables, command))


def _asked_for_service() -> tuple[str, str]:
    """The command and the URL, one of which is empty."""
    from loadtests.cli.arguments import UsageError

    if not _is_terminal():
        raise UsageError(
            "How is the service started? Give --command 'uvicorn main:app --port {port}', or --url "
            "http://127.0.0.1:8000 for one that runs already."
        )
    text = _ask(
        "How is the service started, or where does it run?\n"
        "A command such as uvicorn main:app --port {port}, or a URL: "
    )
    if not text:
        raise UsageError("No command and no URL was given; nothing was written.")
    return ("", text) if re.match(r"https?://", text) else (text, "")


def _with_port(command: str) -> str:
    from loadtests.cli.arguments import UsageError
    from loadtests.plans import new_plan

    made = new_plan.with_port(_found(command))
    if made is None:
        raise UsageError(
            f"The command {command!r} needs {{port}} where the port belongs that the service "
            "listens on: brownout chooses a free one. For example --port {port}"
        )
    if made != command:
        print_lines([f"The command in the plan is {made}"])
    return made


def _found(command: str) -> str:
    """The command; by `python -m` where the shell does not find its program, and Python does."""
    program, space, rest = command.partition(" ")
    if shutil.which(program) or not program.isidentifier() or find_spec(program) is None:
        return command
    return f"python -m {program}{space}{rest}"


def _document(command: str, url: str, variables: Sequence[str]) -> tuple[Any, str | None]:
    """The OpenAPI document of the service, or None, and a path that answers once it is up."""
    from loadtests.exit_codes import Failure
    from loadtests.run import description

    try:
        found = description.at(url) if url else description.of_command(command, variables, _READY)
    except Failure as error:
        # The logs of this start are gone by now.
        words = [line for line in str(error).splitlines() if not line.startswith("The whole log:")]
        print_lines(["The OpenAPI document of the service cannot be read:", *words])
        return None, None
    if found.document is None:
        print_lines(["The service has no OpenAPI document at /openapi.json."])
    return found.document, found.ready


def _chosen(document: Any, typed: Sequence[str]) -> tuple[list[Operation], list[Operation]]:
    """The requests of the plan, and the others that the document offers."""
    from loadtests.plans import openapi

    offered = openapi.operations(document) if isinstance(document, dict) else []
    chosen = [_operation(text, offered) for text in typed or _asked_for_paths(offered)]
    if not chosen:
        best = openapi.first(offered)
        chosen = [best or openapi.bare("GET", "/")]
        if best is None:
            print_lines(["No path was given: the plan requests /. Change it, or give --path."])
        elif len(offered) > 1:
            print_lines([f"The plan requests {best.name}, the others are comments in it:"])
            print_lines(f"  {one.name}" for one in offered if one is not best)
    names = {one.name for one in chosen}
    others = [one for one in offered if one.name not in names and not one.is_aside]
    missing = [part for one in chosen for part in one.missing]
    print_lines(f"Missing, fill it in: {part}" for part in missing)
    if missing and not openapi.can_generate():
        print_lines([_EXTRA])
    return chosen, others


def _operation(text: str, offered: Sequence[Operation]) -> Operation:
    """The operation that was typed, with the values that were typed in its path."""
    from dataclasses import replace

    from loadtests.cli.arguments import UsageError
    from loadtests.plans import openapi

    method, path = openapi.split(text)
    if not path.startswith("/"):
        raise UsageError(f"{text!r} is not a path; write it as /checkout or 'POST /orders'.")
    matches = list(openapi.wanted(list(offered), text))
    if not matches:
        if offered:
            meant = did_you_mean(path, [one.template for one in offered])
            print_lines([f"The OpenAPI document has no {text}.{meant} The plan requests it."])
        return openapi.bare(method or "GET", path)
    best = next((one for one in matches if one.method == "GET"), matches[0])
    return best if "{" in path else replace(best, path=path if "?" in path else _same(best, path))


def _same(best: Operation, path: str) -> str:
    """The path that was typed, with the query that the operation needs."""
    query = best.path.partition("?")[2]
    return f"{path}?{query}" if query else path


def _asked_for_paths(offered: Sequence[Operation]) -> list[str]:
    """What a person chooses of the operations; empty: nobody is there, or they leave it to us."""
    if not _is_terminal():
        return []
    if not offered:
        text = _ask("Which path is requested, such as /checkout or POST /orders? ")
        return [text] if text else []
    for number, one in enumerate(offered, 1):
        print_lines([f"{number:3}  {one.name}{f'   {one.summary}' if one.summary else ''}"])
    while True:
        text = _ask("Which of them are requested? Numbers, such as 1,3; nothing for one of them: ")
        numbers = [part.strip() for part in text.split(",") if part.strip()]
        if all(part.isdecimal() and 0 < int(part) <= len(offered) for part in numbers):
            return [offered[int(part) - 1].name for part in numbers]
        print_lines([f"{text!r} is not a list of numbers from 1 to {len(offered)}."])


def _asked_for_variables(found: Sequence[str]) -> list[str]:
    """The names of variables; empty: not known."""
    if not _is_terminal():
        return list(found) if len(found) == 1 else []
    seen = f" (in the environment: {', '.join(found)})" if found else ""
    text = _ask(
        f"Which variable tells the service the URL of its upstream{seen}? Nothing if none does: "
    )
    return [name.strip() for name in text.split(",") if name.strip()]


def _upstream_like() -> list[str]:
    """The variables of this environment that may be URLs of upstreams, by their names."""
    return [
        name
        for name in sorted(os.environ)
        if _UPSTREAM_LIKE.search(name) and not _NOT_CALLED.search(name)
    ]


def _write(file: Path, plan: NewPlan, force: bool) -> None:
    """
    Write the plan once it is known that it can be read.

    Raises:
        UsageError: it cannot be written.
        PlanError: what was given makes no plan.
    """
    from loadtests import plans
    from loadtests.cli.arguments import UsageError
    from loadtests.plans import new_plan

    text = new_plan.text(plan)
    try:
        handle, name = tempfile.mkstemp(".toml", ".brownout-", file.parent)
        draft = Path(name)
        try:
            with open(handle, "w", encoding="utf-8") as opened:
                opened.write(text)
            try:
                plans.read(draft)
            except plans.PlanError as error:
                raise plans.PlanError(str(error).replace(str(draft), str(file))) from None
            draft.chmod(0o666 & ~_umask())
            if force:
                draft.replace(file)
            else:
                os.link(draft, file)  # fails where there is one by now
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        raise UsageError(f"{file} exists by now and was not changed.") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _name() -> str:
    """A plan's name, from that of the folder."""
    name = re.sub(r"[^\w.-]+", "-", Path.cwd().name).strip("-._")[:60]
    return name or "service"


def _written(
    file: Path, chosen: Sequence[Operation], variables: Sequence[str], command: str
) -> Iterator[str]:
    yield f"Wrote {file}: {', '.join(one.name for one in chosen)}."
    if command and not variables:
        yield (
            "It does not say yet which variable tells the service the URL of its upstream: see env "
            "in it, or give --upstream-variable NAME."
        )
    given = "" if file == Path(OWN) else f" {file}"
    yield f"Next: brownout doctor{given} tries it, brownout run{given} measures."


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask(question: str) -> str:
    """What a person types; nothing at the end of the input."""
    with suppress(EOFError):
        return input(question).strip()
    return ""
