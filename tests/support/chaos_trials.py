"""Trials of the chaos campaign: a run as a user starts it, and what is done to one process of it.

All of a trial follows from the seed and its number, so that it can be played again.
"""

import json
import random
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.brownout_runs import COMMAND, LOAD, LOCUST

COMMANDS = ("run", "compare", "capacity", "ui", "workers", "locust")
ACTS = ("kill", "stop", "term", "descriptors", "clock", "disk")
PROCESSES = ("controller", "engine", "mock", "deployment", "shell", "child", "supervisor")
"""
Processes of every command. `deployment` serves itself; `shell` is the command of another
deployment, whose `child` serves. The engine is Locust: the first process of plain Locust, the
master of workers.
"""
FOLDER = "folder"  # what a full disk happens to
HOUR = 3600  # seconds by which a clock steps

_PLAN = f"""
name = "chaos"
[upstream]
latency = "20ms"
[deployments.direct]
variant = "async-aiohttp"
[deployments.shell]
command = {{command}}
stop = {{stop}}
[[requests]]
path = "/external-data"
{LOAD}
[slos]
answers = "errors < 50% at 4"
"""
STARTED, CLEANED = "started", "cleaned"  # files with a line for each start and stop of the shell


@dataclass(frozen=True, slots=True)
class Trial:
    """
    What is done in one run.

    `when` is the moment, as a part of the time that the command takes if nothing is done to it.
    `seconds` is how long a process is stopped or is without descriptors, or by how much its clock
    steps; infinite: until it ends.
    """

    seed: int
    number: int
    command: str
    act: str
    target: str
    when: float
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.seed}/{self.number}"

    @property
    def described(self) -> str:
        match self.act:
            case "none":
                return "nothing"
            case "kill" | "term":
                return f"SIG{self.act.upper()} to {self.target}"
            case "stop":
                return f"SIGSTOP of {self.target} for {self.seconds:.1f} s"
            case "descriptors":
                long = "for good" if self.seconds == float("inf") else f"for {self.seconds:.1f} s"
                return f"no descriptors for {self.target} {long}"
            case "clock":
                return f"clock of {self.target} steps by {self.seconds:+.0f} s"
            case _:
                return "the disk fills"


def drawn(seed: int, number: int) -> Trial:
    """
    Return one trial of a seed.

    36 trials in a row have each pair of command and act once, in an order that the seed shuffles;
    the process, the moment and the length are drawn for each trial.
    """
    pairs = [(command, act) for command in COMMANDS for act in ACTS]
    random.Random(f"pairs {seed} {number // len(pairs)}").shuffle(pairs)
    command, act = pairs[number % len(pairs)]
    rng = random.Random(f"trial {seed} {number}")
    processes = [*PROCESSES, *(["worker"] if command == "workers" else [])]
    target, when = rng.choice(processes), rng.random()
    match act:
        case "stop":
            seconds = rng.uniform(1.0, 20.0)
        case "descriptors":
            seconds = rng.choice([2.5, float("inf")])
        case "clock":
            seconds = float(rng.choice([HOUR, -HOUR]))
        case "disk":
            seconds, target = float("inf"), FOLDER
        case _:
            seconds = 0.0
    return Trial(seed, number, command, act, target, when, seconds)


def undisturbed(command: str) -> Trial:
    """Return a trial in which nothing is done: how long the command takes, and what it finds."""
    return Trial(0, -1, command, "none", "nothing", 0.0)


def write_plan(folder: Path) -> None:
    """Write the plan that every trial plays."""
    serve = f"{sys.executable} -P -m app_under_test async-aiohttp --port {{port}}"
    noted, cleaned = (f"echo >> {shlex.quote(str(folder / name))}" for name in (STARTED, CLEANED))
    # Something after the service, so that the shell does not become the service.
    command = ["sh", "-c", f"{noted}; {serve} --upstream {{upstream}}; exit $?"]
    stop = ["sh", "-c", cleaned]
    # A list of strings is written in JSON as in TOML.
    text = _PLAN.format(command=json.dumps(command), stop=json.dumps(stop))
    (folder / "plan.toml").write_text(text, encoding="utf-8")


def words(command: str, port: int) -> list[str]:
    """Return the command line; the folder has a plan and `runs`."""
    out = ["--out", "runs"]
    match command:
        case "run":
            return [*COMMAND, "run", "plan.toml", *out]
        case "workers":
            return [*COMMAND, "run", "plan.toml", "--processes", "2", *out]
        case "capacity":
            short = ["--levels", "1,4", "--within", "4s"]
            return [*COMMAND, "capacity", "plan.toml", *short, *out]
        case "compare":
            short = ["--at", "4", "--settle", "0s", "--measure", "1s", "--within", "30s"]
            pair = ["compare", "direct", "shell", "--plan", "plan.toml"]
            return [*COMMAND, *pair, "--margin", "50%", *short, *out]
        case "ui":
            return [*COMMAND, "ui", "plan.toml", "--port", str(port), *out]
        case "locust":
            return [*LOCUST, "--headless", "--only-summary", "--plan", "plan.toml", *out]
    raise ValueError(command)
