"""`async def` routes and one shared `httpx.AsyncClient`: what does async gain, as most deploy it?

httpx 0.28.1, whose pool has two faults that show under load. It keeps no connection alive while
more than `max_keepalive_connections` are open, idle or not: above 20 concurrent calls each opens
its own connection. And with a higher number, which looks like the cure, one idle connection is
promised to every call that waits, which costs time that grows with the square of the burst. So
its default of 20 stays here, as it does in most services.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
from fastapi import FastAPI

from app_under_test.contract import Answer, Calls, async_service, gathered
from app_under_test.httpx_client import failures, options
from app_under_test.settings import Settings


def create_app(upstream: str, settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def calls() -> AsyncIterator[Calls]:
        async with httpx.AsyncClient(**options(httpx, settings)) as client:

            async def fetch(path: str) -> Answer:
                # The client's timeout is for each read: a dripping answer would never trip it.
                async with asyncio.timeout(settings.timeout):
                    response = await client.get(upstream + path)
                response.raise_for_status()
                return Answer(response.status_code, response.json())

            yield Calls(fetch, partial(gathered, fetch))

    return async_service(settings, calls(), failures(httpx))
