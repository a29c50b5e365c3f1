"""The form is checked before Locust takes it: it checks none of our values."""

from collections.abc import Mapping
from typing import Any

from flask import Response, jsonify, request
from flask_login import current_user

from loadtests.engine.egress import Egress
from loadtests.plans import Plan, PlanError, overrides

_RUNNING = ("spawning", "running", "cleanup", "stopping")
_RUNS = "a test runs, and its plan cannot be changed on the way: stop it, then start again"


def install(environment: Any, web_ui: Any, base: str, plan: Plan, egress: Egress) -> None:
    @web_ui.app.before_request  # type: ignore[untyped-decorator]
    def check() -> Response | None:
        if request.method != "POST" or request.path != f"{base}/swarm":
            return None
        if web_ui.web_login and not current_user.is_authenticated:
            return None  # Locust sends them to the login
        values = {key: ",".join(request.form.getlist(key)) for key in request.form}
        egress.allow_lookup(values.get("host", ""))
        problem = _RUNS if environment.runner.state in _RUNNING else _wrong(plan, values)
        if problem is None:
            return None
        return jsonify({"success": False, "message": problem, "host": environment.host})


def _wrong(plan: Plan, values: Mapping[str, str]) -> str | None:
    try:
        overrides.applied(plan, values)
    except PlanError as error:
        return str(error)
    return None
