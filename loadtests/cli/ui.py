"""Open Locust's web UI: `brownout ui`."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from loadtests.cli.options import Out, PlanArgument, Processes
from loadtests.cli.output import console, errors, mistakes, print_outcome
from loadtests.cli.playing import pinged, plan_file, several, shown
from loadtests.cli.usage import whole


def ui(
    plan: PlanArgument = None,
    out: Out = Path("runs"),
    port: Annotated[
        int, typer.Option(parser=whole("--port", 1, 65535), metavar="N", help="Port of the web UI.")
    ] = 8089,
    web_host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address that the web UI listens on; 0.0.0.0: reachable by other machines.",
        ),
    ] = "127.0.0.1",
    web_login: Annotated[
        bool, typer.Option("--web-login", metavar="", help="Ask for a password.")
    ] = False,
    web_base_path: Annotated[
        str,
        typer.Option(
            metavar="/PATH", help="Path before all addresses of the web UI, behind a proxy."
        ),
    ] = "",
    processes: Processes = 1,
) -> None:
    """
    Start everything and open Locust's web UI, which only this machine can reach by default.

    Tests are started in Locust's form. The curves grow at /degradation/, where earlier runs can be
    laid over them and the upstream can be changed while a test runs.
    """
    with mistakes():
        from loadtests import environment, plans, session
        from loadtests.cli import arguments
        from loadtests.plans import hosts

        chosen = plans.read(plan_file(plan))
        _check_port(web_host, port)
        base = arguments.base_path(web_base_path)
        address = f"http://{_reached_at(web_host)}:{port}{base}"
        flags = ["--web-host", web_host, "--web-port", str(port), *several(processes)]
        flags += ["--web-login"] if web_login else []
        flags += ["--web-base-path", base] if base else []
        password = _password() if web_login else None
        if not web_login and not hosts.is_local(web_host):
            errors.print(
                f"Anyone who can reach {web_host} can start tests here: "
                "--web-login asks for a password."
            )

        def opened() -> None:
            console.print(f"Locust's web UI: {address}   (Ctrl-C ends it)")
            console.print(f"The curves:      {address}/degradation/")
            if password:
                console.print(f"Log in as {environment.USER} with {password}", highlight=False)
            if sys.stdout.isatty() and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
                webbrowser.open(address)

        with shown() as observer:
            session.ui(chosen, out, observer, flags, opened, print_outcome, pinged(chosen))


def _password() -> str | None:
    """Makes one for the web UI, where the environment has none; it is told then."""
    from loadtests import environment

    if os.environ.get(environment.PASSWORD):
        return None
    os.environ[environment.PASSWORD] = made = secrets.token_urlsafe(9)
    return made


def _check_port(host: str, port: int) -> None:
    from loadtests.cli import arguments

    if host in ("", "*"):
        raise arguments.UsageError(
            f"--web-host {host!r} is not an address. "
            "127.0.0.1 is for this machine alone, 0.0.0.0 for everybody."
        )
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise arguments.UsageError(
            f"Port {port} of {host} cannot be used for the web UI: {reason}. "
            "Choose others with --port and --web-host."
        ) from None


def _reached_at(host: str) -> str:
    """Return how a browser on this machine names a server that listens on that address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
