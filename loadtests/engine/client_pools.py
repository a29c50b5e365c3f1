"""How long requests of a locustfile wait for a connection of its own pool, before they are sent.

Locust takes that for a part of the response time: with `pool_manager = PoolManager(maxsize=10,
block=True)` or a shared `HTTPClientPool(concurrency=10)` the eleventh request waits for another
one's answer, and the service looks as if it served ten at a time.
"""

from dataclasses import dataclass
from functools import wraps
from time import perf_counter
from typing import Any

from geventhttpclient.connectionpool import ConnectionPool
from urllib3 import HTTPConnectionPool


@dataclass(slots=True)
class Waits:
    """`seconds`: of all requests together."""

    seconds: float = 0.0


WAITS = Waits()


def install() -> None:
    """Measure the waits in the pools of HttpUser and FastHttpUser from now on."""
    get_connection: Any = HTTPConnectionPool._get_conn
    get_socket: Any = ConnectionPool.get_socket

    @wraps(get_connection)
    def timed_connection(pool: Any, *arguments: Any, **options: Any) -> Any:
        if not pool.block or pool.pool is None or not pool.pool.empty():
            return get_connection(pool, *arguments, **options)
        began = perf_counter()
        try:
            return get_connection(pool, *arguments, **options)
        finally:
            WAITS.seconds += perf_counter() - began

    @wraps(get_socket)
    def timed_socket(pool: Any) -> Any:
        if pool._semaphore.locked():
            began = perf_counter()
            pool._semaphore.acquire()
            WAITS.seconds += perf_counter() - began
            pool._semaphore.release()  # for `get_socket`: no other greenlet runs between
        return get_socket(pool)

    HTTPConnectionPool._get_conn = timed_connection  # type: ignore[method-assign, assignment]
    ConnectionPool.get_socket = timed_socket  # type: ignore[method-assign, assignment]
