"""A shop that asks its payment service once for each checkout."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from fastapi import FastAPI


@asynccontextmanager
async def payments(app: FastAPI) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(os.environ["PAYMENTS_URL"]) as app.state.payments:
        yield


app = FastAPI(lifespan=payments)


@app.get("/health")
async def health() -> dict[str, bool]:
    return {"ok": True}


@app.get("/checkout")
async def checkout() -> dict[str, Any]:
    async with app.state.payments.get("/charge") as answer:
        answer.raise_for_status()
        return {"state": "paid", "charge": await answer.json()}
