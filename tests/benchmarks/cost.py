"""What measuring costs: recording, telemetry, files, and analysis.

    python tests/benchmarks/cost.py [--rounds 5] [--seconds 5] [--only recording,telemetry]

Asked: at most 1 microsecond to record a plan's request, 3 for one that Locust's event brings, and 3
more to read and record where its time went; at ten times the requests a slices.jsonl of at most 1.5
times the bytes; and at most 2 seconds to analyse a run of ten minutes, reading included. The load
generator as a whole is measured by generator.py.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import peers
import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from loadtests import plans, session
from loadtests.analysis import runs
from loadtests.engine.recorder import Recorder
from loadtests.processes.affinity import Cores
from loadtests.recording import messages, server_timing
from loadtests.recording.histograms import Histogram
from loadtests.recording.phases import NAMES, PhaseSums
from loadtests.recording.slices import LENGTH, Slice
from loadtests.storage import run_folder
from tests.support.simulated_engine import SimulatedEngine, exponential, threads
from tests.support.simulated_engine import stage as simulated_stage

USERS = 40
KINDS = ("/external-data", "/data", "/health")
TOLD = ", ".join(
    f"{name};dur={milliseconds:.3f}"
    for name, milliseconds in zip(
        ("total", *NAMES), (0.35, 0.0, 0.0, 0.02, 0.0, 0.15, 0.05, 0.13), strict=True
    )
)
"""A header as an instrumented service sends it, of a response of a third of a millisecond."""


def main() -> None:
    parts = {"recording": recording, "telemetry": telemetry, "files": files, "analysis": reading}
    sys.exit(not peers.judged(peers.rows_of(__doc__, parts, rounds=5)))


def recording(rounds, _seconds):
    """The recorder alone, by CPU; and with what its reports cost."""
    count = 100_000
    draw = random.Random(1)
    times = [draw.lognormvariate(-3, 0.5) for _ in range(count)]
    ways = {
        "closed model": (plan_request, 1, False),
        "open model": (open_request, 1, False),
        "by Locust's event": (event, 3, False),
        "with phases": (plan_request, None, True),
    }
    costs = {}
    for name, (record, asked, told) in ways.items():
        alone, reported = [], []
        for _ in range(rounds):
            recorder = Recorder()
            recorder.begin(0, time.perf_counter() - 10, 3600)
            began = time.process_time()
            feed(recorder, times, record, told)
            alone.append((time.process_time() - began) / count)
            # As in a second of 2,000 requests: four slices, sent twice.
            recorder.begin(0, time.perf_counter() - 10, 3600)
            began = time.process_time()
            for first in range(0, 20_000, 500):
                feed(recorder, times[first : first + 500], record, told)
                report = messages.Report(
                    stage=0, generator="local", sequence=0,
                    slices=tuple(messages.SliceMessage.of(part) for part in recorder.drain()),
                )  # fmt: skip
                messages.encode(report)
            reported.append((time.process_time() - began) / 20_000)
        costs[name] = cost = statistics.median(alone) * 1e6
        if asked is not None:
            yield (
                f"recording a request, {name}",
                f"at most {asked} us",
                f"{cost:.2f} us",
                cost <= asked,
            )
        else:
            more = cost - costs["closed model"]
            yield f"reading and recording, {name}", "at most 3 more", f"{more:.2f} us", more <= 3
        cost = statistics.median(reported) * 1e6
        yield f"  with the reports at 2,000/s, {name}", "", f"{cost:.2f} us", True


def feed(recorder, times, record, told):
    """Record a request for each of `times`, and first read the phases sent with it."""
    ended = time.perf_counter()
    for seconds in times:
        phases = server_timing.phases(TOLD, seconds) if told else None
        record(recorder, ended - seconds, ended, phases)


def plan_request(recorder, begun, ended, phases):
    recorder.record("/external-data", begun, ended, 0.0, 200, 12, None, None, phases)


def open_request(recorder, begun, ended, phases):
    recorder.record("/external-data", begun, ended, 0.0, 200, 12, None, begun - 0.001, phases)


def event(recorder, begun, ended, phases):
    recorder.on_request(
        request_type="GET",
        name="/external-data",
        response_time=(ended - begun) * 1000,
        exception=None,
        response=None,
        response_length=12,
        context={},
        start_time=0.0,
        url="http://127.0.0.1:8000/external-data",
    )


def telemetry(rounds, seconds):
    """The CPU of the whole generator, with stamps and phases of its requests, and without."""
    ways = {"without": [], "with": []}
    with mock("0ms") as silent, mock("0ms", TOLD) as telling:
        for number in range(rounds):
            for way in list(ways)[:: 1 if number % 2 else -1]:
                tells = way == "with"
                ways[way].append(by_brownout(telling if tells else silent, seconds, tells))
    print(f"microseconds of CPU for each request at {USERS} users, by round")
    for name, found in ways.items():
        print(f"  {name:11}", *(f"{cost:7,.0f}" for _, cost in found))
    costs = {way: statistics.median(cost for _, cost in found) for way, found in ways.items()}
    more = costs["with"] - costs["without"]
    yield "CPU of stamp, header and phases, of a request", "", f"{more:.1f} us", True


def by_brownout(ready, seconds, telemetry):
    settle = 1.5
    plan = plan_of(ready["url"], [USERS], settle, seconds + 1, telemetry)
    found = []

    def watch():
        time.sleep(settle + 0.5)
        found.append(rate(ready, generator(), seconds))

    thread = threading.Thread(target=watch)
    with tempfile.TemporaryDirectory() as folder:
        session.run(plan, Path(folder), Calling(thread.start), [])
    thread.join()
    return found[0]


def files(_rounds, seconds):
    """A stage at ten times the requests: delays are a tenth, and so is their spread."""
    for name, told in (("", None), (", with phases", TOLD)):
        sizes, counts = [], []
        for delays in ("p50=200ms p95=320ms p99=600ms", "p50=20ms p95=32ms p99=60ms"):
            with mock(delays, told) as ready, tempfile.TemporaryDirectory() as folder:
                plan = plan_of(ready["url"], [USERS], 1, max(seconds, 5), bool(told))
                outcome = session.run(plan, Path(folder), Calling(lambda: None), [])
                sizes.append((outcome.folder / "slices.jsonl").stat().st_size)
                counts.append(sum(point.requests for point in outcome.run.of("mock-up")))
        print(f"slices.jsonl of {counts[0]:,} and {counts[1]:,} requests{name}: {sizes} bytes")
        growth = sizes[1] / sizes[0]
        title = f"bytes at {counts[1] / counts[0]:.1f} times the requests{name}"
        yield title, "at most 1.5 times", f"{growth:.2f} times", growth <= 1.5


def reading(rounds, _seconds):
    """
    Two deployments, five levels each, 60 s, three kinds of request, up to 1,000/s; and thirty short
    stages, with many distinct times in each slice.
    """
    with mock("50ms") as ready:
        httpx.get(ready["url"])
        ledger = account(ready)
    for name, told in (("", False), (", with phases", True)):
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder), ledger, told)
            size = (path / "slices.jsonl").stat().st_size / 1e6
            print(f"slices.jsonl of ten minutes{name}: {size:.1f} MB")
            cost = analysed(path, rounds)
            points = runs.analyse(path).points
        assert len(points) == 40
        assert all(bool(point.phases) == told for point in points)
        yield f"analysis of ten minutes{name}", "at most 2 s", f"{cost:.2f} s", cost <= 2
    with tempfile.TemporaryDirectory() as folder:
        cost = analysed(short_stages(Path(folder)), rounds)
    yield "analysis of thirty short stages", "at most 2 s", f"{cost:.2f} s", cost <= 2


def analysed(path, rounds):
    """How long a new process takes to read and analyse the run; the median, in seconds."""
    words = "import sys, time; from pathlib import Path\n"
    words += "from loadtests.analysis import runs; t = time.perf_counter()\n"
    words += "runs.analyse(Path(sys.argv[1])); print(time.perf_counter() - t)"
    command = [sys.executable, "-c", words, path]
    taken = [
        float(subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout)
        for _ in range(rounds)
    ]
    return statistics.median(taken)


def short_stages(path):
    """A run of forty threads at three levels, ten times each, 2.5 s and 5 s."""
    engine = SimulatedEngine({"a": threads(40, exponential(0.05))})
    plan = {
        "name": "cost",
        "deployments": {"a": {"variant": "x"}},
        "load": {"levels": [10, 40, 80]},
    }
    run = run_folder.RunFolder(path, {"id": "1", "name": "cost", "plan": plan})
    for number in range(30):
        stage = simulated_stage(number, "a", (10, 40, 80)[number % 3], settle=2.5, measure=5.0)
        run.write(stage)
        for message in engine.play(stage):
            run.write(message)
    run.end("complete")
    return path


def write(out, ledger, told):
    """A run of ten minutes, as the controller would have written it."""
    levels = [10, 20, 40, 80, 160]
    plan = plan_of("http://127.0.0.1:1", levels, 0, 60, told)
    path = run_folder.make(out, plan.name)
    (path / "plan.toml").write_text(plans.to_toml(plan), encoding="utf-8")
    folder = run_folder.RunFolder(path, run_folder.header(path, plan, {}, {"a": {}, "b": {}}))
    draw = random.Random(1)
    at = time.monotonic()
    for number, (level, name) in enumerate((level, name) for level in levels for name in "ab"):
        stage = messages.Stage(
            number=number, deployment=name, target="http://127.0.0.1:1", level=level, think_time=0,
            settle=0, measure=60, requests=[one.spec() for one in plan.requests], seed=1,
        )  # fmt: skip
        clock = messages.Clock(offset=0, uncertainty=0)
        folder.write(stage)
        folder.write(messages.StageStarted(stage=number, at=at, generators={"local": clock}))
        each = min(level / 0.055, 1000) * LENGTH / len(KINDS)  # requests of a kind and a slice
        for index in range(0, 240, 2):
            slices = [
                part
                for later in (0, 1)
                for kind in KINDS
                for part in parts(draw, number, index + later, kind, each, told)
            ]
            message = messages.Report(
                stage=number, generator="local", sequence=index // 2, slices=slices
            )
            folder.write(message)
        folder.write(
            messages.GeneratorDone(
                stage=number, generator="local", reports=120, unfinished=0, cpu=0.3, lag=0
            )
        )
        for second in range(60):
            folder.sample(
                {
                    "type": "sample", "at": at + second, "cores": [0.3, 0.4],
                    "processes": {
                        one: {"cpu": 0.2, "rss": 50_000_000, "threads": 9, "descriptors": 60}
                        for one in ("mock", "a", "b", "generator")
                    },
                    "mock": ledger,
                }
            )  # fmt: skip
        at += 60.4
    folder.end("complete")
    return path


def parts(draw, stage, index, kind, each, told):
    """The requests of one kind in a quarter second: most at once, the last ones in a later part."""
    count = max(1, round(each + draw.gauss(0, each**0.5)))
    for share in (count * 4 // 5, count - count * 4 // 5):
        times, sums = Histogram(), PhaseSums()
        for _ in range(share):
            seconds = draw.lognormvariate(-3, 0.4)
            times.record(seconds)
            if told:
                sums.record(seconds, [one * seconds for one in (0.01, 0.1, 0.2, 0, 0.6, 0.05, 0)])
        if share:
            yield messages.SliceMessage.of(
                Slice(
                    stage=stage, index=index, request=kind, started=share, ended=share,
                    start_lead=share * LENGTH / 2, end_lead=share * LENGTH / 2, succeeded=share,
                    ok=times, phases=sums,
                )
            )  # fmt: skip


def plan_of(url, levels, settle, measure, telemetry):
    return plans.Plan.model_validate(
        {
            "name": "cost",
            "telemetry": telemetry,
            "deployments": {"mock-up": {"url": url}},
            "requests": [{"path": path} for path in KINDS],
            "load": {"levels": levels, "settle": f"{settle:g}s", "measure": f"{measure:g}s"},
        }
    )


class Calling:
    """An observer that does something when the first stage begins."""

    def __init__(self, begins):
        self.begins_with = begins

    def begins(self, *_):
        self.begins_with()

    def measured(self, _):
        pass

    def problem(self, text):
        print(text, file=sys.stderr)


@contextmanager
def mock(latency, told=None):
    """
    `mock_upstream` on the core of the deployments: what it says when it is ready.

    Args:
        told: the header that it sends as an instrumented service would.
    """
    profile = {"latency": latency}
    if told:
        profile["routes"] = [{"path": path, "headers": {"server-timing": told}} for path in KINDS]
    cores = Cores.here()
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:
        json.dump(profile, file)
        file.flush()
        with cores.pinned_to(cores.apps):
            process = subprocess.Popen(
                [sys.executable, "-m", "mock_upstream", "serve", file.name], stdout=subprocess.PIPE
            )
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def account(ready):
    return httpx.get(f"{ready['control']}/ledger", trust_env=False).json()


def generator():
    """The process id of the Locust that brownout has started."""
    children = psutil.Process().children(recursive=True)
    return next(one.pid for one in children if "loadtests.engine" in one.cmdline())


def rate(ready, pid, seconds):
    """Arrivals per second at the mock, and the CPU of the process for each of them (us)."""
    process = psutil.Process(pid)
    before, used = account(ready), sum(process.cpu_times()[:2])
    time.sleep(seconds)
    after, used = account(ready), sum(process.cpu_times()[:2]) - used
    arrivals = after["arrivals"] - before["arrivals"]
    return arrivals / (after["elapsed"] - before["elapsed"]), used / arrivals * 1e6


if __name__ == "__main__":
    main()
