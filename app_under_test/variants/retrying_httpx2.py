"""Few retries, with pauses, within the deadline and a budget: do retries help, done well?

A failure that may pass (no connection, a reset, 502, 503, 504) is tried again: `attempts` calls in
all, after a random pause that doubles, and after the Retry-After that the upstream asks for. None
of it outlasts `timeout`: if the pause would, the failure is answered at once. And retries are a
share of the calls, `retry_budget`, for the whole process: when few calls fail, each gets its second
chance; when all do, the upstream sees a tenth more load instead of three times as much. Every call
here is a GET; one that is not idempotent must not be repeated after a reset.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import partial

import httpx2
from fastapi import FastAPI
from tenacity import (
    RetryCallState,
    retry,
    retry_if_exception,
    stop_after_attempt,
    stop_any,
    stop_before_delay,
    wait_random_exponential,
)
from tenacity.stop import stop_base

from app_under_test.contract import Answer, Calls, async_service, gathered
from app_under_test.httpx_client import failures, options
from app_under_test.settings import Settings

BURST = 10  # retries that may be saved up: a service with few callers needs one now and then
backoff = wait_random_exponential(multiplier=0.1, max=2)  # up to 0.1 s, then 0.2, 0.4 ...


class RetryBudget(stop_base):
    """Each call adds `share` of a token, each retry takes one, as Finagle's budget has it."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.tokens = float(BURST) if share else 0.0

    def count_call(self) -> None:
        self.tokens = min(BURST, self.tokens + self.share)

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Whether to stop; takes the token of the retry that comes next if there is one."""
        if self.tokens < 1:
            return True
        self.tokens -= 1
        return False


def may_pass(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later."""
    if isinstance(error, httpx2.HTTPStatusError):
        return error.response.status_code in (502, 503, 504)
    # No connection, a reset, a hang-up. Not a timeout: the upstream is at its limit already.
    return isinstance(
        error, httpx2.NetworkError | httpx2.ConnectTimeout | httpx2.RemoteProtocolError
    )


def pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: what the upstream asks for, and a random share on top."""
    error = state.outcome.exception() if state.outcome else None
    asked = retry_after(error.response) if isinstance(error, httpx2.HTTPStatusError) else 0.0
    return asked + backoff(state)


def retry_after(response: httpx2.Response) -> float:
    """Seconds until then (RFC 9110, 10.2.3: seconds or a date); 0 where it does not say."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def create_app(upstream: str, settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def calls() -> AsyncIterator[Calls]:
        budget = RetryBudget(settings.retry_budget)
        async with httpx2.AsyncClient(
            **options(httpx2, settings, keepalive=settings.pool or 100)
        ) as client:

            @retry(
                retry=retry_if_exception(may_pass),
                wait=pause,
                stop=stop_any(  # in this order: only a retry that will be made takes a token
                    stop_after_attempt(settings.attempts),
                    stop_before_delay(settings.timeout),
                    budget,
                ),
                reraise=True,
            )
            async def fetch_with_retries(path: str) -> Answer:
                response = await client.get(upstream + path)
                response.raise_for_status()
                return Answer(response.status_code, response.json())

            async def fetch(path: str) -> Answer:
                budget.count_call()
                # Of all attempts and pauses. The client's own is for each read.
                async with asyncio.timeout(settings.timeout):
                    return await fetch_with_retries(path)

            yield Calls(fetch, partial(gathered, fetch))

    return async_service(settings, calls(), failures(httpx2))
