"""A service whose LIMIT is one of those that people meet, each with three places or so.

UPSTREAM=URL LIMIT=NAME uvicorn tests.support.limited_service:app
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import anyio
import anyio.to_thread
import httpx
import requests
import sqlalchemy
from fastapi import BackgroundTasks, Depends, FastAPI, Request
from requests.adapters import HTTPAdapter
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address

from brownout import Telemetry

UPSTREAM, PLACES = os.environ["UPSTREAM"], 3
THREADS = 8
session = requests.Session()
session.mount("http://", HTTPAdapter(pool_maxsize=50))
limiter = Limiter(key_func=get_remote_address)
clients: dict[str, aiohttp.ClientSession] = {}
database = sqlalchemy.create_engine(
    f"sqlite:///{tempfile.mkdtemp()}/data.db",
    pool_size=PLACES - 1,
    max_overflow=1,
    poolclass=sqlalchemy.pool.QueuePool,
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    connector = aiohttp.TCPConnector(limit=300, limit_per_host=PLACES)
    async with (
        aiohttp.ClientSession() as clients["free"],
        aiohttp.ClientSession(connector=connector) as clients["per-host"],
    ):
        yield


service = FastAPI(lifespan=lifespan)
service.state.limiter = limiter
service.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)  # type: ignore[arg-type]
gate, bound = asyncio.Semaphore(PLACES), anyio.CapacityLimiter(PLACES)
narrow = httpx.AsyncClient(limits=httpx.Limits(max_connections=PLACES))


async def call(client: str = "free", path: str = "/") -> None:
    async with clients[client].get(UPSTREAM + path) as answer:
        await answer.read()


def blocking_call(path: str = "/") -> None:
    session.get(UPSTREAM + path, timeout=10).raise_for_status()


async def one_place() -> AsyncIterator[None]:
    async with gate:
        yield


async def slot() -> AsyncIterator[None]:
    yield


def held_connection() -> None:
    with database.connect() as connection:
        connection.execute(sqlalchemy.text("select 1"))
        blocking_call()


async def borrowed() -> None:
    async with bound:
        await call()


@service.get("/health")
async def health() -> dict[str, bool]:
    return {"ok": True}


@service.get("/sqlalchemy")
def with_database():  # type: ignore[no-untyped-def]
    held_connection()


@service.get("/asyncio")
async def in_default_executor():  # type: ignore[no-untyped-def]
    await asyncio.to_thread(blocking_call)


@service.get("/semaphore", dependencies=[Depends(one_place)])
async def behind_a_semaphore():  # type: ignore[no-untyped-def]
    await call()


@service.get("/max-concurrency", dependencies=[Depends(slot, max_concurrency=PLACES)])
async def behind_a_dependency():  # type: ignore[no-untyped-def]
    await call()


@service.get("/background")
def answers_first(tasks: BackgroundTasks):  # type: ignore[no-untyped-def]
    blocking_call()
    tasks.add_task(blocking_call, "/mail")


@service.get("/slowapi")
@limiter.limit("20/second")
async def refuses(request: Request):  # type: ignore[no-untyped-def]
    await call()


@service.get("/itself")
def calls_itself(request: Request):  # type: ignore[no-untyped-def]
    """Holds a thread for a call that needs another one."""
    session.get(f"{str(request.base_url).rstrip('/')}/sync", timeout=10).raise_for_status()


@service.get("/sync")
def in_a_thread():  # type: ignore[no-untyped-def]
    blocking_call()


ASYNC: dict[str, Callable[[], Awaitable[object]]] = {
    "per-host": lambda: call("per-host"),
    "httpx": lambda: narrow.get(UPSTREAM),
    "limiter": borrowed,
    "free": call,
}


@service.get("/async/{kind}")
async def asynchronous(kind: str):  # type: ignore[no-untyped-def]
    await ASYNC[kind]()


app = Telemetry(service)
