"""Where and with what a run was made: enough to repeat it, and to doubt a comparison."""

import os
import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from loadtests import redaction
from loadtests.samples import frequencies
from loadtests.samples.quota import quota

COMMAND = "BROWNOUT_COMMAND"  # set by a Locust that was started by hand: what was typed
LOCUST_WORDS = "BROWNOUT_LOCUST_WORDS"  # set for Locust: more words of its command line, as JSON
SAID = "brownout: "  # begins the line of Locust's log that says why it cannot begin
USER, PASSWORD = "brownout", "BROWNOUT_PASSWORD"  # of the web UI; the variable that has it
PACKAGES = (
    "brownout",
    "locust",
    "gevent",
    "geventhttpclient",
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "anyio",
    "httpx",
    "httpcore",
    "httpx2",
    "httpcore2",
    "requests",
    "urllib3",
    "aiohttp",
)


def facts(seed: int) -> dict[str, Any]:
    """Versions, machine, command and commit; what cannot be found out is left out."""
    found = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.platform(),
        "cpu": _cpu(),
        "cores": _cores(),
        "siblings": frequencies.siblings(_which()) or None,
        "frequency": _clocks(),
        "cpu_quota": round(limited.cores, 3) if (limited := quota()) else None,
        "memory": psutil.virtual_memory().total,
        "load": _load(),
        "command": _command(),
        "commit": _commit(),
        "seed": seed,
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }
    return {name: fact for name, fact in found.items() if fact is not None}


def _cores() -> int | None:
    """The cores that this process may use, as far as the system reports them."""
    return len(_which()) or os.cpu_count()


def _which() -> list[int]:
    with suppress(AttributeError, OSError):  # there is no such call, or a sandbox forbids it
        return sorted(os.sched_getaffinity(0))
    return []


def _clocks() -> dict[str, Any] | None:
    """Return the frequencies of these cores: the highest in hertz, and the governors."""
    highest = frequencies.highest(_which())
    governors = sorted(set(frequencies.governors(_which()).values()))
    found = {"highest": max(highest.values(), default=None), "governors": governors or None}
    return {name: fact for name, fact in found.items() if fact} or None


def _load() -> float | None:
    with suppress(AttributeError, OSError):
        return round(os.getloadavg()[0], 2)
    return None


def _command() -> str:
    """What was typed, without its secrets."""
    typed = os.environ.get(COMMAND)
    words = shlex.split(typed) if typed else ["brownout", *sys.argv[1:]]
    line = shlex.join(redaction.words(words))
    return line.encode("utf-8", "backslashreplace").decode("utf-8")  # of a folder's name


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None
    )


def _commit() -> str | None:
    """The commit of the folder that the user stands in: the service that is measured."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
