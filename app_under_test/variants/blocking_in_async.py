"""The shared `requests.Session` called inside `async def`: why did everything freeze?

The pitfall. While one call waits, the event loop does not run, so there is one upstream call at a
time whatever the load, and every other route stands still with it, `/health` too.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app_under_test.contract import Answer, Calls, async_service
from app_under_test.requests_session import FAILURES, session
from app_under_test.settings import Settings


def create_app(upstream: str, settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def calls() -> AsyncIterator[Calls]:
        with session(settings) as client:

            async def fetch(path: str) -> Answer:
                response = client.get(
                    upstream + path, timeout=(settings.connect_timeout, settings.timeout)
                )
                response.raise_for_status()
                return Answer(response.status_code, response.json())

            async def fetch_all(paths: Sequence[str], max_concurrent: int | None) -> list[Answer]:
                return [await fetch(path) for path in paths]

            yield Calls(fetch, fetch_all)

    return async_service(settings, calls(), FAILURES)
