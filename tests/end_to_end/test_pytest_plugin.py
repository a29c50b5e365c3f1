"""The fixture `brownout`, in test suites of their own that load real services."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import mock_upstream
from brownout import pytest_plugin
from loadtests import results, slo_check
from mock_upstream import Upstream

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.processes

SHOP = Path("docs/examples/shop").absolute()
# In the process that plays a run: what else the machine does is not what is tested.
CALM = f"""
import sys

if "loadtests.slo_check" in sys.orig_argv:
    sys.path.append({str(Path(__file__).parents[2])!r})
    from tests.support.brownout_runs import calm

    calmed = calm()
    calmed.__enter__()
"""
HEAD = """
import os
import signal
import sys
import threading

import pytest

PATIENT = {"late": "1m", "lag": "1m", "cpu": 1.0}
"""
MARKED = 'pytestmark = pytest.mark.mock_upstream("20ms", budget=PATIENT)\n'

RunSuite = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RunSuite:
    """Runs a suite as users do: in a process, where unknown markers and warnings are errors."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (pytester.mkdir("calm") / "sitecustomize.py").write_text(CALM, encoding="utf-8")
    path = [str(pytester.path / "calm"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers\n")

    def run_suite(tests: str, conftest: str = "") -> pytest.RunResult:
        pytester.makeconftest(conftest)
        file = pytester.path / "test_shop.py"
        file.write_text(HEAD + tests, encoding="utf-8")
        plugins = ["-p", "mock_upstream", "-p", "brownout"]
        return pytester.runpytest_subprocess(*plugins, "-rfs", file, timeout=600)

    return run_suite


PLAN = """
name = "shop"
[upstream]
latency = "5ms"
budget = { late = "1m", lag = "1m", cpu = 1.0 }
[deployments.shop]
variant = "async-aiohttp"
[[requests]]
path = "/external-data"
[load]
levels = [1, 2, 80]
settle = "0s"
measure = "1s"
[slos]
few = "errors < 50% at 2"
"""
SUITE = f"""
HASTE = {{"path": "/external-data", "settle": "0s", "measure": "1s"}}
plays = pytest.mark.mock_upstream("20ms", budget=PATIENT)

def state(mock):
    caught = {{number: signal.getsignal(number) for number in signal.valid_signals()}}
    cores = getattr(os, "sched_getaffinity", lambda pid: None)
    return caught, cores(0), cores(mock.pid), set(threading.enumerate())

@plays
def test_holds(brownout, mock_upstream, tmp_path):
    before = state(mock_upstream)
    run = brownout.holds(
        "p50 < 2s at 8",  # a busy machine leaves too few independent requests for a p95
        "errors < 1%",
        command="uvicorn main:app --port {{port}}",
        env={{"PAYMENTS_URL": "{{upstream}}"}},
        cwd={str(SHOP)!r},
        path="/checkout",
    )
    assert state(mock_upstream) == before
    assert not {{"locust", "gevent"}} & sys.modules.keys()
    assert [slo.status for slo in run.slos] == ["met", "met"]
    [point] = [point for point in run.points if point.request == "all"]
    assert point.level == 8
    assert 3 <= point.seconds <= 20, "as long as its numbers need"
    assert mock_upstream.ledger().in_flight.peak == 8
    assert mock_upstream.ledger().arrivals > point.requests > 100
    assert run.plan["upstream"]["latency"] == "20ms"
    assert list(tmp_path.glob("*/report.html"))

@plays
def test_the_same_mock_serves_the_next_test(mock_upstream):
    assert mock_upstream.ledger().arrivals == 0

@plays
def test_is_missed(brownout, mock_upstream):
    brownout.holds("p50 < 1ms at 4", url=mock_upstream.url, **HASTE)

@plays
def test_is_unresolved(brownout):
    brownout.holds("p99 < 10s at 1", variant="async-aiohttp", **HASTE)

@plays
def test_is_skipped(brownout, mock_upstream):
    brownout.holds("p99 < 10s at 1", unresolved="skip", url=mock_upstream.url, **HASTE)

def test_plays_a_plan(brownout, mock_upstream):
    run = brownout.holds("p50 < 5s at 3", plan="plan.toml")
    assert {{point.level for point in run.points}} == {{2, 3}}
    assert {{slo.text for slo in run.slos}} == {{"errors < 50% at 2", "p50 < 5s at 3"}}
    assert mock_upstream.profile().latency.quantile(0.5) == 0.005
"""


def test_slos_that_are_met_pass_and_others_fail_with_the_text_of_the_report(
    run: RunSuite, pytester: pytest.Pytester
) -> None:
    (pytester.path / "plan.toml").write_text(PLAN, encoding="utf-8")
    result = run(SUITE)
    result.assert_outcomes(passed=3, failed=2, skipped=1)
    for failed in ("is_missed", "is_unresolved"):
        result.stdout.fnmatch_lines([f"FAILED*::test_{failed} - *"])
    [report] = pytester.path.glob("runpytest-0/test_is_missed0/*/report.html")
    [slo] = results.read(report.parent).slos
    result.stdout.fnmatch_lines(
        [
            f"p50 < 1ms at 4 is missed: {slo.why}",
            "app: *at 4 users p95 *",
            f"The report: {report}",
        ],
        consecutive=True,
    )
    assert "slo_check.py" not in result.stdout.str()
    told = "p99 < 10s at 1 is unresolved: * requests at 1 user are too few for p99: measure = *"
    result.stdout.fnmatch_lines([f"{told} would probably decide it. So say measure=*s?."])
    result.stdout.fnmatch_lines([f"SKIPPED*{told}*"])


def test_an_invalid_plan_fails_with_only_its_message(run: RunSuite) -> None:
    cases = {
        'holds("p59 < 1s at 4", command="x {port}", path="/")': "a metric is expected (column 1)",
        'holds("p95 < 1s at 4", command="python -c 1/0 {port}", path="/")': "ZeroDivisionError",
        'holds("p95 < 1s at 4", url="http://127.0.0.1:1", unresolved="no")': "is neither",
    }
    tests = [
        f"def test_{number}(brownout):\n    brownout.{call}\n" for number, call in enumerate(cases)
    ]
    result = run(MARKED + "\n".join(tests))
    result.assert_outcomes(failed=len(cases))
    for message in cases.values():
        assert message in result.stdout.str()
    assert "Traceback (most recent call last):\n  File" not in result.stdout.str()
    assert "slo_check.py" not in result.stdout.str()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with mock_upstream.running("20ms") as running:
        yield running


def answered_here(question: Mapping[str, Any]) -> pytest_plugin.Data:
    """The process that the fixture asks, which has loaded everything already."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as said:
        patch.setattr(sys, "stdin", StringIO(json.dumps(question, default=str)))
        slo_check.main()
    answer: pytest_plugin.Data = json.loads(said.getvalue(), object_hook=pytest_plugin.Data)
    return answer


SLO = "p95 < 1s at 4"
COMMAND = {"command": "x {port}"}
ROOT = {"path": "/"}


@pytest.mark.parametrize(
    ("slos", "asked", "message"),
    [
        (["p95 < 1s"], {"url": "http://127.0.0.1:9", **ROOT}, "'at 40', say, is expected"),
        ([], {**COMMAND, **ROOT}, "holds() was given no SLO, such as"),
        (["errors < 1%"], {**COMMAND, **ROOT}, 'Write "errors < 1% at 40"'),
        ([SLO], COMMAND, 'holds() needs path="/checkout"'),
        ([SLO], ROOT, "deployments.app: has none of the keys"),
        ([SLO], {"command": "x", **ROOT}, "is never told its port"),
        ([SLO], {"variant": "async-httpy", **ROOT}, "did you mean 'async-httpx'?"),
        ([SLO], {**COMMAND, **ROOT, "evn": {}}, "did you mean 'env'?"),
        ([SLO], {**COMMAND, **ROOT, "measure": "3"}, "load.measure: "),
        ([SLO], {"url": "http://127.0.0.1:1", **ROOT}, "did not become ready"),
        ([SLO], {"command": "no-such {port}", **ROOT}, "cannot be started"),
        ([], {"plan": "plan.toml", **ROOT}, "was given a plan and path; a plan says all of that"),
        ([], {"plan": "plan.toml"}, "has a marker mock_upstream, and its plan an upstream"),
    ],
)
def test_invalid_arguments_are_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    upstream: Upstream,
    slos: list[str],
    asked: dict[str, Any],
    message: str,
) -> None:
    (tmp_path / "plan.toml").write_text("", encoding="utf-8")
    monkeypatch.setattr(pytest_plugin, "_checked", answered_here)
    place = {"name": "test_it", "root": str(tmp_path), "out": str(tmp_path), "marked": True}
    with pytest.raises(pytest.fail.Exception) as failed:
        pytest_plugin.Brownout(upstream, place).holds(*slos, **asked)
    assert message in str(failed.value)


def test_without_the_load_generator_the_fixture_says_how_to_get_it(run: RunSuite) -> None:
    result = run(
        """
def test_the_fixture_is_not_used():
    assert not [name for name in sys.modules if name.partition(".")[0] == "loadtests"]

def test_checkout(brownout):
    pass
""",
        "import sys\nsys.modules['locust'] = None\n",
    )
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "the fixture brownout needs the load generator, and locust is not installed: "
            "pip install 'brownout?load?'"
        ]
    )
