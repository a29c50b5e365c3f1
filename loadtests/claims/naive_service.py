"""
The clients as they come out of the box, the way tutorials print them; on purpose without care.

    python -m loadtests.claims.naive_service --upstream URL --port PORT

No time limits and no retries but the library's own, and no error is handled: what the variants of
`app_under_test` do about these is left out, since it is what the experiments are about.
"""

# The routes have no return annotation, as it is printed.
# mypy: disable-error-code="no-untyped-def"

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import httpx
import requests
import urllib3
import uvicorn
from fastapi import FastAPI

from loadtests.claims.model import TIMEOUT


def create_app(upstream: str, port: int) -> FastAPI:
    """Each library under its name; `port` is the app's own."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            httpx.AsyncClient(trust_env=False) as app.state.httpx,
            aiohttp.ClientSession() as app.state.aiohttp,
        ):
            yield

    app = FastAPI(lifespan=lifespan)
    session = requests.Session()
    session.trust_env = False
    pool = urllib3.PoolManager()

    @app.get("/httpx/{path}")
    async def by_httpx(path: str):
        response = await app.state.httpx.get(f"{upstream}/{path}")
        response.raise_for_status()
        return response.json()

    @app.get("/aiohttp/{path}")
    async def by_aiohttp(path: str):
        async with app.state.aiohttp.get(f"{upstream}/{path}") as response:
            return await response.json()

    @app.get("/requests/{path}")
    def by_requests(path: str):
        return session.get(f"{upstream}/{path}").json()

    @app.get("/urllib3/{path}")
    def by_urllib3(path: str):
        return pool.request("GET", f"{upstream}/{path}").json()

    @app.get("/safe-fetch/{path}")
    async def safe_fetch(path: str):
        try:
            response = await app.state.httpx.get(f"{upstream}/{path}")
            response.raise_for_status()
            return response.json()
        except httpx.RequestError as error:
            return {"error": str(error)}

    @app.get("/internal")
    def internal():
        # A limit after all: otherwise nothing would come back when no thread is left.
        return session.get(f"http://127.0.0.1:{port}/item", timeout=TIMEOUT).json()

    @app.get("/item")
    def item():
        return {"ok": True}

    @app.get("/health")
    async def health():
        return {"ok": True}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="The clients as they come out of the box.")
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    app = create_app(given.upstream, given.port)
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="critical", access_log=False)


if __name__ == "__main__":
    main()
