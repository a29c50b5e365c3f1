"""Lateness: by the ledger at 2,000 requests a second, and by a client, next to nginx's echo_sleep.

    python tests/benchmarks/mock_lateness.py [--rounds 5] [--seconds 5] [--url NAME=URL]

An open loop of Poisson arrivals asks for a spread of latencies; asked of the medians: p50 at most
0.1 ms and p99 at most 0.7 ms late, and never early, which the driver judges by its own clock.
Then 400 connections ask in a closed loop for answers after 50 ms: the client's p99 may be 1 ms
above nginx's, as a median of the rounds' differences. A further URL should answer after 50 ms, too.
"""

import argparse
import sys
from contextlib import ExitStack

import peers

from mock_upstream.verification import load_driver

RATES = (2000, 7700)  # the first is judged
LATENCY = "p50=50ms p95=80ms p99=150ms"
CONNECTIONS = 400
# The driver opens all connections at one moment. In a short round those first answers, which say
# how fast a server accepts, would be more than the hundredth that p99 leaves out.
CLIENT_SECONDS = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--url", type=peers.named_url, action="append", default=[])
    arguments = parser.parse_args()
    peers.about_the_machine()
    rows = [
        *by_the_ledger(arguments.rounds, arguments.seconds),
        *by_the_client(arguments.rounds, dict(arguments.url)),
    ]
    sys.exit(not peers.judged(rows))


def by_the_ledger(rounds: int, seconds: float):
    late: dict[int, list[tuple[float, float]]] = {rate: [] for rate in RATES}
    early = 0
    with peers.mock(LATENCY) as upstream, peers.on_core(peers.DRIVER):
        ask = [load_driver.question("mock", "GET", "/")]
        load_driver.drive(upstream.url, ask, RATES[0], 1.0, connections=300, timeout=20)
        for _ in range(rounds):
            for rate in RATES:
                upstream.reset()
                seen = load_driver.drive(
                    upstream.url, ask, rate, seconds, connections=rate // 8, timeout=20
                )
                delays = upstream.ledger().late
                late[rate].append((delays.p50, delays.p99))
                early += sum(one.ended - one.sent < one.timing()["asked"] - 1e-6 for one in seen)
    yield "early answers", "0", str(early), early == 0
    for rate in RATES:
        print(f"{rate:,}/s, ms late, p50 and p99 of each round:", end=" ")
        print("  ".join(f"{p50 * 1e3:.3f} {p99 * 1e3:.3f}" for p50, p99 in late[rate]))
        for number, name, most in ((0, "p50", 1e-4), (1, "p99", 7e-4)):
            value = peers.median([pair[number] for pair in late[rate]])
            held = sum(pair[number] <= most for pair in late[rate])
            asked = f"at most {most * 1e3:g} ms" if rate == RATES[0] else ""
            verdict = value <= most if rate == RATES[0] else None
            measured = f"{value * 1e3:.3f} ms, {held}/{rounds}"
            yield f"late at {rate:,}/s, {name}", asked, measured, verdict


def by_the_client(rounds: int, further: dict[str, peers.Peer]):
    found: dict[str, list[peers.Driven]] = {}
    with ExitStack() as stack:
        nginx = stack.enter_context(peers.nginx())
        servers = {"mock_upstream": stack.enter_context(peers.mock("50ms")), **further}
        if nginx:
            servers["nginx echo_sleep"] = nginx
        for _ in range(rounds):
            for name, server in servers.items():
                path = "/wait" if server is nginx else ""
                driven = peers.drive(server, CONNECTIONS, CLIENT_SECONDS, path)
                found.setdefault(name, []).append(driven)
    print(f"client's p50 and p99 at {CONNECTIONS} connections and 50 ms, ms, medians:")
    for name, driven in found.items():
        p50, p99 = (peers.median([getattr(one, rank) for one in driven]) for rank in ("p50", "p99"))
        failed = "  WITH FAILURES" if any(one.failed for one in driven) else ""
        print(f"  {name:18} {p50 * 1e3:7.2f} {p99 * 1e3:7.2f}{failed}")
    if nginx:
        pairs = zip(found["mock_upstream"], found["nginx echo_sleep"], strict=True)
        differences = [mine.p99 - theirs.p99 for mine, theirs in pairs]
        above, held = peers.median(differences), sum(one <= 1e-3 for one in differences)
        measured = f"{above * 1e3:.2f} ms, {held}/{rounds}"
        yield "client's p99 above nginx's", "at most 1 ms", measured, above <= 1e-3


if __name__ == "__main__":
    main()
