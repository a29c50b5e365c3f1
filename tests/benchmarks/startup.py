"""How long commands take that measure nothing, from the start of the process to its end.

    python tests/benchmarks/startup.py [--rounds 11] [--before PYTHON]

Asked: `--help`, a mistyped option and `--version` in at most 0.4 s, `run --dry-run` in 0.8 s, on a
quiet core. The commands take turns; the wall clock and the CPU (user and system) are medians over
the rounds, pinned to one core. With --before the Python of another installation takes turns with
this one, in the same rounds: what it lacks (`--version`) shows the time of its refusal.
"""

import argparse
import os
import subprocess
import sys
import time
from statistics import median

COMMANDS = {
    "--help": 0.4,
    "run --levles 1": 0.4,
    "--version": 0.4,
    "run --dry-run": 0.8,
    "run quick --dry-run": 0.8,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--before", metavar="PYTHON", help="of another installation")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pythons = {"now": sys.executable}
    if arguments.before:
        pythons = {"before": arguments.before, **pythons}
    taken = {(command, name): [] for command in COMMANDS for name in pythons}
    for number in range(arguments.rounds + 1):
        for command, name in taken:
            seconds = timed(pythons[name], command)
            if number:  # the first round fills the caches
                taken[command, name].append(seconds)
    sys.exit(not judged(taken))


def timed(python, command):
    """Wall clock and CPU of the command; seconds."""
    words = [python, "-m", "loadtests", *command.split()]
    started = time.perf_counter()
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
    ) as process:
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0  # it has been waited for
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def judged(taken):
    fine = True
    print(f"{'':22}{'':8}{'wall':>8}{'cpu':>8}  at most")
    for (command, name), seconds in taken.items():
        wall, cpu = (median(values) for values in zip(*seconds, strict=True))
        verdict = ""
        if name == "now":
            met = wall <= COMMANDS[command]
            fine &= met
            verdict = f"{COMMANDS[command]:.1f} s  {'ok' if met else 'TOO SLOW'}"
        print(f"{command:22}{name:8}{wall:7.2f} s{cpu:6.2f} s  {verdict}", flush=True)
    return fine


if __name__ == "__main__":
    main()
