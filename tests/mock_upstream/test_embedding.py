"""The mock in scripts and test suites: started, changed, asked and stopped from Python."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import mock_upstream
from mock_upstream.client import Upstream
from mock_upstream.profiles.profile import Profile, ProfileError
from tests.support.servers import eventually

pytestmark = pytest.mark.processes


def get(url: str, path: str = "/") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.load(response)
    finally:
        connection.close()


def hanging(url: str) -> socket.socket:
    """A request that is sent and not waited for."""
    caller = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=20)
    caller.sendall(b"GET / HTTP/1.1\r\nhost: mock\r\n\r\n")
    return caller


def answers(url: str) -> bool:
    try:
        return get(url)[0] == 200
    except OSError:
        return False


def test_the_mock_runs_for_the_block_and_has_a_ledger() -> None:
    with mock_upstream.running("1ms") as upstream:
        assert get(upstream.url) == (200, {"ok": True})
        assert get(upstream.url)[0] == 200
        account = upstream.ledger()
        assert (account.arrivals, account.answers, account.in_flight.peak) == (2, {200: 2}, 1)
        assert account.asked.p50 == pytest.approx(0.001)
        # Ctrl-C in a terminal goes to a process group, and this is another one.
        assert os.getpgid(upstream.pid) != os.getpgrp()
    assert not answers(upstream.url)
    with pytest.raises(ProcessLookupError):
        os.kill(upstream.pid, 0)


def test_a_profile_can_be_given_in_any_form(tmp_path: Path) -> None:
    file = tmp_path / "profile.toml"
    file.write_text('latency = "7ms"\nseed = 1\n', encoding="utf-8")
    checked = Profile.model_validate({"latency": "7ms", "seed": 2, "errors": {503: 0.5}})
    with mock_upstream.running(file, seed=3) as upstream:
        for configure, seed in (
            (lambda: None, 3),
            (lambda: upstream.configure("7ms", seed=4), 4),
            (lambda: upstream.configure(latency="7ms", seed=5), 5),
            (lambda: upstream.configure({"latency": "7ms"}, seed=6), 6),
            (lambda: upstream.configure(checked), 2),
            (lambda: upstream.configure(checked, seed=7), 7),
        ):
            configure()
            _, profile = get(upstream.control, "/profile")
            assert (profile["latency"], profile["seed"]) == ("7ms", seed)
        assert profile["errors"] == {"503": 0.5}


def test_files_are_read_for_the_process_that_started_it_and_for_no_other(tmp_path: Path) -> None:
    recording, answer = tmp_path / "seen.csv", tmp_path / "answer.json"
    recording.write_text("1ms\n2ms\n", encoding="utf-8")
    answer.write_text("[7]", encoding="utf-8")
    file = tmp_path / "profile.toml"
    file.write_text('latency = "file(seen.csv)"\n', encoding="utf-8")
    with mock_upstream.running("0ms") as upstream:
        upstream.configure(file, routes=[{"path": "/seven", "file": "answer.json"}])
        assert get(upstream.url, "/seven") == (200, [7])
        assert upstream.ledger().asked.max < 0.0021
        recording.write_text("3ms\n4ms\n", encoding="utf-8")
        upstream.configure(file)
        get(upstream.url)
        assert 0.0029 < upstream.ledger().asked.max < 0.0041
        _, played = get(upstream.control, "/profile")
        body = json.dumps({**played, "latency": f"file({answer})"})
        for owner in ({}, {"x-mock-owner": ""}, {"x-mock-owner": "guessed"}):
            connection = http.client.HTTPConnection(urlsplit(upstream.control).netloc, timeout=30)
            headers = {"content-type": "application/json", **owner}
            connection.request("PUT", "/profile", body, headers)
            response = connection.getresponse()
            assert (response.status, b"no file is read here" in response.read()) == (422, True)
            connection.close()


def test_an_invalid_profile_is_refused_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="p95=20ms is below"):
        mock_upstream.running("p50=50ms p95=20ms").__enter__()
    with pytest.raises(ProfileError, match="speed: there is no such key"):
        mock_upstream.running(speed=9).__enter__()
    with pytest.raises(ProfileError, match="No such file"):
        mock_upstream.running(tmp_path / "missing.toml").__enter__()
    with pytest.raises(TypeError, match="17 is not a profile"):
        mock_upstream.running(17).__enter__()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shared() -> Iterator[Upstream]:
    with mock_upstream.running() as upstream:
        yield upstream


@pytest.fixture
def upstream(shared: Upstream) -> Upstream:
    """A mock whose requests never end, with an empty ledger."""
    shared.configure("50s")
    shared.reset()
    return shared


def test_another_profile_takes_its_place_and_a_bad_one_does_not(upstream: Upstream) -> None:
    upstream.configure(latency="0ms", routes=[{"path": "/b", "json": {"b": 1}}])
    assert get(upstream.url, "/b") == (200, {"b": 1})
    with pytest.raises(ProfileError):
        upstream.configure("soon")
    assert get(upstream.url, "/b") == (200, {"b": 1})


def test_a_reset_drops_what_is_owed_and_counts_from_zero(upstream: Upstream) -> None:
    with hanging(upstream.url) as caller:
        eventually(lambda: upstream.ledger().in_flight.now == 1)
        upstream.reset()
        assert caller.recv(100) == b""
        account = upstream.ledger()
        assert (account.arrivals, account.in_flight.now, account.disconnects) == (0, 0, 0)


def test_the_peak_can_start_again(upstream: Upstream) -> None:
    with hanging(upstream.url), hanging(upstream.url):
        eventually(lambda: upstream.ledger().in_flight.now == 2)
    eventually(lambda: upstream.ledger().in_flight.now == 0)
    assert upstream.ledger(reset_peak=True).in_flight.peak == 2
    assert upstream.ledger().in_flight.peak == 0


def test_the_current_profile_can_be_read(tmp_path: Path) -> None:
    calls = tmp_path / "calls.csv"
    calls.write_text("took\n10\n20\n", encoding="utf-8")
    with mock_upstream.running(f"file({calls}, unit=ms, field=took)", seed=7) as upstream:
        assert upstream.profile().seed == 7
        assert upstream.profile().latency.quantile(1.0) == 0.02
        upstream.configure("20ms", routes=[{"path": "/a", "json": None}])
        played = upstream.profile()
        upstream.configure(played)
        assert upstream.profile() == played
        assert [route.path for route in played.routes] == ["/a"]


def test_neither_a_proxy_nor_a_token_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("MOCK_UPSTREAM_CONTROL_TOKEN", "of-another")
    with mock_upstream.running("0ms") as upstream:
        assert upstream.ledger().arrivals == 0


def test_a_killed_mock_is_reported() -> None:
    with mock_upstream.running("0ms") as upstream:
        os.kill(upstream.pid, signal.SIGKILL)
        eventually(lambda: not answers(upstream.url))
        with pytest.raises(RuntimeError, match="exit code -9"):
            upstream.ledger()


def test_a_mock_ends_and_leaves_no_file_when_the_process_that_started_it_is_killed(
    tmp_path: Path,
) -> None:
    script = (
        "import mock_upstream, time\n"
        "with mock_upstream.running('0ms') as upstream:\n"
        "    print(upstream.url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, encoding="utf-8") as user:
        assert user.stdout
        url = user.stdout.readline().strip()
        assert answers(url)
        user.kill()
    eventually(lambda: not answers(url))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("imports", "absent"),
    [
        ("mock_upstream", {"pydantic", "fastapi", "uvicorn", "hdrh", "asyncio"}),
        (
            "mock_upstream.server, mock_upstream.verification.verify, mock_upstream.pytest_plugin",
            {"locust", "gevent", "numpy", "scipy", "httpx", "requests", "aiohttp", "psutil"},
        ),
    ],
)
def test_embedding_imports_few_modules(imports: str, absent: set[str]) -> None:
    script = f"import sys, {imports}; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(
        command, capture_output=True, encoding="utf-8", check=True
    ).stdout.split()
    assert not absent & set(loaded)
