"""
The fixture `brownout`: what a service holds under load, as a test.

    @pytest.mark.mock_upstream(latency="p50=50ms p95=120ms p99=1s max=2s")
    def test_checkout_holds_its_p95(brownout):
        brownout.holds(
            "p95 < 200ms at 40",
            command="uvicorn shop.main:app --port {port}",
            env={"PAYMENTS_URL": "{upstream}"},
            path="/checkout",
        )

The upstream of the run is the fixture `mock_upstream`. The run is played in a process of its own:
nothing of the harness is imported here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytest

from mock_upstream.client import Upstream

_MARKER = "mock_upstream"
_NEEDED = ("locust", "typer", "vl_convert")


@pytest.fixture
def brownout(request: pytest.FixtureRequest, mock_upstream: Upstream, tmp_path: Path) -> Brownout:
    """Loads a service for some seconds and checks its SLOs."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        pytest.fail(
            f"the fixture brownout needs the load generator, and {missing[0]} is not installed: "
            "pip install 'brownout[load]'",
            pytrace=False,
        )
    place = {
        "name": request.node.name,
        "root": str(request.config.rootpath),
        "out": str(tmp_path),
        "marked": request.node.get_closest_marker(_MARKER) is not None,
    }
    return Brownout(mock_upstream, place)


class Data(dict[str, Any]):
    """An object of run.json, whose keys are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Brownout:
    """Checks whether a service meets its SLOs."""

    def __init__(self, upstream: Upstream, place: Mapping[str, Any]) -> None:
        self._upstream = upstream
        self._place = place

    def holds(
        self,
        *slos: str,
        command: str | list[str] | None = None,
        url: str | None = None,
        variant: str | None = None,
        path: str | None = None,
        requests: Sequence[Mapping[str, Any]] | None = None,
        settle: str | None = None,
        measure: str | None = None,
        plan: str | Path | None = None,
        unresolved: Literal["fail", "skip"] = "fail",
        **deployment: Any,
    ) -> Data:
        """
        Load the service at the levels of the SLOs; the test fails unless all of them are met.

        The mock begins with an empty ledger, and its ledger has this run afterwards.

        Args:
            slos: as in a plan: "p95 < 200ms at 40".
            command: starts the service; `{port}` and `{upstream}` are filled in. A program of the
                environment that runs the tests comes before one of the PATH.
            url: where the service runs already.
            variant: one of the shipped ones.
            path: of the request, a GET.
            requests: several requests, or other methods: the tables [[requests]] of a plan.
            settle: time before each measurement; 1s by default.
            measure: time that is measured at each level. By default as long as the numbers need:
                from 3s to 20s.
            plan: the path of a plan, or the name of a shipped one, instead of all other arguments;
                its SLOs count, too, and the mock plays its upstream.
            unresolved: "skip" skips the test where an SLO could not be decided, "fail" fails it.
            deployment: further keys of a plan's deployment: env, cwd, ready, settings ... A
                relative cwd starts from pytest's rootdir, which is the default.

        Returns:
            The content of run.json; see docs/formats.md.
        """
        if unresolved not in ("fail", "skip"):
            pytest.fail(f"unresolved={unresolved!r} is neither 'fail' nor 'skip'", pytrace=False)
        answer = _checked(
            {
                "asked": {
                    "slos": slos,
                    "deployment": {
                        "command": command,
                        "url": url,
                        "variant": variant,
                        **deployment,
                    },
                    "path": path,
                    "requests": requests,
                    "settle": settle,
                    "measure": measure,
                    "plan": plan,
                },
                "place": self._place,
                "upstream": self._upstream.address(),
            }
        )
        if answer.result == "met":
            return json_of(Path(answer.folder) / "run.json")
        if answer.result == "interrupted":
            raise KeyboardInterrupt
        if answer.result == "unresolved" and unresolved == "skip":
            pytest.skip(answer.text)
        pytest.fail(answer.text, pytrace=False)


def json_of(path: Path) -> Data:
    """The content of a JSON file."""
    data: Data = json.loads(path.read_text(encoding="utf-8"), object_hook=Data)
    return data


def _checked(question: Mapping[str, Any]) -> Data:
    """Have another process play the run; returns its answer; see loadtests.slo_check."""
    words = [sys.executable, "-P", "-m", "loadtests.slo_check"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            said, _ = process.communicate(json.dumps(question, default=str))
        except KeyboardInterrupt:
            # The terminal has sent it to that process as well, which saves what was measured.
            with suppress(KeyboardInterrupt):
                process.wait()
            raise
    if process.returncode or not said:
        pytest.fail(f"the run ended with exit code {process.returncode}", pytrace=False)
    answer: Data = json.loads(said.splitlines()[-1], object_hook=Data)
    return answer
