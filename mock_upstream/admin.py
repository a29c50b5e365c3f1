"""The control API: what the mock plays and what it did. On a port of its own."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI

from mock_upstream.deadlines import EXACT
from mock_upstream.ledger import Account, Ledger
from mock_upstream.mock import Mock

OnLoop = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function on the event loop of the mock and gives its result."""


def create_app(mock: Mock, ledger: Ledger, on_loop: OnLoop) -> FastAPI:
    """Reads go through `on_loop`: between two requests, so that all counts fit together."""
    app = FastAPI(title="mock_upstream control")

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"ok": True, "epoch": ledger.epoch, "timers": "timerfd" if EXACT else "event loop"}

    @app.get("/ledger")
    async def read_ledger(reset_peak: bool = False) -> Account:
        account: Account = await on_loop(lambda: mock.account(reset_peak))
        return account

    @app.get("/profile")
    async def read_profile() -> dict[str, Any]:
        return mock.profile.model_dump(mode="json", by_alias=True)

    return app
