"""Do a service's phases add up to what its client waits, and what does telling them cost?

    python tests/benchmarks/telemetry.py [--only sums,cost,untraced,recording,plan]
        [--variants a,b] [--rounds 15] [--seconds 2] [--out FOLDER]

Asked:

sums: at a low level and at one that saturates, the phases of the mean response and of those at p95
    come within 1 ms or 2 % of the client's time, for every variant.
cost: two services of each variant, one with telemetry, take turns on one core in front of an
    upstream without delay, saturated, some 30 requests a second stamped; each round starts both
    again. The 95 % interval of what the throughputs of a pair differ by lies within 1 %:
    EQUIVALENT; and the CPU of a request is at most 3 microseconds or 1 % more, by the median over
    the rounds.
untraced: what a request without a stamp costs more in the middleware and in the wrappers of one
    call of a client, around functions that do nothing, is at most 1.5 microseconds.
plan: the default plan with telemetry and without, three runs of each in turns. The geometric means
    of a deployment's knees are within 3 %, and the order of the deployments is the same.
recording: the load generator's coin, and the recording of a request of which one in twenty is
    traced, take at most 1.5 microseconds a request.
"""

import argparse
import asyncio
import inspect
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp
import httpcore
import httpx
import peers
import urllib3
from scipy import stats

from app_under_test import variants
from app_under_test.telemetry import Telemetry
from loadtests import plans, results, session
from loadtests.engine.arrivals import GeneratorShare
from loadtests.engine.coin import TARGET, Coin
from loadtests.engine.recorder import Recorder
from loadtests.recording import messages, server_timing

LOW, SATURATED = 2, 80
UPSTREAM = "p50=50ms p95=80ms p99=150ms"
CONNECTIONS = 32
MARGIN = 0.01  # of the throughput, and of the CPU of a request
RUNS, SAME = 3, 0.03
CPU = 3e-6  # seconds
UNTRACED, RECORDING = 1.5e-6, 1.5e-6  # seconds
MIXED = """
local plain, stamped
init = function()
  plain = wrk.format("GET", "/external-data")
  stamped = wrk.format("GET", "/external-data", {["x-sent-mono"] = "1"})
  math.randomseed(os.time())
end
request = function()
  if math.random() < SHARE then return stamped end
  return plain
end
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {
        "untraced": untraced,
        "recording": recording,
        "cost": cost,
        "sums": sums,
        "plan": default_plan,
    }
    parser.add_argument("--only", default=",".join(parts))
    parser.add_argument("--variants", default="")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out", type=Path, help="keep the runs of the default plan here")
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
    for variant in arguments.variants.split(",") if arguments.variants else variants.names():
        with ExitStack() as stack:
            with peers.on_core(peers.DRIVER):  # on the driver's core: the service has its core
                upstream = stack.enter_context(peers.mock_upstream.running("0ms"))
            listening = stack.enter_context(closing(socket.socket(type=socket.SOCK_DGRAM)))
            listening.bind(("127.0.0.1", 0))
            told = f"127.0.0.1:{listening.getsockname()[1]}/told"
            pairs = [
                pair(variant, upstream.url, told, number, arguments.seconds)
                for number in range(arguments.rounds)
            ]
        peak = peers.median([off.throughput for off, _ in pairs])
        low, high = change([math.log(on.throughput / off.throughput) for off, on in pairs])
        same = low > -MARGIN and high < MARGIN
        verdict = "EQUIVALENT" if same else "different" if low * high > 0 else "UNRESOLVED"
        title = f"{variant} at {peak:,.0f}/s"
        yield (
            f"{title}, throughput",
            f"within {MARGIN:.0%}",
            f"{low:+.2%} to {high:+.2%} {verdict}",
            same,
        )
        usual = peers.median([off.cpu for off, _ in pairs])
        most = max(CPU, MARGIN * usual)
        value, text = summary_of([on.cpu - off.cpu for off, on in pairs])
        text = f"{text} of {usual * 1e6:.0f}"
        yield f"{title}, CPU of a request", f"at most {most * 1e6:.1f} us", text, value <= most


def pair(variant, upstream, told, number, seconds):
    """
    Two new processes, without telemetry and with it, each driven twice: off, on, on, off.

    Two processes of one service differ by more than 1 % from start to start, so each round has its
    own; the seed of their hashes, which is a part of that, is the same for both.
    """
    with (
        started(variant, upstream, None, number) as off,
        started(variant, upstream, told, number) as on,
    ):
        order = (off, on, on, off) if number % 2 else (on, off, off, on)
        warm = {one.pid: drive(one, 3.0, 0.0) for one in order[:2]}
        share = TARGET / max(one.throughput for one in warm.values())
        turns = [(one, drive(one, seconds, share)) for one in order]
    return tuple(
        Round(*(sum(values) / 2 for values in zip(*(
            (turn.throughput, turn.cpu) for service, turn in turns if service is wanted
        ), strict=True)))
        for wanted in (off, on)
    )  # fmt: skip


def default_plan(arguments):
    knees = {True: [], False: []}
    keep = nullcontext(arguments.out) if arguments.out else tempfile.TemporaryDirectory()
    with keep as folder:
        for number in range(RUNS):
            for on in (True, False)[:: 1 if number % 2 else -1]:
                out = Path(folder, f"{number}-{'on' if on else 'off'}")
                words = [sys.executable, "-m", "brownout", "run", "--out", str(out)]
                subprocess.run([*words, *(() if on else ("--no-telemetry",))], check=False)
                [run] = out.glob("*/run.json")
                found = results.read(run.parent).knees
                knees[on].append({name: knee.level for name, knee in found.items()})
                print(f"  telemetry {'on ' if on else 'off'}: {knees[on][-1]}", flush=True)
    middle = {on: {} for on in knees}
    for name in knees[True][0]:
        for on, found in knees.items():
            levels = [one[name] for one in found if one[name]]
            middle[on][name] = stats.gmean(levels) if levels else math.nan
        ratio = middle[True][name] / middle[False][name]
        text = f"{middle[True][name]:.1f} against {middle[False][name]:.1f}, {ratio - 1:+.1%}"
        yield f"knee of {name}, on against off", f"within {SAME:.0%}", text, abs(ratio - 1) <= SAME
    orders = {on: sorted(found, key=found.__getitem__) for on, found in middle.items()}
    same = orders[True] == orders[False]
    yield "order of the deployments by knee", "the same", " < ".join(orders[True]), same


def change(logs):
    """The 95 % interval of the mean change, by Student's t."""
    middle = sum(logs) / len(logs)
    error = stats.tstd(logs) / math.sqrt(len(logs)) * stats.t.ppf(0.975, len(logs) - 1)
    return math.expm1(middle - error), math.expm1(middle + error)


def summary_of(differences):
    """The median, and it in words with the interval that the ranks give."""
    values = sorted(differences)
    rank = max(1, int(stats.binom.ppf(0.025, len(values), 0.5)))
    low, high, value = values[rank - 1], values[-rank], peers.median(values)
    return value, f"{value * 1e6:.1f} us ({low * 1e6:.1f} to {high * 1e6:.1f})"


def quiet(original):
    """A function that does nothing, with the parameters of another one."""
    parameters = [
        one.replace(
            annotation=one.empty, default=None if one.default is not one.empty else one.empty
        )
        for one in inspect.signature(original).parameters.values()
    ]
    kind = "async def" if inspect.iscoroutinefunction(original) else "def"
    exec(f"{kind} nothing{inspect.Signature(parameters)}: pass", space := {})
    return space["nothing"]


CALLS: dict[str, list[tuple[Any, str, str]]] = {
    "no call": [],
    "httpx": [
        (httpx.AsyncClient, "send", "None, auth=None, follow_redirects=None"),
        (httpx.AsyncHTTPTransport, "handle_async_request", "None"),
        (httpcore.AsyncHTTPConnection, "handle_async_request", "None"),
        (httpcore.AsyncHTTP11Connection, "handle_async_request", "None"),
    ],
    "aiohttp": [
        (aiohttp.ClientSession, "_request", "'GET', None"),
        (aiohttp.BaseConnector, "connect", "None, traces=None, timeout=None"),
        (aiohttp.ClientResponse, "start", "None"),
    ],
    "urllib3": [
        (urllib3.HTTPConnectionPool, "_get_conn", "timeout=None"),
        (
            urllib3.HTTPConnectionPool, "_make_request",
            "None, 'GET', '/', timeout=None, body=None, headers=None, chunked=False, retries=None, "
            "response_conn=None, preload_content=True, decode_content=True",
        ),
        (urllib3.HTTPConnectionPool, "_put_conn", "None"),
    ],
}  # fmt: skip


def caller(steps):
    """An app that makes one call: the functions in their present form."""
    lines, space = ["pass"], {}
    for number, (owner, name, words) in enumerate(steps):
        space[f"step{number}"] = vars(owner)[name]
        wait = "" if owner is urllib3.HTTPConnectionPool else "await "
        lines.append(f"{wait}step{number}(None, {words})")
    exec("async def app(scope, receive, send):\n  " + "\n  ".join(lines), space)
    return space["app"]


def untraced(arguments):
    """The lowest of each, measured in this process in turns of half a millisecond."""
    for owner, name, _ in (step for steps in CALLS.values() for step in steps):
        setattr(owner, name, quiet(vars(owner)[name]))
    os.environ.pop("BROWNOUT_TELEMETRY", None)
    off = {name: Telemetry(caller(steps)) for name, steps in CALLS.items()}
    os.environ["BROWNOUT_TELEMETRY"] = "1"
    Telemetry(None)  # watches the clients
    on = {name: Telemetry(caller(steps)) for name, steps in CALLS.items()}
    del os.environ["BROWNOUT_TELEMETRY"]
    headers = [(name, b"x") for name in (b"host", b"user-agent", b"accept", b"accept-encoding")]

    async def batch(app):
        begun = perf_counter()
        for _ in range(300):
            await app({"type": "http", "headers": headers}, None, None)
        return (perf_counter() - begun) / 300

    async def lowest(name):
        turns = [(await batch(off[name]), await batch(on[name])) for _ in range(1000)]
        return min(on for _, on in turns) - min(off for off, _ in turns)

    for name in CALLS:
        more = asyncio.run(lowest(name))
        text = f"{more * 1e6:.2f} us"
        yield f"untraced, {name}", f"at most {UNTRACED * 1e6:g} us", text, more <= UNTRACED


def recording(arguments):
    """The lowest turn of 20 requests at a time in this process, one of them traced."""
    stage = messages.Stage(
        number=0, deployment="a", target="http://a", level=1, think_time=0, settle=0,
        measure=3600, requests=(), seed=1,
    )  # fmt: skip
    recorder, coin = Recorder(), Coin(stage, GeneratorShare())
    begun = perf_counter()
    recorder.begin(0, begun, 3600.0)
    told = ", ".join(
        f"{name};dur={value:.3f}" for name, value in
        [("total", 7.0), ("pre_app", 1.0), *((name, 1.0 + (name == "upstream"))
         for name in ("thread_wait", "pool_wait", "connect", "upstream", "loop_wait", "own"))]
    )  # fmt: skip
    lows = {"coin": math.inf, "recording": math.inf}
    for _ in range(5000):
        now = perf_counter()
        for _ in range(20):
            coin.toss(now)
        tossed = perf_counter()
        phases = server_timing.phases(told, 0.05, 0.001)
        for number in range(20):
            recorder.record("/", now, now + 0.05, now, 200, 10, None, None,
                            None if number else phases)  # fmt: skip
        ended = perf_counter()
        lows["coin"] = min(lows["coin"], (tossed - now) / 20)
        lows["recording"] = min(lows["recording"], (ended - tossed) / 20)
    both = sum(lows.values())
    text = f"{both * 1e6:.2f} us, of it the coin {lows['coin'] * 1e6:.2f}"
    yield "recording a request", f"at most {RECORDING * 1e6:g} us", text, both <= RECORDING


@contextmanager
def started(variant, upstream, told, seed):
    environment = {name: value for name, value in os.environ.items() if "BROWNOUT" not in name}
    environment["PYTHONHASHSEED"] = str(seed)
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


def drive(service, seconds, share):
    """wrk, which stamps a share of the requests, with what here is old; it takes whole seconds."""
    seconds = max(1, round(seconds))
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".lua") as script:
        script.write(MIXED.replace("SHARE", f"{share:.6f}"))
        script.flush()
        words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script.name, service.url]
        before = peers._cpu(service.pid)
        with peers.on_core(peers.DRIVER):
            text = subprocess.run(words, capture_output=True, encoding="utf-8", check=True).stdout
        cpu = peers._cpu(service.pid) - before
    rate = float(peers._found(r"Requests/sec:\s*(\S+)", text))
    if "Non-2xx" in text or "Socket errors" in text:
        print(f"failures:\n{text}", file=sys.stderr)
        rate = math.nan
    return Round(rate, cpu / (rate * seconds))


if __name__ == "__main__":
    main()
