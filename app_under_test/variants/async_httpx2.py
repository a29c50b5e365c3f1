"""`async def` routes and one shared `httpx2.AsyncClient`: what do the mended pool and parser gain?

httpx2 is the maintained successor of httpx, with the same names. Its pool keeps connections alive
at any number of concurrent calls, so as many may idle as may be open.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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

            async def fetch(path: str) -> Answer:
                # The client's timeout is for each read: a dripping answer would never trip it.
                async with asyncio.timeout(settings.timeout):
                    response = await client.get(upstream + path)
                response.raise_for_status()
                return Answer(response.status_code, response.json())

            yield Calls(fetch, partial(gathered, fetch))

    return async_service(settings, calls(), failures(httpx2))
