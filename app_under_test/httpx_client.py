"""What a client of httpx is built with, and what its exceptions mean.

The same serves httpx2, which has the same names: `library` is the module httpx or httpx2.
"""

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

from app_under_test.errors import (
    Failures,
    broken,
    no_connection,
    no_free_connection,
    status_failure,
    too_slow,
)
from app_under_test.settings import Settings


def options(library: Any, settings: Settings, keepalive: int = 20) -> dict[str, Any]:
    """
    Return what one client, `AsyncClient(**options)`, is built with.

    Args:
        keepalive: connections that may be kept while idle. 20 is httpx's own default, and a higher
            number costs it more than it gains: `variants/async_httpx.py` tells why.
    """
    return {
        "timeout": library.Timeout(
            settings.timeout, connect=settings.connect_timeout, pool=settings.pool_timeout
        ),
        # Its own, which trusts SSL_CERT_FILE: a client that takes no proxy of the environment's
        # would not.
        "transport": library.AsyncHTTPTransport(
            # All three: one that is not given would be unlimited.
            limits=library.Limits(
                max_connections=settings.pool or 100,
                max_keepalive_connections=keepalive,
                keepalive_expiry=settings.keepalive_expiry,
            ),
        ),
        # A shared client would send one caller's cookies with another's request.
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        "trust_env": False,
    }


def failures(library: Any) -> Failures:
    """
    The library's exceptions.

    `HTTPStatusError` is no `RequestError`: catching only the latter, as many tutorials do, lets the
    upstream's 500 through as a crash.
    """
    return {
        library.PoolTimeout: no_free_connection,
        library.ConnectTimeout: no_connection,
        library.ConnectError: no_connection,
        library.TimeoutException: too_slow,
        library.HTTPStatusError: status_failure,
        library.HTTPError: broken,
    }
