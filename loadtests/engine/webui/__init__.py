"""Our pages in Locust's web UI, and what guards them.

Everything that a page shows was computed by the controller and is held here as bytes; see
loadtests.dashboard.
"""

from pathlib import Path
from typing import Any

from loadtests.engine.egress import Egress
from loadtests.engine.link import EngineSocket
from loadtests.engine.webui import forms, guard, integration, login, routes
from loadtests.engine.webui.shown import Shown
from loadtests.plans import Plan


def install(environment: Any, web_ui: Any, plan: Plan, link: EngineSocket, egress: Egress) -> None:
    """Add brownout's pages and fields to the web UI, before its server starts."""
    options = environment.parsed_options
    base = options.web_base_path or ""
    shown = Shown()
    link.shown = shown.take
    guard.install(web_ui.app, web_ui.host)
    egress.allow_lookup(f"//{web_ui.host}")  # its server asks for the name of the address
    if web_ui.web_login:
        login.install(web_ui, base)
    forms.install(environment, web_ui, base, plan, egress)
    routes.install(web_ui, base, Path(options.out), shown, link)
    integration.install(web_ui, base, shown)
