"""Locust's login page, with one user: Locust brings the page, and leaves the rest to us."""

import os
import sys
from hmac import compare_digest
from secrets import token_hex, token_urlsafe
from typing import Any

import gevent
from flask import Response, make_response, redirect, request, session
from flask_login import UserMixin, login_user
from gevent.lock import BoundedSemaphore

from loadtests.environment import PASSWORD, USER

_PAUSE = 1.0  # seconds after a wrong password, in which no other one is looked at
_WAITING = 10.0  # seconds that a login may wait for those before it


class _User(UserMixin):  # type: ignore[misc]
    id = USER


def install(web_ui: Any, base: str) -> None:
    """The password is that of the environment, or one that is made here and printed."""
    password = os.environ.get(PASSWORD)
    if not password:
        password = token_urlsafe(9)
        print(
            f"Log in to the web UI as {USER!r} with the password {password} "
            f"({PASSWORD} in the environment sets another).",
            file=sys.stderr,
            flush=True,
        )
    turn = BoundedSemaphore()
    app = web_ui.app
    app.secret_key = token_hex(32)
    web_ui.login_manager.user_loader(lambda name: _User() if name == USER else None)
    web_ui.auth_args = {"username_password_callback": f"{base}/login-with-password"}

    @app.route(f"{base}/login-with-password", methods=["POST"])  # type: ignore[untyped-decorator]
    def check() -> Response:
        if not turn.acquire(timeout=_WAITING):
            return make_response("Too many logins at once; try again later.", 429)
        try:
            return judge()
        finally:
            turn.release()

    def judge() -> Response:
        given = [request.form.get(name, "").encode() for name in ("username", "password")]
        # Both in one, so that the time tells nothing of either.
        if compare_digest(b"\0".join(given), f"{USER}\0{password}".encode()):
            login_user(_User())
            session["auth_error"] = None
            return redirect(f"{base}/")  # type: ignore[return-value]
        gevent.sleep(_PAUSE)
        session["auth_error"] = "The user or the password is wrong."
        return redirect(f"{base}/login")  # type: ignore[return-value]
