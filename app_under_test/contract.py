"""The paths that every variant answers, so that one set of requests fits all.

A variant brings its calls; whether they are coroutines or plain functions decides whether the
routes are `async def` or `def`. Everything else is the same: no route has a return annotation
(FastAPI would validate the answer, and send a `def` route to the thread queue a second time),
none has a dependency.
"""

# The routes below have no return annotation on purpose (see above).
# mypy: disable-error-code="no-untyped-def"

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import anyio.to_thread
from fastapi import FastAPI, Path, Query

from app_under_test import errors, telemetry
from app_under_test.errors import Failures
from app_under_test.settings import Settings

N = Annotated[int, Path(ge=1, le=1000)]
MaxConcurrent = Annotated[int | None, Query(ge=1)]


class Answer(NamedTuple):
    """What the upstream answered, with a status that is a success."""

    status: int
    json: Any


Fetch = Callable[[str], Awaitable[Answer]]
BlockingFetch = Callable[[str], Answer]


@dataclass(frozen=True, slots=True)
class Calls:
    """How a variant calls the upstream, from `async def` routes."""

    fetch: Fetch
    """One call of a path such as `/external-data`."""
    fetch_all: Callable[[Sequence[str], int | None], Awaitable[Sequence[Answer]]]
    """Several calls, at most `max_concurrent` at a time (None: the variant decides)."""


@dataclass(frozen=True, slots=True)
class BlockingCalls:
    """How a variant calls the upstream, from `def` routes."""

    fetch: BlockingFetch
    fetch_all: Callable[[Sequence[str], int | None], Sequence[Answer]]


def async_service(
    settings: Settings, calls: AbstractAsyncContextManager[Calls], failures: Failures
) -> FastAPI:
    """The service with `async def` routes; `calls` is open for the life of the process."""
    app = service(settings, calls, failures)

    @app.get("/external-data")
    async def external_data():
        return (await app.state.calls.fetch("/external-data")).json

    @app.get("/data")
    async def data():
        one, two = await app.state.calls.fetch_all(("/one", "/two"), None)
        return {"one": one.json, "two": two.json}

    @app.get("/fan-out/{n}")
    async def fan_out(n: N, max_concurrent: MaxConcurrent = None):
        return statuses(await app.state.calls.fetch_all(items(n), max_concurrent))

    return app


def blocking_service(
    settings: Settings, calls: AbstractAsyncContextManager[BlockingCalls], failures: Failures
) -> FastAPI:
    """The service with `def` routes, each of which holds a thread until it has answered."""
    app = service(settings, calls, failures)

    @app.get("/external-data")
    def external_data():
        return app.state.calls.fetch("/external-data").json

    @app.get("/data")
    def data():
        one, two = app.state.calls.fetch_all(("/one", "/two"), None)
        return {"one": one.json, "two": two.json}

    @app.get("/fan-out/{n}")
    def fan_out(n: N, max_concurrent: MaxConcurrent = None):
        return statuses(app.state.calls.fetch_all(items(n), max_concurrent))

    return app


def service(
    settings: Settings, calls: AbstractAsyncContextManager[object], failures: Failures
) -> FastAPI:
    """What does not call the upstream: bystanders, gauges, errors, the number of threads."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # The limiter belongs to the running loop, so this cannot be done any earlier.
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.threads
        async with calls as app.state.calls:
            yield

    app = FastAPI(lifespan=lifespan)
    errors.install(app, failures)
    telemetry.install(app)

    @app.get("/health")
    async def health():
        return {"ok": True}

    @app.get("/health-sync")
    def health_sync():
        return {"ok": True}

    return app


def items(n: int) -> list[str]:
    return [f"/item/{i}" for i in range(n)]


def statuses(answers: Sequence[Answer]) -> dict[str, list[int]]:
    return {"statuses": [answer.status for answer in answers]}


async def gathered(
    fetch: Fetch, paths: Sequence[str], max_concurrent: int | None
) -> Sequence[Answer]:
    """All calls at the same time, or `max_concurrent` of them; the first failure is raised."""
    if max_concurrent is None:
        return await asyncio.gather(*map(fetch, paths))
    places = asyncio.Semaphore(max_concurrent)

    async def fetch_in_turn(path: str) -> Answer:
        async with places:
            return await fetch(path)

    return await asyncio.gather(*map(fetch_in_turn, paths))
