"""The degradation page: what it is made of, what it asks for, what it may change."""

import math
from collections.abc import Callable
from hmac import compare_digest
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, TypeVar

from flask import Blueprint, Response, jsonify, make_response, request, send_from_directory

from loadtests.engine.link import EngineSocket
from loadtests.engine.webui.shown import Content, Shown
from loadtests.storage.saved_runs import NoSuchRun
from loadtests.storage.saved_runs import file as file_of

View = TypeVar("View", bound=Callable[..., Response])

CHANGES = ("upstream", "outage", "restore")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)


def install(web_ui: Any, base: str, out: Path, shown: Shown, link: EngineSocket) -> None:
    token = token_urlsafe()
    pages = Blueprint("degradation", __name__, url_prefix=f"{base}/degradation")
    guarded: Callable[[View], View] = web_ui.auth_required_if_enabled

    @pages.route("/")
    @guarded
    def page() -> Response:
        content = shown.awaited("page", lambda: link.gone)
        if content is None:
            return make_response("brownout's controller is gone; start brownout again.", 503)
        # Nobody but a page of this origin can read the token.
        response = make_response(content.data.replace(b"{{token}}", token.encode()))
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    @pages.route("/<any('degradation', 'vega'):name>.js")
    @guarded
    def script(name: str) -> Response:
        return _sent(shown.awaited(f"{name}.js", lambda: link.gone), "text/javascript")

    @pages.route("/now")
    @guarded
    def now() -> Response:
        if link.gone:
            return jsonify({"state": "gone"})
        content = shown.get("now")
        return _sent(content) if content else jsonify({"state": "starting"})

    @pages.route("/runs")
    @guarded
    def runs() -> Response:
        link.ask("runs", {})
        return _sent(shown.get("runs"))

    @pages.route("/charts/<name>")
    @guarded
    def chart(name: str) -> Response:
        return _sent(shown.get(f"chart/{name}"))

    @pages.route("/over/<run>/<name>")
    @guarded
    def over(run: str, name: str) -> Response:
        content = shown.get(f"over/{run}/{name}")
        if content is None:
            if problem := link.ask("over", {"run": run}):
                return make_response(jsonify({"problem": problem}), 404)
            content = shown.get(f"over/{run}/{name}")
        return _sent(content)

    @pages.route("/runs/<run>/<file>")
    @guarded
    def kept(run: str, file: str) -> Response:
        try:
            path = file_of(out, run, file)
        except NoSuchRun as error:
            return Response(str(error), 404, mimetype="text/plain")  # it holds what was asked for
        name = f"{run}-{file}" if "download" in request.args else None
        response = send_from_directory(
            path.parent.absolute(), file, as_attachment=name is not None, download_name=name
        )
        # A report has scripts; they get no access to this page.
        response.headers["Content-Security-Policy"] = "sandbox allow-scripts"
        return response

    @pages.route("/change/<what>", methods=["POST"])
    @guarded
    def change(what: str) -> Response:
        if not compare_digest(request.headers.get("X-Token", "").encode(), token.encode()):
            problem = "this page is of an earlier start of brownout: load it again"
            return make_response(jsonify({"problem": problem}), 403)
        values = request.get_json(silent=True)
        if what not in CHANGES or not isinstance(values, dict):
            return make_response(jsonify({"problem": f"there is no change {what!r:.60}"}), 404)
        return jsonify({"problem": link.ask(what, values)})

    web_ui.app.register_blueprint(pages)


def _sent(content: Content | None, kind: str = "application/json") -> Response:
    """
    The content, or that it is the one that the page has. `Age` says for how many seconds.
    """
    if content is None:
        return make_response(jsonify({"problem": "not there, or not yet"}), 404)
    tag = f'"{content.tag}"'
    if request.headers.get("If-None-Match") == tag:
        response = make_response(b"", 304)
    else:
        response = make_response(content.data)
        response.content_type = f"{kind}; charset=utf-8"
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Age"] = str(math.floor(content.age))
    return response
