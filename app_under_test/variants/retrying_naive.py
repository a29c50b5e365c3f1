"""`attempts` calls at once after any failure: what do retries do to an upstream in trouble?

No pause, no budget, no difference between a failure that may pass and one that cannot. When all
calls fail, the upstream gets `attempts` times the load, just when it can bear the least, and a
timeout of 10 s becomes one of `attempts` times 10 s for the caller. `retrying-httpx2` does it well.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import httpx2
from fastapi import FastAPI

from app_under_test.contract import Answer, Calls, async_service, gathered
from app_under_test.httpx_client import failures, options
from app_under_test.settings import Settings


def create_app(upstream: str, settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def calls() -> AsyncIterator[Calls]:
        async with httpx2.AsyncClient(
            **options(httpx2, settings, keepalive=settings.pool or 100)
        ) as client:

            async def fetch_once(path: str) -> Answer:
                # The client's timeout is for each read: a dripping answer would never trip it.
                async with asyncio.timeout(settings.timeout):
                    response = await client.get(upstream + path)
                response.raise_for_status()
                return Answer(response.status_code, response.json())

            async def fetch(path: str) -> Answer:
                for _ in range(settings.attempts - 1):
                    with suppress(Exception):
                        return await fetch_once(path)
                return await fetch_once(path)

            yield Calls(fetch, partial(gathered, fetch))

    return async_service(settings, calls(), failures(httpx2))
