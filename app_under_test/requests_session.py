"""A shared `requests.Session` that does not wait for ever, and what its exceptions mean.

`requests` has no time limit for the wait for a pooled connection: it passes none to urllib3,
where None waits for ever. The pools here do.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import EmptyPoolError, ReadTimeoutError

from app_under_test.errors import (
    CallFailure,
    Failures,
    bad_body,
    broken,
    no_connection,
    no_free_connection,
    status_failure,
    too_slow,
)
from app_under_test.settings import Settings


class BoundedWaitAdapter(HTTPAdapter):
    """Keep `connections` to each host, and wait `pool_timeout` seconds for a free one."""

    def __init__(self, connections: int, pool_timeout: float) -> None:
        self.pool_timeout = pool_timeout  # before the pools are made, which is in the next line
        super().__init__(pool_maxsize=connections, pool_block=True)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        pool_timeout = self.pool_timeout

        class Pool(HTTPConnectionPool):
            def _get_conn(self, timeout: float | None = None) -> Any:
                return super()._get_conn(pool_timeout if timeout is None else timeout)

        class SecurePool(HTTPSConnectionPool):
            def _get_conn(self, timeout: float | None = None) -> Any:
                return super()._get_conn(pool_timeout if timeout is None else timeout)

        self.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}


@contextmanager
def session(settings: Settings) -> Iterator[requests.Session]:
    """One session for the life of the process, to be shared by its threads."""
    with requests.Session() as shared:
        # Nothing may change a session that threads share: no cookie is kept, which would be one
        # caller's cookie in another's request. Without the environment's proxies a call is also a
        # third cheaper.
        shared.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        shared.trust_env = False
        shared.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        shared.max_redirects = 0  # as in httpx: a redirect may lead to any host
        adapter = BoundedWaitAdapter(settings.pool or settings.threads, settings.pool_timeout)
        shared.mount("http://", adapter)
        shared.mount("https://", adapter)
        yield shared


def connection_failure(error: requests.ConnectionError) -> CallFailure:
    """`requests` has one name for a refused connection, a reset, and a body that stops coming."""
    cause = error.args[0] if error.args else None
    if isinstance(cause, ReadTimeoutError):
        return too_slow(error)
    if isinstance(getattr(cause, "reason", None), Exception):
        return no_connection(error)  # urllib3 gave up before there was a connection
    return broken(error)


FAILURES: Failures = {
    EmptyPoolError: no_free_connection,  # urllib3's own: requests lets it through
    requests.ConnectTimeout: no_connection,
    requests.Timeout: too_slow,
    requests.ConnectionError: connection_failure,
    requests.HTTPError: status_failure,
    requests.TooManyRedirects: status_failure,
    requests.JSONDecodeError: bad_body,
    requests.RequestException: broken,
}
