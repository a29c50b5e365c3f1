"""One semaphore for the process, with a bounded queue: how does one survive an overload?

At most `max_concurrent` calls are in flight and at most `max_queue` wait for their turn, for
`pool_timeout` at most; beyond that the caller gets 503 with Retry-After at once, instead of a wait
that grows with the number of callers. Who is let in waits no longer than the queue is long, and
the upstream never sees more calls than it was meant to, however many callers there are.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from app_under_test.contract import Answer, Calls, async_service, gathered
from app_under_test.errors import Failures, overloaded
from app_under_test.httpx_client import failures, options
from app_under_test.settings import Settings


class Overloaded(Exception):
    """The queue is full, or the wait in it was too long."""


class Bulkhead:
    """
    A bounded number of calls at a time and of calls that wait, in the order of their arrival.

    Args:
        timeout: seconds that a call waits for its turn.
    """

    def __init__(self, size: int, max_queue: int, timeout: float) -> None:
        self.places = asyncio.Semaphore(size)
        self.max_queue = max_queue
        self.timeout = timeout
        self.waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """
        Raises:
            Overloaded: there is no place, and none to wait in or none came free in time.
        """
        if self.places.locked() and self.waiting >= self.max_queue:
            raise Overloaded(f"{self.waiting} calls wait already, which is as many as may")
        self.waiting += 1
        try:
            async with asyncio.timeout(self.timeout):
                await self.places.acquire()
        except TimeoutError:
            raise Overloaded(f"its turn did not come within {self.timeout:g} s") from None
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self.places.release()


def create_app(upstream: str, settings: Settings) -> FastAPI:
    size = settings.max_concurrent
    max_queue = size if settings.max_queue is None else settings.max_queue

    @asynccontextmanager
    async def calls() -> AsyncIterator[Calls]:
        bulkhead = Bulkhead(size, max_queue, settings.pool_timeout)
        async with httpx.AsyncClient(**options(httpx, settings)) as client:

            async def fetch(path: str) -> Answer:
                # The client's timeout is for each read: a dripping answer would never trip it.
                async with bulkhead.place(), asyncio.timeout(settings.timeout):
                    response = await client.get(upstream + path)
                response.raise_for_status()
                return Answer(response.status_code, response.json())

            async def fetch_all(
                paths: Sequence[str], max_concurrent: int | None
            ) -> Sequence[Answer]:
                # No more at a time than could be let in: a request with many calls would fill the
                # queue by itself and be refused by an idle service.
                return await gathered(fetch, paths, min(max_concurrent or size, size))

            yield Calls(fetch, fetch_all)

    return async_service(settings, calls(), FAILURES)


FAILURES: Failures = {**failures(httpx), Overloaded: overloaded}
