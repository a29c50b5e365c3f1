"""A new `httpx.AsyncClient` in each handler, as the tutorials print it: does it matter?

Nothing is shared: each call opens a connection. Worse, each client builds a TLS context, for
http:// as well, some 17 ms of CPU on the event loop, so a worker stops at about 60 requests per
second however fast the upstream is, and many short waits add up for everybody.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import httpx
from fastapi import FastAPI

from app_under_test.contract import Answer, Calls, async_service, gathered
from app_under_test.httpx_client import failures, options
from app_under_test.settings import Settings


def create_app(upstream: str, settings: Settings) -> FastAPI:
    def new_client() -> httpx.AsyncClient:
        return httpx.AsyncClient(**options(httpx, settings))

    async def fetch_with(client: httpx.AsyncClient, path: str) -> Answer:
        # The client's timeout is for each read: a dripping answer would never trip it.
        async with asyncio.timeout(settings.timeout):
            response = await client.get(upstream + path)
        response.raise_for_status()
        return Answer(response.status_code, response.json())

    async def fetch(path: str) -> Answer:
        async with new_client() as client:
            return await fetch_with(client, path)

    async def fetch_all(paths: Sequence[str], max_concurrent: int | None) -> Sequence[Answer]:
        async with new_client() as client:
            return await gathered(partial(fetch_with, client), paths, max_concurrent)

    @asynccontextmanager
    async def calls() -> AsyncIterator[Calls]:
        yield Calls(fetch, fetch_all)

    return async_service(settings, calls(), failures(httpx))
