"""A variant with a fault of its own, served as a user would serve a service of theirs.

    python tests/support/seeded_service.py async-httpx2 --port 8000 --upstream URL [--burn 0.004]
        [--block 0.02]

`--burn`: seconds of CPU for each request, on the event loop. `--block`: seconds that each request
blocks the loop without using the CPU, as a hidden blocking call does.
"""

import argparse
import time

import uvicorn

from app_under_test import variants
from app_under_test.settings import Settings
from app_under_test.telemetry import Telemetry


class Faulty:
    """Burns, or blocks, before each request but the probes for readiness."""

    def __init__(self, app, burn, block):
        self.app, self.burn, self.block = app, burn, block

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"] != "/health":
            end = time.thread_time() + self.burn
            while time.thread_time() < end:
                pass
            if self.block:
                time.sleep(self.block)
        await self.app(scope, receive, send)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--burn", type=float, default=0.0)
    parser.add_argument("--block", type=float, default=0.0)
    asked = parser.parse_args()
    app = variants.create_app(asked.variant, asked.upstream, Settings())  # APP_... from outside
    app = Telemetry(Faulty(app, asked.burn, asked.block))
    uvicorn.run(app, port=asked.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
