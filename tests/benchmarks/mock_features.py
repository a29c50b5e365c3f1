"""What the ledger, Server-Timing, keyed draws and capacity cost together.

    python tests/benchmarks/mock_features.py [--rounds 5] [--seconds 3] [--url NAME=URL]

The bare path is a two-line ASGI app that gives the same JSON under the same uvicorn, uvloop and
httptools; it knows no delay and counts nothing. Asked: the mock keeps 75 % of its throughput.
"""

import argparse
import sys
from contextlib import ExitStack

import peers

CONNECTIONS = 64
BARE = """
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"12")]


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b'{"ok": true}'})
"""
QUIET = ("--lifespan", "off", "--no-server-header", "--no-date-header", "--no-proxy-headers")
# Drawn, and over before the answer could be sent; enough servers for all that ask.
DRAWN = {"latency": "uniform(0ms,1us)"}
SERVED = {**DRAWN, "capacity": {"servers": 2 * CONNECTIONS}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--url", type=peers.named_url, action="append", default=[])
    arguments = parser.parse_args()
    peers.about_the_machine()
    rounds: dict[str, list[peers.Driven]] = {}
    with ExitStack() as stack:
        servers = {
            "bare": stack.enter_context(peers.app(BARE, *QUIET)),
            "mock": stack.enter_context(peers.mock("0ms")),
            "+ draws": stack.enter_context(peers.mock(DRAWN)),
            "+ capacity": stack.enter_context(peers.mock(SERVED)),
            **dict(arguments.url),
        }
        for _ in range(arguments.rounds):
            for name, server in servers.items():
                driven = peers.drive(server, CONNECTIONS, arguments.seconds)
                rounds.setdefault(name, []).append(driven)
    kept = {}
    for name, driven in rounds.items():
        pairs = zip(driven, rounds["bare"], strict=True)
        kept[name] = peers.median([mine.throughput / bare.throughput for mine, bare in pairs])
        rate = peers.median([one.throughput for one in driven])
        cost = peers.median([one.cost for one in driven])
        print(
            f"{name:12} {rate:9,.0f}/s, {kept[name]:.1%} of the bare path; "
            f"CPU for each {cost * 1e6:.1f} us"
        )
    cost = 1 - kept["+ capacity"]
    rows = [("cost of all together", "at most 25 %", f"{cost:.1%}", cost <= 0.25)]
    sys.exit(not peers.judged(rows))


if __name__ == "__main__":
    main()
