"""The recorder against raw timestamps of the same process, and hey at the same concurrency.

    python tests/benchmarks/recorder.py [--rounds 3] [--seconds 5]

Every round plays each level once against `mock_upstream`. Asked: p50, p95, p99 of the recorder
within 0.5 % or 0.2 ms of the exact order statistics of the raw stamps. hey (when it is installed)
shows what another client sees of the same server: the difference is what a generator adds.
"""

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from loadtests import plans
from loadtests.analysis.inputs.records import StageRecord
from loadtests.processes.affinity import Cores
from loadtests.recording import messages
from loadtests.recording.histograms import merged
from loadtests.run.controller import is_over
from loadtests.run.engine_process import ControllerSocket

LEVELS = (1, 10, 40, 160)
QUANTILES = (0.50, 0.95, 0.99)
SETTLE = 1.0
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--latency", default="p50=50ms p95=80ms p99=150ms")
    arguments = parser.parse_args()
    cores = Cores.here()
    with cores.pinned_to(cores.apps):
        mock = subprocess.Popen(
            [sys.executable, "-m", "mock_upstream", "serve", "--latency", arguments.latency],
            stdout=subprocess.PIPE,
        )
    try:
        url = json.loads(mock.stdout.readline())["url"]
        worst, rows = 0.0, []
        for number in range(arguments.rounds):
            rows += [(number, *row) for row in one_round(url, arguments.seconds, cores)]
    finally:
        mock.terminate()
        mock.wait()
    print("round level quantile   raw ms  recorder ms  differ ms  differ %   hey ms")
    for number, level, q, raw, recorded, hey in rows:
        off = abs(recorded - raw)
        worst = max(worst, min(off / raw / 0.005, off / 0.0002))
        print(
            f"{number:5} {level:5} {q:8.2f} {raw * 1e3:8.3f} {recorded * 1e3:12.3f} "
            f"{off * 1e3:10.4f} {off / raw:9.3%} {hey * 1e3 if hey else math.nan:8.1f}"
        )
    print(f"worst difference: {worst:.2f} of what is allowed (0.5 % or 0.2 ms)")
    sys.exit(worst > 1)


def one_round(url, seconds, cores):
    with tempfile.TemporaryDirectory() as folder, ControllerSocket() as line:
        raw_file = Path(folder, "raw.json")
        environment = os.environ | {
            "BROWNOUT_LINK": line.address,
            "BROWNOUT_TOKEN": line.token,
            "BROWNOUT_PLAN": "default",
            "RAW_STAMPS": str(raw_file),
        }
        command = [sys.executable, "-m", "locust", "-f", HERE / "raw_locustfile.py"]
        with cores.pinned_to(cores.generator):
            engine = subprocess.Popen(
                [*command, "--headless", "--only-summary"],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        line.accept(lambda: engine.poll() is None)
        records = [play(line, number, level, url, seconds) for number, level in enumerate(LEVELS)]
        line.send(messages.Finish())
        engine.wait(30)
        stamps = json.loads(raw_file.read_text(encoding="utf-8"))
    for record in records:
        level = record.stage.level
        hey = by_hey(url, level, seconds, cores)
        begin = record.begun.at + SETTLE
        raw = sorted(
            end - start
            for stage, start, end in stamps
            if stage == record.stage.number and begin <= start < begin + seconds
        )
        whole = merged(s.ok for s in record.slices if s.index >= SETTLE / 0.25)
        print(
            f"level {level}: {len(raw)} raw, {whole.count} recorded, generator CPU "
            f"{statistics.mean(done.cpu for done in record.dones.values()):.0%}",
            file=sys.stderr,
        )
        for q in QUANTILES:
            yield level, q, raw[math.ceil(q * len(raw)) - 1], whole.quantile(q), hey.get(q)


def play(line, number, level, url, seconds):
    request = plans.default().requests[0].spec()
    stage = messages.Stage(
        number=number, deployment="mock", target=url, level=level, think_time=0, settle=SETTLE,
        measure=seconds, requests=(request,), seed=number,
    )  # fmt: skip
    line.send(stage)
    record = StageRecord(stage)
    while not is_over(record):
        message = line.receive(60)
        if not isinstance(message, messages.Started):
            record.add(message)
    return record


def by_hey(url, level, seconds, cores):
    """Quantile -> seconds, as hey prints them; empty without hey."""
    if shutil.which("hey") is None:
        return {}
    with cores.pinned_to(cores.generator):
        answer = subprocess.run(
            ["hey", "-c", str(level), "-z", f"{seconds}s", f"{url}/external-data"],
            capture_output=True, encoding="utf-8", check=True,
        ).stdout  # fmt: skip
    found = re.findall(r"(\d+)%+ in ([0-9.]+) secs", answer)
    return {int(percent) / 100: float(secs) for percent, secs in found}


if __name__ == "__main__":
    main()
