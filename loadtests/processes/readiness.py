"""When something is up: it says so in its log, answers HTTP, or listens at least."""

import http.client
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 1.0  # seconds for one question

Ready = dict[str, Any]
"""What is known of something that is up: "url" at least."""


def announced(log: Path) -> Callable[[], Ready | str]:
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


def answers(url: str, path: str) -> Callable[[], Ready | str]:
    """Ready once a GET of the path is answered 2xx; redirects are not followed."""

    def ask() -> Ready | str:
        connection = _connection(url)
        try:
            connection.request("GET", urlsplit(url).path + path)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"GET {url}{path} gives {error or type(error).__name__}"
        finally:
            connection.close()
        return {"url": url} if 200 <= status < 300 else f"GET {url}{path} is answered {status}"

    return ask


def listens(url: str) -> Callable[[], Ready | str]:
    """Ready once the port takes a connection."""

    def ask() -> Ready | str:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), TIMEOUT).close()
        except OSError as error:
            return f"connecting to {url} gives {error}"
        return {"url": url}

    return ask


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT)
    # Whether it is up is the question, not whom its certificate convinces.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT, context=context)
