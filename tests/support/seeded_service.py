"""A variant with a fault of its own, served as a user would serve a service of theirs.

    python tests/support/seeded_service.py async-httpx2 --port 8000 --upstream URL [--burn 0.004]
        [--block 0.02] [--hold 0.1] [--refuse 20]

`--burn`: seconds of CPU for each request, on the event loop. `--block`: seconds that each request
blocks the loop without using the CPU, as a hidden blocking call does. `--hold`: seconds for which
a thread of the routes' is held after each answer, as background tasks do. `--refuse`: the number of
requests at a time beyond which the service answers 429.
"""

import argparse
import math
import time

import anyio.to_thread
import uvicorn
from starlette.responses import PlainTextResponse

from app_under_test import variants
from app_under_test.settings import Settings
from app_under_test.telemetry import Telemetry


class Faulty:
    """Does what the options say to each request but the probes for readiness."""

    def __init__(self, app, options):
        self.app, self.options = app, options
        self.in_flight = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"] == "/health":
            await self.app(scope, receive, send)
            return
        if self.in_flight >= self.options.refuse:
            await PlainTextResponse("too many requests", 429)(scope, receive, send)
            return
        self.in_flight += 1
        try:
            await self.answer(scope, receive, send)
        finally:
            self.in_flight -= 1

    async def answer(self, scope, receive, send):
        end = time.thread_time() + self.options.burn
        while time.thread_time() < end:
            pass
        if self.options.block:
            time.sleep(self.options.block)
        await self.app(scope, receive, send)
        if self.options.hold:
            await anyio.to_thread.run_sync(time.sleep, self.options.hold)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--burn", type=float, default=0.0)
    parser.add_argument("--block", type=float, default=0.0)
    parser.add_argument("--hold", type=float, default=0.0)
    parser.add_argument("--refuse", type=float, default=math.inf)
    asked = parser.parse_args()
    app = variants.create_app(asked.variant, asked.upstream, Settings())  # APP_... from outside
    app = Telemetry(Faulty(app, asked))
    uvicorn.run(app, port=asked.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
