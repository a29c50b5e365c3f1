"""The guard of the web UI: which requests are answered, and how large they may be.

Locust allows every origin to read, and knows no token: a page of anybody's, open in the same
browser, could read what is measured here, start tests and stop them.
"""

from urllib.parse import urlsplit

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from loadtests.plans.hosts import is_local

MOST_BYTES = 256_000  # of a form, or of anything else that is sent


def install(app: Flask, host: str | None) -> None:
    """
    Guard all pages of the web UI.

    Args:
        host: that it listens on.
    """
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    local = is_local(host or "")

    @app.before_request
    def check() -> Response | tuple[Response, int] | None:
        problem = refusal(local)
        return (jsonify({"success": False, "message": problem}), 403) if problem else too_large()

    @app.after_request
    def same_origin(response: Response) -> Response:
        # Flask-CORS, which comes later, keeps what it finds.
        response.headers["Access-Control-Allow-Origin"] = request.host_url.rstrip("/")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        response.headers["Referrer-Policy"] = "same-origin"
        return response


def refusal(local: bool) -> str | None:
    """Why the request is not answered; None: it is."""
    # A name that somebody else's DNS points to this machine would make their page ours.
    if local and not is_local(urlsplit(f"//{request.host}").hostname or ""):
        return f"this is not called {request.host!r:.100}; ask 127.0.0.1"
    if _is_visit():
        return None
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        return f"a page of {origin!r:.100} may not ask for anything here"
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return "a page of another site may not ask for anything here"
    return None


def _is_visit() -> bool:
    """
    Return whether the user follows a link to a page, from any site. Requests that a page makes by
    itself, and pages in its frames, are not visits: they would be work for a process that measures.
    """
    headers = request.headers
    return (
        request.method == "GET"
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
    )


def too_large() -> tuple[Response, int] | None:
    """An answer that says so."""
    if "Transfer-Encoding" in request.headers:
        message = "how much is sent must be said before: Content-Length is missing"
        return jsonify({"success": False, "message": message}), 411
    try:
        if (request.content_length or 0) > MOST_BYTES:
            raise RequestEntityTooLarge
        if request.method == "POST" and not request.is_json:
            request.form.keys()  # reads it, as far as it may
    except RequestEntityTooLarge:
        message = f"a form of more than {MOST_BYTES // 1000} kB is not read"
        return jsonify({"success": False, "message": message}), 413
    return None
