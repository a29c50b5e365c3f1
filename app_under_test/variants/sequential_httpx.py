"""The shared `httpx.AsyncClient`, awaiting one call after the other: does `async def` do it alone?

It does not make one request faster: k calls of a request take k times as long as one. Other
requests are served meanwhile, so the service carries as many callers as `async-httpx` does, each
of whom waits longer.
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

            async def fetch(path: str) -> Answer:
                # The client's timeout is for each read: a dripping answer would never trip it.
                async with asyncio.timeout(settings.timeout):
                    response = await client.get(upstream + path)
                response.raise_for_status()
                return Answer(response.status_code, response.json())

            async def fetch_all(paths: Sequence[str], max_concurrent: int | None) -> list[Answer]:
                return [await fetch(path) for path in paths]

            yield Calls(fetch, fetch_all)

    return async_service(settings, calls(), failures(httpx))
