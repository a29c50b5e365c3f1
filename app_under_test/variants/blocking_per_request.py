"""`def` routes and `requests.get`, without a session, as tutorials print it: does it matter?

Each call makes a session and a connection and throws both away. That costs some CPU, in a thread,
and a handshake; the threads are still what ends it, at 40 calls in flight. Compared with
`client-per-request`, the async form of the same slip, it shows which of the two is dear. The
tutorials give no timeout either, with which 40 calls to an upstream that never answers end the
service: here it has that of the settings, between two reads.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import requests
from fastapi import FastAPI

from app_under_test.contract import Answer, BlockingCalls, blocking_service
from app_under_test.requests_session import FAILURES
from app_under_test.settings import Settings


def create_app(upstream: str, settings: Settings) -> FastAPI:
    host = urlsplit(upstream).hostname or ""

    def fetch(path: str) -> Answer:
        response = requests.get(
            upstream + path,
            timeout=(settings.connect_timeout, settings.timeout),
            allow_redirects=False,  # as in httpx: a redirect may lead to any host
            proxies={"no_proxy": host},  # the environment's would be another upstream
        )
        if response.is_redirect:
            raise requests.TooManyRedirects(response=response)
        response.raise_for_status()
        return Answer(response.status_code, response.json())

    def fetch_all(paths: Sequence[str], max_concurrent: int | None) -> list[Answer]:
        return [fetch(path) for path in paths]

    @asynccontextmanager
    async def calls() -> AsyncIterator[BlockingCalls]:
        yield BlockingCalls(fetch, fetch_all)

    return blocking_service(settings, calls(), FAILURES)
