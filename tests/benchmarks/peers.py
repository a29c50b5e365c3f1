"""What the benchmarks of the mock share: servers to put side by side, drivers, and a table.

A server is pinned to the last core that this process may use, and the drivers to the first.
"""

import argparse
import math
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mock_upstream
from mock_upstream.client import Upstream

CORES = sorted(os.sched_getaffinity(0))
DRIVER, SERVER = CORES[0], CORES[-1]
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
ECHO_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")  # libnginx-mod-http-echo

FASTAPI = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def answer() -> dict[str, bool]:
    return {"ok": True}
"""
NGINX_CONFIG = """
load_module {module};
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    location / {{ echo -n '{{"ok": true}}'; }}
    location /status {{ stub_status; }}
    location /wait {{ echo_sleep 0.05; echo -n '{{"ok": true}}'; }}
  }}
}}
"""


@dataclass(frozen=True)
class Peer:
    """A server that runs."""

    url: str
    pid: int | None = None  # None: somebody else's


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started in the block stays on the core; this process goes back afterwards."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def mock(*profile: Any, **values: Any) -> Iterator[Upstream]:
    with on_core(SERVER):
        running = mock_upstream.running(*profile, **values)
        upstream = running.__enter__()
    try:
        yield upstream
    finally:
        running.__exit__(None, None, None)


@contextmanager
def app(source: str, *words: str) -> Iterator[Peer]:
    """An ASGI app, `app` of the source, under uvicorn with uvloop and httptools."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "served:app", "--port", str(port), *words]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level=error"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "served.py").write_text(source, encoding="utf-8")
        with _started(command, folder, port) as peer:
            yield peer


@contextmanager
def nginx() -> Iterator[Peer | None]:
    """nginx with the echo module: `/` at once, `/wait` after 50 ms. None: not installed."""
    if not NGINX or not ECHO_MODULE.exists():
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "nginx.conf")
        config.write_text(
            NGINX_CONFIG.format(module=ECHO_MODULE, folder=folder, port=port), encoding="utf-8"
        )
        with _started([NGINX, "-c", str(config), "-p", folder], folder, port) as peer:
            yield peer


@contextmanager
def _started(command: Sequence[str], folder: str, port: int) -> Iterator[Peer]:
    with on_core(SERVER):
        process = subprocess.Popen(command, cwd=folder)
    try:
        while True:
            with socket.socket() as caller:
                if not caller.connect_ex(("127.0.0.1", port)):
                    break
            if process.poll() is not None:
                sys.exit(f"{command[0]} ended with exit code {process.returncode}")
            time.sleep(0.02)
        yield Peer(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@dataclass(frozen=True)
class Driven:
    """What a closed-loop driver saw."""

    throughput: float  # answers per second
    p50: float  # seconds
    p99: float
    cpu: float  # cores that the driver itself used; near 1 it was the bottleneck
    cost: float  # seconds of the server's CPU for each request; nan where its process is unknown
    failed: bool


def driver() -> str:
    """wrk where it is installed, for it takes a third of hey's CPU."""
    found = shutil.which("wrk") or shutil.which("hey")
    return found or sys.exit("neither wrk nor hey is installed")


def drive(peer: Peer | Upstream, connections: int, seconds: float, path: str = "") -> Driven:
    program, url = driver(), peer.url + path
    if Path(program).name == "wrk":
        words = ["-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", url]
    else:
        words = ["-c", str(connections), "-z", f"{seconds:g}s", url]
    used, served = _children_cpu(), _cpu(peer.pid)
    began = time.monotonic()
    with on_core(DRIVER):
        text = subprocess.run(
            [program, *words], capture_output=True, encoding="utf-8", check=True
        ).stdout
    took = time.monotonic() - began
    used, served = _children_cpu() - used, _cpu(peer.pid) - served
    if Path(program).name == "wrk":
        p50, p99 = (_wrk_seconds(_found(rf"(?m)^\s+{rank}%\s+(\S+)", text)) for rank in (50, 99))
        failed = "Non-2xx" in text or "Socket errors" in text
    else:
        p50, p99 = (float(_found(rf"{rank}%+ in (\S+) secs", text)) for rank in (50, 99))
        failed = bool(re.search(r"\[[345]\d\d\]|Error distribution", text))
    rate = float(_found(r"Requests/sec:\s*(\S+)", text))
    return Driven(rate, p50, p99, used / took, served / (rate * seconds), failed)


def _wrk_seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[unit]


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match.group(1) if match else sys.exit(f"no {pattern} in:\n{text}")


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _cpu(pid: int | None) -> float:
    """Seconds that a process has used; its children are not counted."""
    if pid is None:
        return math.nan
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize()


def named_url(text: str) -> tuple[str, Peer]:
    """NAME=URL of an argument."""
    name, _, url = text.partition("=")
    if not urlsplit(url).netloc:
        raise ValueError(f"{text!r} is not NAME=URL")
    return name, Peer(url)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def judged(rows: Sequence[tuple[str, str, str, bool | None]]) -> bool:
    """Prints what was asked and measured, a line each; says whether all of it holds."""
    print(f"{'':44} {'asked':>18} {'measured':>18}")
    for what, asked, measured, holds in rows:
        verdict = {True: "ok", False: "MISSED", None: ""}[holds]
        print(f"{what:44} {asked:>18} {measured:>18}  {verdict}".rstrip())
    return all(holds is not False for *_, holds in rows)


def rows_of(
    description: str, parts: Mapping[str, Callable[[int, float], Iterable[Any]]], rounds: int
) -> list[Any]:
    """Run the parts of a benchmark that its command line names; returns the rows for `judged`."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", default=",".join(parts))
    given = parser.parse_args()
    names = given.only.split(",")
    return [row for name in names for row in parts[name](given.rounds, given.seconds)]


def about_the_machine() -> None:
    load = os.getloadavg()[0]
    note = "" if load < 1.5 else "  (too much: the figures will not be those of the mock)"
    print(f"server on core {SERVER}, driver on core {DRIVER}, load average {load:.2f}{note}")
