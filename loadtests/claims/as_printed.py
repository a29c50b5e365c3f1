"""
The clients as they come out of the box, the way tutorials print them; on purpose without care.

    python -m loadtests.claims.as_printed httpx --upstream URL --port PORT

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

PATIENCE = 2.0  # seconds for an internal call


def httpx_app(upstream: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with httpx.AsyncClient(trust_env=False) as app.state.client:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/call/{path}")
    async def call(path: str):
        response = await app.state.client.get(f"{upstream}/{path}")
        response.raise_for_status()
        return response.json()

    @app.get("/safe/{path}")
    async def safe(path: str):
        try:
            async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
                response = await client.get(f"{upstream}/{path}")
                response.raise_for_status()
                return response.json()
        except httpx.RequestError as error:
            return {"error": str(error)}

    return app


def aiohttp_app(upstream: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as app.state.client:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/call/{path}")
    async def call(path: str):
        async with app.state.client.get(f"{upstream}/{path}") as response:
            return await response.json()

    return app


def requests_app(upstream: str, port: int) -> FastAPI:
    app = FastAPI()
    session = requests.Session()
    session.trust_env = False

    @app.get("/call/{path}")
    def call(path: str):
        return session.get(f"{upstream}/{path}").json()

    @app.get("/internal")
    def internal():
        # A limit after all: otherwise nothing would come back when no thread is left.
        return session.get(f"http://127.0.0.1:{port}/item", timeout=PATIENCE).json()

    @app.get("/item")
    def item():
        return {"ok": True}

    return app


def urllib3_app(upstream: str) -> FastAPI:
    app = FastAPI()
    pool = urllib3.PoolManager()

    @app.get("/call/{path}")
    def call(path: str):
        return pool.request("GET", f"{upstream}/{path}").json()

    return app


def app_of(client: str, upstream: str, port: int) -> FastAPI:
    match client:
        case "httpx":
            app = httpx_app(upstream)
        case "aiohttp":
            app = aiohttp_app(upstream)
        case "requests":
            app = requests_app(upstream, port)
        case _:
            app = urllib3_app(upstream)

    @app.get("/health")
    async def health():
        return {"ok": True}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("client", choices=["httpx", "aiohttp", "requests", "urllib3"])
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    app = app_of(given.client, given.upstream, given.port)
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="critical", access_log=False)


if __name__ == "__main__":
    main()
