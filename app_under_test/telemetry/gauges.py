"""How the process is: gauges, read when asked for.

They name the process and what it holds; a service on an open network must not answer them to
everybody.
"""

import os
import time
from typing import Any

import anyio.to_thread
import psutil
from fastapi import FastAPI

PROCESS = psutil.Process()


def gauges() -> dict[str, Any]:
    """The gauges of this process now; seconds and bytes. Works inside the event loop only."""
    threads = anyio.to_thread.current_default_thread_limiter().statistics()
    return {
        "pid": os.getpid(),
        "threads": {
            "total": threads.total_tokens,
            "borrowed": threads.borrowed_tokens,
            "waiting": threads.tasks_waiting,
        },
        "cpu": time.process_time(),
        "rss": PROCESS.memory_info().rss,
        "uptime": time.time() - PROCESS.create_time(),
    }


def install(app: FastAPI) -> None:
    @app.get("/telemetry")
    async def telemetry():  # type: ignore[no-untyped-def]  # annotated routes are validated
        return gauges()
