"""10,000 requests that wait at once: what each takes of memory, and whether the others are late.

    python tests/benchmarks/mock_memory.py [--rounds 3] [--waiting 10000] [--url URL --pid PID]

Asked: at most 30 KB each, and no lateness for others: at 2,000 requests a second p50 at most
0.1 ms and p99 at most 0.7 ms, as without them. Another server (`/wait` must not answer for a
minute) shows its memory alone.
"""

import argparse
import asyncio
import sys
import time
from urllib.parse import urlsplit

import peers

from mock_upstream.timing.event_loop import allow_connections, new_event_loop
from mock_upstream.verification import load_driver

PROFILE = {
    "latency": "p50=20ms p95=40ms p99=80ms",
    "routes": [{"path": "/wait", "latency": "10m"}, {"path": "/"}],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--url")
    parser.add_argument("--pid", type=int)
    arguments = parser.parse_args()
    peers.about_the_machine()
    allow_connections()
    if arguments.url:
        each, _ = waiting(arguments.url, arguments.pid, arguments.waiting, lambda: None)
        print(f"{arguments.url}: {each / 1e3:.1f} KB for each of {arguments.waiting:,}")
    memory, late = [], {"none wait": [], "all wait": []}
    for _ in range(arguments.rounds):
        with peers.mock(PROFILE) as upstream, peers.on_core(peers.DRIVER):
            late["none wait"].append(lateness(upstream.url))
            each, delays = waiting(
                upstream.url, upstream.pid, arguments.waiting, lambda: lateness(upstream.url)
            )
            memory.append(each)
            late["all wait"].append(delays)
    value = peers.median(memory)
    rows = [("memory of a waiting request", "at most 30 KB", f"{value / 1e3:.1f} KB", value <= 3e4)]
    for when, delays in late.items():
        for number, name, most in ((0, "p50", 1e-4), (1, "p99", 7e-4)):
            value = peers.median([pair[number] for pair in delays])
            asked = f"at most {most * 1e3:g} ms" if when == "all wait" else ""
            verdict = value <= most if when == "all wait" else None
            rows.append((f"late while {when}, {name}", asked, f"{value * 1e3:.3f} ms", verdict))
    sys.exit(not peers.judged(rows))


def lateness(url: str) -> tuple[float, float]:
    """p50 and p99 at 2,000 requests a second, in seconds."""
    ask = [load_driver.question("mock", "GET", "/")]
    seen = load_driver.drive(url, ask, 2000, 3.0, connections=150, timeout=20)
    late = sorted(one.timing()["late"] for one in seen)
    return late[len(late) // 2], late[len(late) * 99 // 100]


def waiting(url: str, pid: int, count: int, meanwhile):
    """Bytes for each request that waits, and what `meanwhile` gives with them there."""
    parts = urlsplit(url)
    loop = new_event_loop()
    writers = []

    async def ask() -> None:
        for _ in range(count):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(b"GET /wait HTTP/1.1\r\nhost: mock\r\n\r\n")
            writers.append(writer)

    before = peers.resident(pid)
    loop.run_until_complete(ask())
    time.sleep(1)  # the last of them arrive
    try:
        return (peers.resident(pid) - before) / count, meanwhile()
    finally:
        for writer in writers:
            writer.transport.abort()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()


if __name__ == "__main__":
    main()
