"""Throughput with no delay: the mock next to a FastAPI route, nginx's echo module, and any URL.

    python tests/benchmarks/mock_throughput.py [--rounds 5] [--seconds 3] [--url NAME=URL]

All answer the same JSON. The servers take turns on the same core, so that a drift of the machine
hits all alike. Asked, of the medians: three times the FastAPI route, half of nginx.
"""

import argparse
import sys
from contextlib import ExitStack

import peers

CONNECTIONS = 64


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
            "mock_upstream": stack.enter_context(peers.mock("0ms")),
            "FastAPI route": stack.enter_context(peers.app(peers.FASTAPI)),
            "nginx echo": stack.enter_context(peers.nginx()),
            **dict(arguments.url),
        }
        for _ in range(arguments.rounds):
            for name, server in servers.items():
                if server:
                    driven = peers.drive(server, CONNECTIONS, arguments.seconds)
                    rounds.setdefault(name, []).append(driven)
    for name, driven in rounds.items():
        rates = [one.throughput for one in driven]
        cpu = peers.median([one.cpu for one in driven])
        cost = peers.median([one.cost for one in driven])
        failed = "  WITH FAILURES" if any(one.failed for one in driven) else ""
        print(
            f"{name:16} {peers.median(rates):9,.0f}/s  ({min(rates):,.0f} to {max(rates):,.0f})"
            f"  CPU for each {cost * 1e6:5.1f} us, driver's {cpu:.0%}{failed}"
        )
    ours = [one.throughput for one in rounds["mock_upstream"]]
    rows = []
    for name, asked in (("FastAPI route", 3.0), ("nginx echo", 0.5)):
        if name in rounds:
            pairs = zip(ours, (one.throughput for one in rounds[name]), strict=True)
            ratio = peers.median([mine / theirs for mine, theirs in pairs])
            rows.append(
                (f"times the {name}", f"at least {asked:g}", f"{ratio:.2f}", ratio >= asked)
            )
    sys.exit(not peers.judged(rows))


if __name__ == "__main__":
    main()
