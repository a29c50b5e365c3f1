"""The zoo's knees: each locustfile against a shop whose knee is known.

    python -m tests.benchmarks.zoo [NAME ...]

The shop of `tests/end_to_end/zoo` serves eight requests at a time, 50 ms each. So whatever the
users of a locustfile do, throughput is 160 a second at most, and its knee is eight requests in
flight. A line is right if the knee is that, within 15 %; if it is said to lie at or below the
lowest levels, with the right throughput; or if none is given with a reason. Some four minutes for
each ten locustfiles; it needs the machine for itself.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from loadtests import results
from loadtests.results import Run
from tests.end_to_end.zoo.service import AT_A_TIME, TAKES

ZOO = Path(__file__).parents[1] / "end_to_end" / "zoo"
LEVELS = [1, 2, 4, 8, 16, 32, 64, 96]
CLOSE = 0.15  # of the true knee
SPECIAL = {
    "custom_client": 'requests = ["RPC"]',
    "tags": 'exclude_tags = ["danger"]',
    "own_options": "options = { think-time = 50 }",
}
PLAN = """
name = "{name}"
locustfile = "{file}"
[locust]
{special}
[deployments.shop]
command = "python -m uvicorn tests.end_to_end.zoo.service:app --port {{port}} --no-access-log"
cwd = "{root}"
ready = "/health"
[load]
levels = {levels}
settle = "1s"
measure = "2s"
"""


def play(name: str, folder: Path) -> tuple[int, str, Run | None]:
    """Play one locustfile; the exit code, what was printed, and the run."""
    plan = folder / f"{name}.toml"
    plan.write_text(
        PLAN.format(
            name=name,
            file=ZOO / f"{name}.py",
            special=SPECIAL.get(name, ""),
            root=Path(__file__).parents[2],
            levels=LEVELS,
        ),
        encoding="utf-8",
    )
    ended = subprocess.run(
        [sys.executable, "-m", "brownout", "run", str(plan), "--out", str(folder / "runs")],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    output = ended.stdout + ended.stderr
    last = (ended.stdout.strip().splitlines() or [""])[-1]
    return ended.returncode, output, results.read(Path(last)) if Path(last).is_dir() else None


def judged(code: int, output: str, run: Run | None) -> tuple[bool, str]:
    """Whether the answer is right, and the answer."""
    if run is None or code or "Traceback" in output:
        return False, f"exit code {code}: {output[-500:]}"
    knee = run.knees["shop"]
    if knee.level is None and knee.high is not None:  # the lowest level lies beyond it
        right = abs((knee.throughput or 0.0) * TAKES / AT_A_TIME - 1) <= CLOSE
        return right, f"at or below {knee.high:g} users, {knee.throughput or 0:.0f}/s"
    if knee.level is None:
        told = [text for text in run.problems if re.search("mix|no requests", text)]
        return bool(told), f"no knee: {' '.join(told)}"
    flying = knee.level if knee.in_flight is None else knee.in_flight
    right = abs(flying / AT_A_TIME - 1) <= CLOSE
    text = f"{knee.level:6.1f} users, {flying:5.2f} in flight, {knee.throughput or 0:5.0f}/s"
    return right, f"{text}, limit {knee.limit or '-'}"


def main() -> None:
    """Print a line for each locustfile, and how many are right."""
    found = sorted(file.stem for file in ZOO.glob("*.py"))
    names = sys.argv[1:] or [name for name in found if name not in ("__init__", "service")]
    print(f"true: {AT_A_TIME} requests in flight, {AT_A_TIME / TAKES:.0f}/s")
    right = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            good, text = judged(*play(name, Path(folder)))
            right += good
            print(f"{'right' if good else 'WRONG'}  {name:22} {text}", flush=True)
    print(f"{right} of {len(names)} right")
    sys.exit(right < len(names))


if __name__ == "__main__":
    main()
