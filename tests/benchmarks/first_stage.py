"""How long it takes from the command to the first stage of `brownout run quick`.

    python tests/benchmarks/first_stage.py [--rounds 5] [--before PYTHON]

Asked: at most 2.5 s on two quiet cores, the median over the rounds. The time ends when the load
generator opens the first stage, by its own monotonic clock, which all processes of a Linux machine
share; then the run is interrupted. With --before the Python of another installation takes turns
with this one, in the same rounds.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

MOST = 2.5
GIVING_UP = 120.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", metavar="PYTHON", help="of another installation")
    arguments = parser.parse_args()
    pythons = {"now": sys.executable}
    if arguments.before:
        pythons = {"before": arguments.before, **pythons}
    taken = {name: [] for name in pythons}
    for number in range(arguments.rounds + 1):
        for name, python in pythons.items():
            seconds = first_stage(python)
            if number:  # the first round fills the caches
                taken[name].append(seconds)
    for name, seconds in taken.items():
        each = ", ".join(f"{one:.2f}" for one in seconds)
        print(f"{name:8} {median(seconds):.2f} s  at most {MOST} s  ({each})")
    sys.exit(median(taken["now"]) > MOST)


def first_stage(python):
    """Seconds from the start of the command to the first stage."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        words = [python, "-m", "loadtests", "run", "quick", "--out", folder]
        with subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        ) as process:
            try:
                while (at := begun(Path(folder))) is None:
                    if process.poll() is not None or time.monotonic() - began > GIVING_UP:
                        sys.exit(f"{python} does not come to its first stage")
                    time.sleep(0.05)
            finally:
                process.send_signal(signal.SIGINT)
        return at - began


def begun(folder):
    """When the first stage began, by the monotonic clock; None: it has not."""
    for file in folder.glob("*/slices.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n") and (message := json.loads(line)).get("type") == "begun":
                return message["at"]
    return None


if __name__ == "__main__":
    main()
