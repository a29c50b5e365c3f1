"""Serve a Locust that was started by hand: the command that its locustfile starts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from loadtests.cli import console as consoles
from loadtests.cli.output import mistakes, print_outcome
from loadtests.cli.playing import pinged, shown


def control(
    plan: str,
    out: Path = Path("runs"),
    announce: Annotated[int, typer.Option(help="Descriptor that takes address and token.")] = 1,
) -> None:
    """Serve a Locust that was started by hand; it starts this."""

    def tell(link: str, token: str) -> None:
        with os.fdopen(announce, "w", encoding="utf-8") as line:
            line.write(json.dumps({"link": link, "token": token}) + "\n")

    with mistakes(), shown(consoles.console(force_terminal=False)) as observer:
        from loadtests import plans, session

        chosen = plans.read(plans.find(plan))
        code = session.control(chosen, out, observer, tell, print_outcome, pinged(chosen))
    raise typer.Exit(code)
