"""Contexts of TLS for clients of a service: whether its certificate is checked, and with what."""

import os
import ssl
from functools import cache
from typing import Any

SYSTEM = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def checked(verify: bool | None, ca: str | None) -> bool:
    """
    Return whether certificates are checked. Services under test have certificates of their own
    more often than not, so the environment must name authorities where the plan says nothing.
    """
    if verify is not None:
        return verify
    return ca is not None or any(name in os.environ for name in SYSTEM)


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
