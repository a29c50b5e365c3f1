"""`async def` routes and one shared `aiohttp.ClientSession`: is the client the bottleneck?

The lightest of the async clients, so its knee lies furthest to the right. It sends an idempotent
request a second time by itself when a kept-alive connection turns out to be closed: the upstream
may then see two requests for one call.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from fastapi import FastAPI

from app_under_test.contract import Answer, Calls, async_service, gathered
from app_under_test.errors import (
    CallFailure,
    Failures,
    broken,
    no_connection,
    no_free_connection,
    refused,
    too_slow,
)
from app_under_test.settings import Settings


class PoolTimeout(aiohttp.ClientError):
    """No connection came free in time."""


class BoundedWaitConnector(aiohttp.TCPConnector):
    """
    A pool that says when the wait for a connection was too long.

    aiohttp has one time limit, and one exception, for that wait and for connecting together.
    """

    def __init__(self, pool_timeout: float, **options: Any) -> None:
        super().__init__(**options)
        self.pool_timeout = pool_timeout  # seconds

    async def _wait_for_available_connection(self, *args: Any) -> None:
        try:
            async with asyncio.timeout(self.pool_timeout):
                await super()._wait_for_available_connection(*args)
        except TimeoutError:
            raise PoolTimeout from None


def create_app(upstream: str, settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def calls() -> AsyncIterator[Calls]:
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(
                total=settings.timeout, sock_connect=settings.connect_timeout
            ),
            connector=BoundedWaitConnector(
                settings.pool_timeout,
                limit=settings.pool or 100,
                keepalive_timeout=settings.keepalive_expiry,
            ),
            # A shared session would send one caller's cookies with another's request.
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        ) as client:

            async def fetch(path: str) -> Answer:
                # One redirect is too many, as in httpx: it may lead to any host.
                async with client.get(upstream + path, max_redirects=1) as response:
                    response.raise_for_status()
                    # Not response.json(): it takes an empty body for null.
                    return Answer(response.status, json.loads(await response.read()))

            yield Calls(fetch, partial(gathered, fetch))

    return async_service(settings, calls(), FAILURES)


def response_failure(error: aiohttp.ClientResponseError) -> CallFailure:
    if isinstance(error.__cause__, HttpProcessingError):
        return broken(error)  # what came was no HTTP; the status 400 in it is aiohttp's invention
    return refused(error.status, error.headers.get("Retry-After") if error.headers else None)


FAILURES: Failures = {
    PoolTimeout: no_free_connection,
    aiohttp.ConnectionTimeoutError: no_connection,
    aiohttp.ClientConnectorError: no_connection,
    aiohttp.ServerTimeoutError: too_slow,
    aiohttp.ClientResponseError: response_failure,
    aiohttp.ClientError: broken,
}
