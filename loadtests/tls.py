"""Connections to a service: whether its certificate is checked, and with what."""

import http.client
import os
import ssl
from functools import cache
from typing import Any
from urllib.parse import urlsplit

SYSTEM = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def planned(verify: bool | None, ca: str | None) -> bool:
    """
    Return whether a plan has the certificate of a deployment checked. Services under test have
    certificates of their own more often than not, so the plan must say so, whatever authorities
    the environment of this machine names for other programs.
    """
    return ca is not None if verify is None else verify


def checked(verify: bool | None, ca: str | None) -> bool:
    """Return `planned`; without a plan, whether the environment names authorities."""
    if verify is None and ca is None:
        return any(name in os.environ for name in SYSTEM)
    return planned(verify, ca)


@cache
def context(verify: bool | None, ca: str | None, library: Any = ssl) -> Any:
    """
    Return an SSLContext.

    Args:
        verify, ca: as the plan has them; `ca` is the path of a file.
        library: `ssl`, or gevent's.
    """
    made = library.create_default_context(cafile=ca)
    if not checked(verify, ca):
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def connection(url: str, timeout: float, trust: ssl.SSLContext) -> http.client.HTTPConnection:
    """
    Return a connection that is not open yet.

    Args:
        timeout: seconds for each step.
        trust: used where the URL says https.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=timeout)
    return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=trust)
