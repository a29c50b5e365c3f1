"""A semaphore made inside the handler, as a tutorial prints it: does it protect the upstream?

It bounds what one request has in flight, and there is a new one for each request: N requests with
a semaphore of m send up to N times m calls at a time. `bounded-httpx` has the same semaphore, made
once.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from app_under_test.contract import Answer, Calls, async_service
from app_under_test.httpx_client import failures, options
from app_under_test.settings import Settings


def create_app(upstream: str, settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def calls() -> AsyncIterator[Calls]:
        async with httpx.AsyncClient(**options(httpx, settings)) as client:

            async def fetch_in_turn(places: asyncio.Semaphore, path: str) -> Answer:
                # The client's timeout is for each read: a dripping answer would never trip it.
                async with places, asyncio.timeout(settings.timeout):
                    response = await client.get(upstream + path)
                response.raise_for_status()
                return Answer(response.status_code, response.json())

            async def fetch(path: str) -> Answer:
                return await fetch_in_turn(asyncio.Semaphore(settings.max_concurrent), path)

            async def fetch_all(
                paths: Sequence[str], max_concurrent: int | None
            ) -> Sequence[Answer]:
                places = asyncio.Semaphore(max_concurrent or settings.max_concurrent)
                return await asyncio.gather(*(fetch_in_turn(places, path) for path in paths))

            yield Calls(fetch, fetch_all)

    return async_service(settings, calls(), failures(httpx))
