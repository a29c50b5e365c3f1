"""The pytest plugin, in test suites of their own."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

pytest_plugins = ["pytester"]

CALL = '''
import http.client
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest


def call(url, path="/"):
    """A service that asks its upstream once."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
'''
_PLUGIN = "mock_upstream"  # by the name that installing the package gives it
RunSuite = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RunSuite:
    """Runs a suite as users do: in a process, where unknown markers and warnings are errors."""
    # What else is installed here is not what is tested.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers\n")

    def run_suite(tests: str) -> pytest.RunResult:
        file = pytester.path / "test_shop.py"
        file.write_text(CALL + tests, encoding="utf-8")
        return pytester.runpytest_subprocess("-p", _PLUGIN, file, timeout=60)

    return run_suite


def test_each_test_has_its_own_profile_ledger_and_draws(
    run: RunSuite,
) -> None:
    run(
        """
@pytest.mark.mock_upstream("uniform(5ms,20ms)")
def test_it_asks_once_per_request_and_never_more_than_20_at_a_time(mock_upstream):
    with ThreadPoolExecutor(20) as users:
        list(users.map(call, [mock_upstream.url] * 100))
    assert mock_upstream.ledger().arrivals == 100
    assert mock_upstream.ledger().in_flight.peak <= 20


URLS = set()

@pytest.fixture(autouse=True)
def same_process(mock_upstream_session):
    URLS.add(mock_upstream_session.url)
    assert len(URLS) == 1

@pytest.mark.mock_upstream(latency="0ms", errors={503: 1})
def test_marked(mock_upstream):
    assert call(mock_upstream.url) == 503

def test_plain_after_it(mock_upstream):
    assert mock_upstream.ledger().arrivals == 0
    assert call(mock_upstream.url) == 200

@pytest.mark.mock_upstream(latency="50s")
def test_a_request_is_left_behind(mock_upstream):
    caller = socket.create_connection(mock_upstream.url.removeprefix("http://").split(":"))
    caller.sendall(b"GET / HTTP/1.1\\r\\nhost: mock\\r\\n\\r\\n")
    while not mock_upstream.ledger().in_flight.now:
        pass
    test_a_request_is_left_behind.caller = caller

@pytest.mark.mock_upstream(latency="1ms", seed=3)
class TestGroup:
    def test_it_is_dropped_for_the_next_one(self, mock_upstream):
        assert test_a_request_is_left_behind.caller.recv(100) == b""
        test_a_request_is_left_behind.caller.close()
        assert mock_upstream.ledger().in_flight.now == 0

    @pytest.mark.parametrize("path", ["/a", "/b"])
    def test_configured_by_hand(self, mock_upstream, path):
        mock_upstream.configure("0ms", routes=[{"path": path, "status": 202}])
        assert call(mock_upstream.url, path) == 202
        assert mock_upstream.ledger().asked.max == 0


SEEN = []

@pytest.mark.mock_upstream("uniform(1us,900us)")
@pytest.mark.parametrize("time", [1, 2])
def test_repeats(mock_upstream, time):
    for _ in range(5):
        call(mock_upstream.url)
    SEEN.append(mock_upstream.ledger().asked.total)
    assert len(set(SEEN)) == 1
"""
    ).assert_outcomes(passed=9)


def test_an_invalid_marker_is_an_error_without_a_traceback_of_the_plugin(run: RunSuite) -> None:
    result = run(
        """
@pytest.mark.mock_upstream("p50=50ms p95=20ms")
def test_bad(mock_upstream):
    pass

def test_good(mock_upstream):
    assert call(mock_upstream.url) == 200
"""
    )
    result.assert_outcomes(errors=1, passed=1)
    assert "p95=20ms is below p50=50ms" in result.stdout.str()
    assert "embedding.py" not in result.stdout.str()


def test_a_suite_that_does_not_use_it_starts_nothing(run: RunSuite) -> None:
    result = run(
        """
def test_alone():
    import sys
    assert "pydantic" not in sys.modules
"""
    )
    result.assert_outcomes(passed=1)


def test_suites_run_side_by_side(tmp_path: Path) -> None:
    test = """
@pytest.mark.mock_upstream("5ms")
@pytest.mark.parametrize("time", range(10))
def test_counts_only_its_own(mock_upstream, time):
    for _ in range(5):
        call(mock_upstream.url)
    assert mock_upstream.ledger().arrivals == 5
"""
    file = tmp_path / "test_shop.py"
    file.write_text(CALL + test, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", _PLUGIN, "-p", "no:cacheprovider"]
    command += ["-W", "error", str(file)]
    workers = [
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        for _ in range(2)
    ]
    outputs = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    assert all(re.search(r"10 passed", output) for output in outputs)
