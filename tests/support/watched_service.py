"""
A small service whose threads do one known thing: python -m tests.support.watched_service KIND
UPSTREAM.

It prints its port. KIND is "sleep" or "requests" (a loop that it blocks), "threads" (`WORKERS`
threads that call), "cpu", "idle" (awaits) or "accept" (no event loop: one request after the other).
"""

import asyncio
import socket
import sys
import time
from typing import Any

import anyio
import anyio.to_thread
import requests
import uvicorn

WORKERS = 8
SECONDS = 0.05  # that a request takes


def application(kind: str, upstream: str) -> Any:
    limiter: list[anyio.CapacityLimiter] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        match kind:
            case "sleep":
                time.sleep(SECONDS)
            case "requests":
                requests.get(upstream)
            case "threads":
                limiter[:] = limiter or [anyio.CapacityLimiter(WORKERS)]
                await anyio.to_thread.run_sync(requests.get, upstream, limiter=limiter[0])
            case "cpu":
                end = time.thread_time() + SECONDS
                while time.thread_time() < end:
                    pass
            case "idle":
                await asyncio.sleep(SECONDS)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    return app


def one_after_the_other(listener: socket.socket, upstream: str) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            requests.get(upstream)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
            )


def main(kind: str, upstream: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    if kind == "accept":
        return one_after_the_other(listener, upstream)
    settings: dict[str, Any] = {"lifespan": "off", "log_level": "error", "access_log": False}
    uvicorn.Server(uvicorn.Config(application(kind, upstream), **settings)).run([listener])
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
