"""When something is up: it says so in its log, answers HTTP, or listens at least."""

import html
import http.client
import json
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtests import redaction, tls
from loadtests.characters import printable
from loadtests.processes.connection_errors import described

TIMEOUT = 1.0  # seconds for one question
_READ = 8192  # bytes of an answer that is not the expected one
_LINES, _WIDTH = 3, 200  # of it that are shown

Ready = dict[str, Any]
"""What is known of something that is up: "url" at least."""
Ask = Callable[[], Ready | str]


def announced(log: Path) -> Ask:
    """
    Ready once the service's log has a line of JSON that says so; returns what that line holds.

    Only what is added to the log from now on counts: call it before the start.
    """
    before = log.stat().st_size if log.exists() else 0

    def ask() -> Ready | str:
        with log.open("rb") as opened:
            opened.seek(before)
            text = opened.read().decode(errors="replace")
        for line in text.splitlines(keepends=True):
            if line.startswith('{"ready": true') and line.endswith("\n"):
                ready: Ready = json.loads(line)
                return ready
        return "it has not said that it is ready"

    return ask


def answers(
    url: str,
    path: str,
    headers: Callable[[], Mapping[str, str]] = dict,
    statuses: tuple[int, ...] = (),
    context: ssl.SSLContext | None = None,
    check: Callable[[], None] = lambda: None,
) -> Ask:
    """
    Ready once a GET of the path is answered 2xx, or with one of `statuses`. No redirect is
    followed.

    Args:
        headers: what the question has beyond a Host.
        context: of TLS; None: no certificate is checked.
        check: is called once connected, before anything is sent.
    """

    def ask() -> Ready | str:
        with closing(
            tls.connection(url, TIMEOUT, context or tls.context(False, None))
        ) as connection:
            try:
                connection.connect()
            except OSError as error:
                return f"GET {url}{path} failed: {described(error)}"
            check()
            try:
                connection.request("GET", urlsplit(url).path + path, headers=dict(headers()))
                response = connection.getresponse()
                status = response.status
                if status in statuses if statuses else 200 <= status < 300:
                    return {"url": url}
                return f"GET {url}{path} is answered {status}{_shown(response)}"
            except (OSError, http.client.HTTPException) as error:
                return f"GET {url}{path} failed: {described(error)}"

    return ask


def listens(url: str) -> Ask:
    """Ready once the port takes a connection."""

    def ask() -> Ready | str:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), TIMEOUT).close()
        except OSError as error:
            return f"connecting to {url} failed: {described(error)}"
        return {"url": url}

    return ask


def speaks(scheme: str, host: str, port: int) -> bool:
    """Return whether something on that port speaks TLS, or plain HTTP."""
    with suppress(OSError, http.client.HTTPException):
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        with closing(tls.connection(url, TIMEOUT, tls.context(False, None))) as connection:
            connection.connect()
            if scheme == "https":
                return True
            connection.request("GET", "/")
            answer = connection.getresponse()
            # What uvicorn, nginx and Go say to plain HTTP on a port of TLS.
            return not (answer.status == 400 and b"HTTPS" in answer.read(_READ))
    return False


def open_at(host: str, port: int) -> bool:
    """Return whether something takes connections there."""
    with suppress(OSError):
        socket.create_connection((host, port), TIMEOUT).close()
        return True
    return False


def _shown(response: http.client.HTTPResponse) -> str:
    """Return where the answer leads to, and its first lines."""
    place = response.getheader("location")
    to = f" to {_clean(place)}" if place and 300 <= response.status < 400 else ""
    lines = list[str]()
    with suppress(OSError, http.client.HTTPException):
        text = response.read(_READ).decode(errors="replace")
        if "html" in (response.getheader("content-type") or "").lower():
            text = _without_tags(text)
        lines = [line for one in text.splitlines() if (line := _clean(one))][:_LINES]
    if not lines:
        return to
    return f"{to}: {lines[0]}" if len(lines) == 1 else f"{to}:\n  " + "\n  ".join(lines)


def _clean(text: str) -> str:
    line = " ".join(printable(redaction.text(text)).split())
    return line if len(line) <= _WIDTH else f"{line[:_WIDTH]}..."


def _without_tags(page: str) -> str:
    """Return what a page of HTML says, each element on a line of its own."""
    page = re.sub(r"(?is)<(script|style)\b.*?</\1\s*>", "", page)
    return html.unescape(re.sub(r"<[^<>]{0,2000}>", "\n", page))
