"""A service of somebody else's, with a client of each library and one line for telemetry.

UPSTREAM=URL uvicorn tests.support.telemetry_service:app
"""

import asyncio
import os
import ssl
import threading
import time
from contextlib import asynccontextmanager, suppress

import aiohttp
import anyio.to_thread
import httpx
import httpx2
import requests
import urllib3
from fastapi import BackgroundTasks, FastAPI
from requests.adapters import HTTPAdapter

from app_under_test.telemetry import Telemetry

UPSTREAM, POOL = os.environ["UPSTREAM"], int(os.environ.get("POOL", "1"))
METHODS = {  # those that telemetry replaces
    "anyio": anyio.to_thread.run_sync,
    "httpx": httpx.AsyncHTTPTransport.handle_async_request,
    "aiohttp": aiohttp.BaseConnector.connect,
    "urllib3": urllib3.HTTPConnectionPool._get_conn,
}
release = threading.Event()
bare = urllib3.PoolManager(maxsize=POOL, block=True)
session = requests.Session()
session.mount("http://", HTTPAdapter(pool_maxsize=POOL, pool_block=True))
blocking_httpx = httpx.Client(limits=httpx.Limits(max_connections=POOL))


@asynccontextmanager
async def lifespan(app):
    anyio.to_thread.current_default_thread_limiter().total_tokens = 4
    limits = {"max_connections": POOL, "max_keepalive_connections": POOL}
    async with (
        httpx.AsyncClient(limits=httpx.Limits(**limits)) as one,
        httpx2.AsyncClient(limits=httpx2.Limits(**limits)) as two,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=POOL)) as three,
    ):

        async def fetch():
            async with three.get(UPSTREAM) as response:
                await response.read()

        app.state.fetch = {
            "httpx": lambda: one.get(UPSTREAM),
            "httpx2": lambda: two.get(UPSTREAM),
            "aiohttp": fetch,
        }
        yield


service = FastAPI(lifespan=lifespan)
FETCH = {
    "requests": lambda: session.get(UPSTREAM),
    "urllib3": lambda: bare.request("GET", UPSTREAM),
    "httpx-blocking": lambda: blocking_httpx.get(UPSTREAM),
}


@service.get("/gathered/{library}/{times}")
async def gathered(library: str, times: int):
    await asyncio.gather(*(service.state.fetch[library]() for _ in range(times)))


@service.get("/in-turn/{library}/{times}")
async def in_turn(library: str, times: int):
    for _ in range(times):
        await service.state.fetch[library]()


@service.get("/threads/{library}/{times}")
async def threads(library: str, times: int):
    """Make calls at the same time, in worker threads."""
    fetch = FETCH[library]
    await asyncio.gather(*(anyio.to_thread.run_sync(fetch) for _ in range(times)))


@service.get("/model")
def model() -> dict[str, bool]:
    return {"validated in a worker thread": True}


@service.get("/held")
def held():
    """Takes a thread until `/released`."""
    assert release.wait(60)


@service.get("/released")
async def released():
    release.set()


@service.get("/blocked/{seconds}")
async def blocked(seconds: float):
    time.sleep(seconds)


@service.get("/burnt/{seconds}")
async def burnt(seconds: float):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@service.get("/again")
async def again():
    """Three attempts at what fails, each with a client of its own."""
    for _ in range(3):
        async with httpx2.AsyncClient() as client:
            with suppress(httpx2.ConnectError):
                await client.get("http://127.0.0.1:9")


@service.get("/made-with/{part}")
async def made_with(part: str):
    """Make a client that has its transport, or its TLS context, from outside."""
    with_part = {
        "nothing": dict,
        "transport": lambda: {"transport": httpx2.AsyncHTTPTransport()},
        "context": lambda: {"verify": ssl.create_default_context()},
    }
    async with httpx2.AsyncClient(trust_env=False, **with_part[part]()):
        pass


@service.get("/answered-first/{seconds}")
async def answered_first(seconds: float, tasks: BackgroundTasks):
    tasks.add_task(time.sleep, seconds)


@service.get("/unhandled")
async def unhandled():
    raise RuntimeError("nobody expects it")


@service.get("/same")
async def same():
    """What telemetry has left as it was when this module was imported."""
    now = {
        "anyio": anyio.to_thread.run_sync,
        "httpx": httpx.AsyncHTTPTransport.handle_async_request,
        "aiohttp": aiohttp.BaseConnector.connect,
        "urllib3": urllib3.HTTPConnectionPool._get_conn,
    }
    return [name for name, method in METHODS.items() if now[name] is method]


app = Telemetry(service)
