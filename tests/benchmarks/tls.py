"""
What TLS to the upstream costs each client: CPU of a call by HTTP and by HTTPS, in one process.

    python tests/benchmarks/tls.py --calls 200 --rounds 15

With kept connections, and with a new one for each call, as the upstream closes it. Blocks of calls
by HTTP and by HTTPS take turns, so that what the machine does meanwhile hits both alike; the median
of the blocks is printed, with their quartiles. CPU is the thread's own, so waiting costs nothing.
The body is small, or has 256 KiB for what the records of a large one cost. "bundle": the file
with authorities that requests is given has all of a system, as REQUESTS_CA_BUNDLE names one.
"""

import argparse
import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import thread_time

import aiohttp
import certifi
import httpx
import httpx2
import requests

import mock_upstream
from mock_upstream.client import Upstream

Fetch = Callable[[str], Awaitable[int]]
LARGE = "256kB"


def profile(large: bool, close: bool) -> dict[str, object]:
    route: dict[str, object] = {"path": "/call"}
    if close:
        route["headers"] = {"Connection": "close"}
    if large:
        route["body"] = {"size": LARGE, "kind": "bytes"}
    return {"latency": "0ms", "routes": [route]}


async def block(fetch: Fetch, url: str, calls: int) -> float:
    """Seconds of CPU of one call."""
    await fetch(url)
    begin = thread_time()
    for _ in range(calls):
        await fetch(url)
    return (thread_time() - begin) / calls


async def measured(
    name: str, fetch: Fetch, servers: tuple[Upstream, Upstream], calls: int, rounds: int
) -> None:
    for what, large, close, count in (
        ("kept", False, False, calls),
        ("kept, 256 KiB", True, False, max(calls // 4, 5)),
        ("new", False, True, max(calls // 8, 5)),
    ):
        for server in servers:
            server.configure(profile(large, close))
        spent: tuple[list[float], list[float]] = ([], [])
        for number in range(rounds):
            for place in (0, 1) if number % 2 else (1, 0):
                spent[place].append(await block(fetch, f"{servers[place].url}/call", count))
        plain, secured = (quantiles(one, n=4) for one in spent)
        added = quantiles([b - a for a, b in zip(*spent, strict=True)], n=4)
        print(
            f"{name:16} {what:14} {plain[1] * 1e3:8.3f} {secured[1] * 1e3:8.3f} "
            f"{added[1] * 1e3:8.3f}  ({added[0] * 1e3:.3f} to {added[2] * 1e3:.3f})",
            flush=True,
        )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    print(
        "client           connections        HTTP    HTTPS    added  (quartiles), "
        "ms of CPU for a call"
    )
    with (
        mock_upstream.running("0ms") as plain,
        mock_upstream.running("0ms", tls=True) as secured,
        TemporaryDirectory() as folder,
    ):
        trusting = ssl.create_default_context(cafile=secured.ca)
        servers = plain, secured
        bundle = Path(folder, "bundle.pem")  # as REQUESTS_CA_BUNDLE names one in a run
        bundle.write_bytes(secured.ca.read_bytes() + Path(certifi.where()).read_bytes())
        sessions = {"requests": str(secured.ca), "requests, bundle": str(bundle)}
        async with (
            httpx.AsyncClient(verify=trusting, trust_env=False) as one,
            httpx2.AsyncClient(verify=trusting, trust_env=False) as two,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as three,
        ):

            async def by_aiohttp(url: str) -> int:
                async with three.get(url) as answer:
                    return len(await answer.read())

            async def by_httpx(url: str) -> int:
                return len((await one.get(url)).content)

            async def by_httpx2(url: str) -> int:
                return len((await two.get(url)).content)

            def by_requests(authorities: str) -> Fetch:
                session = requests.Session()
                session.trust_env, session.verify = False, authorities

                async def fetch(url: str) -> int:
                    return len(session.get(url).content)

                return fetch

            fetches = {"httpx": by_httpx, "httpx2": by_httpx2, "aiohttp": by_aiohttp}
            fetches |= {name: by_requests(path) for name, path in sessions.items()}
            for name, fetch in fetches.items():
                await measured(name, fetch, servers, given.calls, given.rounds)


if __name__ == "__main__":
    asyncio.run(main())
