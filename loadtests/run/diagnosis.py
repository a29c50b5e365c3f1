"""Why a service that runs did not become ready: what is seen at its port, in a sentence."""

import re
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

import psutil

from loadtests.processes.readiness import open_at, speaks

_LOOPBACK = {"127.0.0.1": "::1", "::1": "127.0.0.1", "localhost": ""}


def of_answer(answer: str) -> str:
    """
    Return a sentence about an answer that is not the expected one; empty: it says enough itself.

    Args:
        answer: as `loadtests.processes.readiness` words it.
    """
    found = re.search(r" is answered (\d{3})", answer)
    if not found:
        return ""
    status, rest = int(found[1]), answer[found.end() :]
    if 300 <= status < 400 and rest.startswith(" to https://"):
        return (
            " It sends plain HTTP to HTTPS. Say what its proxy would say, in `ready` and in the "
            'requests: headers = { X-Forwarded-Proto = "https" }; or turn that off for the test.'
        )
    if 300 <= status < 400:
        return " No redirect is followed: ask for where it leads to."
    if status == 421 or (status == 400 and "host" in rest.lower()):
        return (
            ' Call it by its name: headers = { Host = "..." } in each request, or in `ready`: '
            'ready = { path = "/health", headers = { Host = "..." } }.'
        )
    if status in (401, 403):
        return (
            f' Give it what it wants, ready = {{ path = "/health", headers = {{ ... }} }}, or take '
            f"that answer for ready: status = {status}."
        )
    return ""


def of_command(url: str, pids: Iterable[int]) -> str:
    """
    Return a sentence that begins with a space; empty: nothing was found.

    Args:
        url: where the plan expects the service.
        pids: the service's processes.
    """
    parts = urlsplit(url)
    scheme, host, port = parts.scheme, parts.hostname or "", parts.port or 0
    if open_at(host, port):
        return _scheme(scheme, host, port, 'put scheme = "{scheme}" into its table in the plan')
    other = _LOOPBACK.get(host, "")
    if other and open_at(other, port):
        at = f'put host = "{other}" into its table in the plan'
        return f" It listens on {other}, not on {host}: {at}."
    elsewhere = sorted(_listening(pids))
    if elsewhere:
        ports = " and ".join(elsewhere[:3])
        return f" Its processes listen on {ports}, and not on port {port}, which it was given."
    return ""


def of_url(url: str) -> str:
    """Return a sentence that begins with a space; empty: nothing was found."""
    parts = urlsplit(url)
    scheme, host = parts.scheme, parts.hostname or ""
    port = parts.port or {"http": 80, "https": 443}[scheme]
    return _scheme(scheme, host, port, "its url begins with {scheme}://")


def _scheme(scheme: str, host: str, port: int, hint: str) -> str:
    if scheme == "http" and speaks("https", host, port):
        return f" It answers TLS on that port: {hint.format(scheme='https')}."
    if scheme == "https" and not speaks("https", host, port) and speaks("http", host, port):
        return f" It answers plain HTTP on that port: {hint.format(scheme='http')}."
    return ""


def _listening(pids: Iterable[int]) -> set[str]:
    """Return the addresses on which the processes listen."""
    found = set[str]()
    for pid in pids:
        with suppress(psutil.Error):
            for connection in psutil.Process(pid).net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    address = connection.laddr
                    host = f"[{address.ip}]" if ":" in address.ip else address.ip
                    found.add(f"{host}:{address.port}")
    return found
