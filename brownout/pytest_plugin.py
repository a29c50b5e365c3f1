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

The upstream of the run is the fixture `mock_upstream`. Imports nothing of the harness until a test
asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from mock_upstream.client import Upstream

if TYPE_CHECKING:
    from loadtests.results import Run
    from loadtests.slo_check import Place

_MARKER = "mock_upstream"


@pytest.fixture
def brownout(request: pytest.FixtureRequest, mock_upstream: Upstream, tmp_path: Path) -> Brownout:
    """Loads a service for some seconds and holds it to its SLOs."""
    if missing := _missing():
        pytest.fail(
            f"the fixture brownout needs the load generator, and {missing} is not installed: "
            "pip install 'brownout[load]'",
            pytrace=False,
        )
    from loadtests import slo_check

    marked = request.node.get_closest_marker(_MARKER) is not None
    place = slo_check.Place(request.node.name, request.config.rootpath, tmp_path, marked)
    return Brownout(mock_upstream, place)


class Brownout:
    """Whether a service keeps its promises."""

    def __init__(self, upstream: Upstream, place: Place) -> None:
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
    ) -> Run:
        """
        Load the service at the levels of the SLOs; the test fails unless all of them are met.

        The mock begins with an empty ledger and goes on as it is: it tells of this run afterwards.

        Args:
            slos: as in a plan: "p95 < 200ms at 40".
            command: starts the service; `{port}` and `{upstream}` are filled in. A program of the
                environment that runs the tests comes before one of the PATH.
            url: where the service runs already.
            variant: one of those that come along.
            path: of the request, a GET.
            requests: several, or of another kind: the tables [[requests]] of a plan.
            settle: unrecorded before each measurement, 1s if it is not said.
            measure: recorded at each level. If it is not said, as long as the numbers need: from
                3s to 20s, as the service's own answers show.
            plan: the path of a plan, or the name of a shipped one, in place of all the other
                arguments; its SLOs count, too, and the mock plays its upstream.
            unresolved: "skip" skips the test where an SLO could not be decided, "fail" fails it.
            deployment: further keys of a plan's deployment: env, cwd, ready, settings ... A
                relative cwd starts from pytest's rootdir, which is the default.
        """
        from loadtests import slo_check

        if unresolved not in ("fail", "skip"):
            pytest.fail(f"unresolved={unresolved!r} is neither 'fail' nor 'skip'", pytrace=False)
        asked = slo_check.Asked(
            slos=slos,
            deployment={"command": command, "url": url, "variant": variant, **deployment},
            path=path,
            requests=requests,
            settle=settle,
            measure=measure,
            plan=plan,
        )
        try:
            return slo_check.held(asked, self._upstream, self._place)
        except slo_check.Broken as error:
            text, skips = str(error), False
        except slo_check.Unresolved as error:
            text, skips = str(error), unresolved == "skip"
        if skips:
            pytest.skip(text)
        pytest.fail(text, pytrace=False)


def _missing() -> str | None:
    """What the extra `load` brings and nobody installed."""
    try:
        import loadtests.slo_check  # noqa: F401
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.partition(".")[0] in ("loadtests", "app_under_test", "mock_upstream"):
            raise
        return name
    return None
