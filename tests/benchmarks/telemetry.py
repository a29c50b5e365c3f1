"""Do a service's phases add up to what its client waits, and what does telling them cost?

    python tests/benchmarks/telemetry.py [--only sums,cost] [--variants a,b] [--rounds 9]
        [--seconds 3]

Asked: at a low level and at one that saturates, the phases of the mean response and of those at
p95 come within 1 ms or 2 % of the client's time, for every variant. And a request costs at most
25 microseconds more with telemetry, or 3 % of the time between two at the peak throughput: two
services of the same variant, one with telemetry, take turns on one core in front of an upstream
without delay; the median over the rounds of what a pair differs by, with its 95 % interval.
"""

import argparse
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import peers
from scipy import stats

from app_under_test import variants
from loadtests import plans, session

LOW, SATURATED = 2, 80
UPSTREAM = "p50=50ms p95=80ms p99=150ms"
CONNECTIONS = 32
COST, SHARE = 25e-6, 0.03
COSTLY = ("async-httpx", "async-httpx2", "async-aiohttp", "blocking-requests")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"sums": sums, "cost": cost}
    parser.add_argument("--only", default=",".join(parts))
    parser.add_argument("--variants", default="")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    peers.about_the_machine()
    rows = []
    for name in arguments.only.split(","):
        rows += parts[name](arguments)
    sys.exit(not peers.judged(rows))


def sums(arguments):
    """Real runs: the generator's service times, and the phases that it read from the headers."""
    for variant in arguments.variants.split(",") if arguments.variants else variants.names():
        plan = plans.Plan.model_validate(
            {
                "name": "telemetry",
                "upstream": {"latency": UPSTREAM},
                "deployments": {"told": {"variant": variant}},
                "requests": [{"path": "/external-data"}],
                "load": {
                    "levels": [LOW, SATURATED],
                    "settle": "1s",
                    "measure": f"{arguments.seconds:g}s",
                },
            }
        )
        with tempfile.TemporaryDirectory() as folder:
            run = session.run(plan, Path(folder), Quiet(), []).run
        for point in run.of("told"):
            if point.request != "all" and len({one.request for one in run.points}) > 1:
                continue
            title = f"{variant} at {point.level:g}: "
            unknown = [one for one in point.problems if "phases" in one]
            if "mean" not in point.phases:
                yield title + "phases", "told", (unknown or ["not told"])[0], False
            for name, parts in point.phases.items():
                if name == "p50":
                    continue
                whole = sum(parts.values())
                most = max(0.001, 0.02 * whole)
                rest = parts["rest"]
                measured = f"{rest * 1e3:.2f} of {whole * 1e3:.1f} ms"
                yield f"{title}{name}, untold", f"{most * 1e3:.2f} ms", measured, rest <= most


class Quiet:
    def begins(self, *_):
        pass

    def measured(self, _):
        pass

    def problem(self, text):
        print(text, file=sys.stderr)


@dataclass(frozen=True)
class Round:
    throughput: float
    cpu: float  # seconds of the service's for each request


def cost(arguments):
    for variant in arguments.variants.split(",") if arguments.variants else COSTLY:
        rounds = {False: [], True: []}
        with ExitStack() as stack:
            with peers.on_core(peers.DRIVER):  # beside the driver: the service has its core
                upstream = stack.enter_context(peers.mock_upstream.running("0ms"))
            listening = stack.enter_context(closing(socket.socket(type=socket.SOCK_DGRAM)))
            listening.bind(("127.0.0.1", 0))
            told = f"127.0.0.1:{listening.getsockname()[1]}/told"
            service = {
                on: stack.enter_context(started(variant, upstream.url, told if on else None))
                for on in (False, True)
            }
            for one in service.values():
                drive(one, 1.0)
            for number in range(arguments.rounds):
                for on in (False, True)[:: 1 if number % 2 else -1]:
                    rounds[on].append(drive(service[on], arguments.seconds))
        pairs = list(zip(rounds[False], rounds[True], strict=True))
        peak = peers.median([one.throughput for one in rounds[False]])
        most = max(COST, SHARE / peak)
        value, text = told_of([1 / on.throughput - 1 / off.throughput for off, on in pairs])
        title = f"{variant} at {peak:,.0f}/s, a request"
        yield title, f"at most {most * 1e6:.0f} us", text, value <= most
        _, text = told_of([on.cpu - off.cpu for off, on in pairs])
        yield "  of it CPU of the service", "", text, None


def told_of(differences):
    """The median, and it in words with the interval that the ranks give."""
    values = sorted(differences)
    rank = max(1, int(stats.binom.ppf(0.025, len(values), 0.5)))
    low, high, value = values[rank - 1], values[-rank], peers.median(values)
    return value, f"{value * 1e6:.1f} us ({low * 1e6:.1f} to {high * 1e6:.1f})"


@contextmanager
def started(variant, upstream, told):
    environment = {name: value for name, value in os.environ.items() if "BROWNOUT" not in name}
    if told:
        environment["BROWNOUT_TELEMETRY"] = told
    command = [sys.executable, "-m", "app_under_test", variant, "--upstream", upstream]
    with peers.on_core(peers.SERVER):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
        )
    try:
        yield peers.Peer(json.loads(process.stdout.readline())["url"], process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def drive(service, seconds):
    """wrk, with a stamp such as the generator sends, which here is old; it takes whole seconds."""
    seconds = max(1, round(seconds))
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", "x-sent-mono: 1"]
    before = peers._cpu(service.pid)
    with peers.on_core(peers.DRIVER):
        text = subprocess.run(
            [*words, service.url + "/external-data"],
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout
    rate = float(peers._found(r"Requests/sec:\s*(\S+)", text))
    if "Non-2xx" in text or "Socket errors" in text:
        print(f"failures:\n{text}", file=sys.stderr)
        rate = math.nan
    return Round(rate, (peers._cpu(service.pid) - before) / (rate * seconds))


if __name__ == "__main__":
    main()
