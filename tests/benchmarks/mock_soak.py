"""An hour's worth of requests, sped up: memory must stay where it is.

    python tests/benchmarks/mock_soak.py [--requests 360000] [--url URL --pid PID]

As many as 100 users with a pause of a second send in an hour, in bursts of two seconds that each
open new connections and abandon what is under way at their end. The mock plays what keeps
state: draws, a queue, a limit by address, errors. Asked: in the second half of
the requests memory grows by at most 1 MB.
"""

import argparse
import sys
import time

import peers

CONNECTIONS = 64
PROFILE = {
    "latency": "lognormal(p50=1ms,p99=5ms)",
    "errors": {503: 0.01},
    "capacity": {"servers": 32, "queue": 100},
    "limits": [{"kind": "token_bucket", "limit": 1_000_000, "per": "1s", "key": "address"}],
    "routes": [{"path": "/", "json": {"ok": True}}],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=360_000)
    parser.add_argument("--url")
    parser.add_argument("--pid", type=int)
    arguments = parser.parse_args()
    peers.about_the_machine()
    if arguments.url:
        growth = soak(peers.Peer(arguments.url, arguments.pid), arguments.requests)
        print(f"{arguments.url} grew by {growth / 1e3:,.0f} KB")
    with peers.mock(PROFILE) as upstream:
        growth = soak(upstream, arguments.requests)
        account = upstream.ledger()
    answered = sum(account.answers.values())
    booked = answered + account.disconnects + account.unanswered + account.in_flight.now
    print(f"{account.arrivals:,} arrivals over {account.connections.accepted:,} connections")
    rows = [
        ("growth in the second half", "at most 1 MB", f"{growth / 1e6:.2f} MB", growth <= 1e6),
        ("the books balance", f"{account.arrivals:,}", f"{booked:,}", booked == account.arrivals),
    ]
    sys.exit(not peers.judged(rows))


def soak(peer, requests: int) -> int:
    """Bytes that the process grew in the second half of the requests."""
    done, middle = 0.0, 0
    began = time.monotonic()
    while done < requests:
        driven = peers.drive(peer, CONNECTIONS, 2.0)
        done += 2.0 * driven.throughput
        now = peers.resident(peer.pid)
        if not middle and done >= requests / 2:
            middle = now
        print(f"{time.monotonic() - began:6.1f} s {done:9,.0f} requests {now / 1e6:8.2f} MB")
    return now - middle


if __name__ == "__main__":
    main()
