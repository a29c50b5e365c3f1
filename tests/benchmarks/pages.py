"""What do open pages of the web UI cost the measurement, and how soon do they get their data?

    python tests/benchmarks/pages.py [--pages 10] [--pairs 8] [--seconds 8] [--browser]

Asked: the same p95 with ten pages open and none, and data in under 5 ms. Runs of one level take
turns, with the pages and without, in the order ABBA; the ratio of p95 over all pairs with its 95 %
interval (Student's, of the logarithms). A page is what a page does: it asks for `now` once a
second, and for both charts when there are new ones. With --browser they are tabs of Chromium, which
draws on the cores that are measured: that shows the machine more than of the pages.
"""

import argparse
import json
import math
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager, nullcontext
from http.client import HTTPConnection
from pathlib import Path
from statistics import fmean
from urllib.parse import urlsplit

import numpy as np
import peers
from scipy import stats

from tests.conftest import a_free_port
from tests.support.webui import ui

PLAN = """
name = "pages"
[upstream]
latency = "p50=50ms p95=80ms p99=150ms"
sampling = "stratified"
[deployments.async]
variant = "async-aiohttp"
[[requests]]
path = "/external-data"
[load]
levels = [20]
settle = "1s"
"""
SAME, SOON = 0.05, 0.005


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--browser", action="store_true")
    arguments = parser.parse_args()
    peers.about_the_machine()
    sys.exit(not peers.judged(measured(arguments)))


def measured(arguments):
    waits: list[float] = []
    found = {True: [], False: []}
    cpu = {True: [], False: []}
    opened = tabs if arguments.browser else pollers
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plan.toml").write_text(PLAN, encoding="utf-8")
        with ui(Path(folder), a_free_port()) as pages:
            for pair in range(arguments.pairs):
                for watched in (True, False) if pair % 2 else (False, True):
                    with opened(pages.url, arguments.pages, waits) if watched else nullcontext():
                        assert pages.start(measure=f"{arguments.seconds:g}s")["success"]
                        pages.until("running")
                        pages.until("complete", seconds=120)
                    [point] = [p for p in pages.run().points if p.request == "all"]
                    found[watched].append(point.response_time["p95"].value)
                    cpu[watched].append(point.resources["generator_cpu"])
                    said = "" if point.valid else f", {'; '.join(point.problems)}"
                    print(f"pages: {watched}, p95 {found[watched][-1] * 1000:.2f} ms{said}")
    logs = np.log(np.array(found[True]) / np.array(found[False]))
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs))
    low, mid, high = (math.exp(logs.mean() + part) for part in (-half, 0, half))
    what = "tabs" if arguments.browser else "pages"
    yield (
        f"p95 with {arguments.pages} {what} over none, {len(logs)} pairs",
        "within 5 % of 1",
        f"{mid:.3f} ({low:.3f} to {high:.3f})",
        low > 1 - SAME and high < 1 + SAME,
    )
    more = fmean(cpu[True]) - fmean(cpu[False])
    yield (
        f"CPU of the generator, with over without, of {fmean(cpu[False]):.3f}",
        "told",
        f"{more:+.3f}",
        None,
    )
    if waits:
        p50, p95, p99 = np.quantile(waits, [0.5, 0.95, 0.99]) * 1000
        title = f"`now` under load, {len(waits)} times: median (p95, p99)"
        yield title, "under 5 ms", f"{p50:.2f} ms ({p95:.2f}, {p99:.2f})", p50 / 1000 < SOON


@contextmanager
def pollers(url, count, waits):
    """Poll from threads of this process, spread over the second; `waits` takes times of `now`."""
    stopping = threading.Event()

    def page(number):
        stopping.wait(number / count)
        tag = drawn = ""
        with closing(HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
            while not stopping.wait(1):
                began = time.perf_counter()
                status, headers, body = asked(connection, "now", {"If-None-Match": tag})
                waits.append(time.perf_counter() - began)
                if status == 200:
                    tag = headers.get("ETag", "")
                    if (fresh := json.loads(body).get("drawn")) != drawn:
                        drawn = fresh
                        for name in ("p95-wide", "throughput-wide"):
                            asked(connection, f"charts/{name}", {})

    threads = [threading.Thread(target=page, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def asked(connection, path, headers):
    connection.request("GET", f"/degradation/{path}", headers=headers)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


@contextmanager
def tabs(url, count, waits):
    from playwright.sync_api import sync_playwright

    from tests.support.browser import CHROMIUM, FLAGS

    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser,
    ):
        for _ in range(count):
            browser.new_page().goto(f"{url}/degradation/")
        yield


if __name__ == "__main__":
    main()
