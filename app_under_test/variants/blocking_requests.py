"""`def` routes and one shared `requests.Session`: how far do threads carry?

Each request holds a thread while it waits for the upstream. There are 40 by default, for every
`def` route of the process together, so the service stops at 40 calls in flight and the others
queue for a thread; `/health`, an `async def`, is not touched. The session keeps as many
connections as there are threads (the library's default of 10 would throw 30 of 40 away after each
call). `timeout` counts between two reads: a thread cannot be cancelled, and an upstream that
sends a byte now and then holds it for longer.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app_under_test.contract import Answer, BlockingCalls, blocking_service
from app_under_test.requests_session import FAILURES, session
from app_under_test.settings import Settings


def create_app(upstream: str, settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def calls() -> AsyncIterator[BlockingCalls]:
        with session(settings) as client:

            def fetch(path: str) -> Answer:
                response = client.get(
                    upstream + path, timeout=(settings.connect_timeout, settings.timeout)
                )
                response.raise_for_status()
                return Answer(response.status_code, response.json())

            def fetch_all(paths: Sequence[str], max_concurrent: int | None) -> list[Answer]:
                return [fetch(path) for path in paths]

            yield BlockingCalls(fetch, fetch_all)

    return blocking_service(settings, calls(), FAILURES)
