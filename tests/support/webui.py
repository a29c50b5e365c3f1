"""Locust's web UI with our pages, as a process: started, asked over HTTP."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from loadtests.results import Run, read
from tests.support.brownout_runs import LOCUST, Invocation, brownout, started
from tests.support.servers import LONGEST_WAIT

# Locust keeps what a form before has said: all that matters is said again.
LEVELS = {"levels": "1, 3", "settle": "0s", "measure": "1s", "deployments": "threads,async"}
LONG = {"levels": "2", "settle": "0s", "measure": "30s", "deployments": "async"}


class Pages:
    """What a browser would ask for, by the addresses that it would use."""

    def __init__(self, invocation: Invocation, url: str, out: Path) -> None:
        self.invocation, self.url, self.out = invocation, url, out
        self.client = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def start(self, **values: str) -> dict[str, Any]:
        """What the form is answered."""
        return self.client.post("/swarm", data=values).json()

    def stop(self) -> None:
        assert self.client.post("/stop").json()["success"]

    def now(self) -> dict[str, Any]:
        return self.client.get("/degradation/now").json()

    def token(self) -> str:
        page = self.client.get("/degradation/").text
        return re.search(r'name="token" content="([^"]+)"', page)[1]

    def change(self, what: str, token: str | None = None, **values: Any) -> httpx.Response:
        headers = {"X-Token": self.token() if token is None else token}
        return self.client.post(f"/degradation/change/{what}", json=values, headers=headers)

    def until(self, *states: str, seconds: float = LONGEST_WAIT) -> dict[str, Any]:
        """What is shown once it is in one of these states."""
        patiently(lambda: self.now()["state"] in states, seconds)
        return self.now()

    def measuring(self) -> None:
        """Waits until a stage is on."""
        patiently(lambda: self.now().get("stage"))

    def measured(self, points: int) -> None:
        """Waits until that many points are there."""
        patiently(lambda: len(json.loads(self._stats())) >= points)

    def _stats(self) -> str:
        stats = self.client.get("/stats/requests").json()
        return json.dumps(stats["extended_stats"][0]["data"])

    def run(self) -> Run:
        """The latest that is finished."""
        listed = self.client.get("/degradation/runs").json()
        return read(self.out / listed[0]["id"])


@contextmanager
def ui(folder: Path, port: int, *words: str, **env: str) -> Iterator[Pages]:
    """`brownout ui`."""
    url = f"http://127.0.0.1:{port}"
    command = ("ui", "plan.toml", "--port", str(port), *words)
    with brownout(*command, cwd=folder, **env) as invocation:
        invocation.until(url)
        pages = Pages(invocation, url, folder / "runs")
        with pages.client, _output_with_failures(invocation):
            yield pages


@contextmanager
def locust(folder: Path, port: int, *words: str, base: str = "", **env: str) -> Iterator[Pages]:
    """Plain Locust."""
    url = f"http://127.0.0.1:{port}{base}"
    command = [*LOCUST, "--plan", "plan.toml", "--web-port", str(port), *words]
    with started(command, folder, **env) as invocation:
        pages = Pages(invocation, url, folder / "runs")
        patiently(lambda: answers(url) or invocation.process.poll() is not None)
        assert invocation.process.poll() is None, invocation.output
        with pages.client, _output_with_failures(invocation):
            yield pages


@contextmanager
def _output_with_failures(invocation: Invocation) -> Iterator[None]:
    """Where a connection fails, why the process closed it is in what it printed."""
    try:
        yield
    except httpx.TransportError as error:
        error.add_note(f"exit code {invocation.process.poll()}\n{invocation.output}")
        raise


def patiently(condition: Callable[[], Any], seconds: float = LONGEST_WAIT) -> None:
    """Waits until it holds, asking rarely enough to leave the machine to what is measured."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10, trust_env=False).status_code < 500
    except httpx.TransportError:
        return False
