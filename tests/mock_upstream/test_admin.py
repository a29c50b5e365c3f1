"""The control API: read and replaced whole, versioned, and closed to anyone without the right."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mock_upstream.control import guard
from mock_upstream.control.api import create_app
from mock_upstream.ledger.ledger import Ledger
from mock_upstream.profiles.merge_patch import merged
from mock_upstream.profiles.profile import Profile
from tests.support.servers import MockUpstream, eventually, mock_upstream, serving

pytestmark = pytest.mark.processes

TIDES = {
    "phases": [
        {"name": "calm", "for": "50m"},
        {"name": "down", "for": "1m", "outage": 503},
    ]
}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def mock() -> Iterator[MockUpstream]:
    with mock_upstream("--latency", "1ms") as mock:
        yield mock


@pytest.fixture
def control(mock: MockUpstream) -> Iterator[httpx.Client]:
    """The control API of a mock that plays the default again, but for its latency."""
    with httpx.Client(base_url=mock.control, trust_env=False, timeout=30) as client:
        assert client.put("/profile", json={"latency": "1ms"}).status_code == 200
        assert client.post("/reset").status_code == 200
        yield client


@pytest.fixture
def data(mock: MockUpstream) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=mock.url, trust_env=False, timeout=30) as client:
        yield client


def error(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    message: str = response.json()["error"]
    return message


def test_a_profile_is_replaced_from_the_next_request_on(
    control: httpx.Client, data: httpx.Client
) -> None:
    before = control.get("/profile")
    route = {"path": "/charge/{id}", "status": 201, "json": {"id": "{id}"}}
    replaced = control.put("/profile", json={"latency": "2ms", "routes": [route]})
    assert replaced.status_code == 200
    after = control.get("/profile")
    assert after.json()["latency"] == "2ms"
    assert after.headers["etag"] == replaced.headers["etag"] != before.headers["etag"]
    assert replaced.json()["version"] == control.get("/ledger").json()["version"]
    answer = data.get("/charge/7")
    assert (answer.status_code, answer.json()) == (201, {"id": "7"})
    assert answer.headers["server-timing"].startswith("asked;dur=2.000")


def test_a_profile_that_was_read_can_be_sent_back(control: httpx.Client) -> None:
    full = {
        "errors": {"503": 0.1},
        "capacity": {"servers": 4},
        "faults": [{"fault": "reset", "every": 3}],
        "body": {"size": "uniform(1kB,2kB)"},
        "timeline": TIDES,
        "routes": [{"path": "/a", "method": "GET", "latency": "p50=1ms p95=3ms"}],
    }
    assert control.put("/profile", json=full).status_code == 200
    read = control.get("/profile").json()
    assert control.put("/profile", json=read).status_code == 200
    assert control.get("/profile").json() == read
    assert Profile.model_validate(read) == Profile.model_validate(full)


def test_recordings_that_are_played_can_be_kept_and_no_others_are_read(tmp_path: Path) -> None:
    recording, profile = tmp_path / "seen.csv", tmp_path / "profile.toml"
    recording.write_text("5ms\n7ms\n", encoding="utf-8")
    profile.write_text('latency = "file(seen.csv)"', encoding="utf-8")
    with (
        mock_upstream(str(profile)) as mock,
        httpx.Client(base_url=mock.control, trust_env=False, timeout=30) as client,
    ):
        played = client.get("/profile").json()
        recording.unlink()
        assert client.patch("/profile", json={"seed": 1}).status_code == 200
        assert client.put("/profile", json=played).status_code == 200
        (tmp_path / "secret.csv").write_text("hush\n", encoding="utf-8")
        for method in ("PUT", "PATCH"):
            other = {"latency": f"file({tmp_path / 'secret.csv'})"}
            assert "hush" not in error(client.request(method, "/profile", json=other), 422)
        assert client.get("/profile").json() == played


def test_one_value_is_changed_and_the_others_stay(control: httpx.Client) -> None:
    control.put("/profile", json={"latency": "2ms", "errors": {"500": 0.1, "503": 0.2}})
    patch = {"seed": 9, "errors": {"500": None, "502": 0.3}}
    headers = {"content-type": "application/merge-patch+json"}
    assert control.patch("/profile", content=json.dumps(patch), headers=headers).status_code == 200
    profile = control.get("/profile").json()
    assert (profile["latency"], profile["seed"]) == ("2ms", 9)
    assert profile["errors"] == {"503": 0.2, "502": 0.3}
    assert control.patch("/profile", json={"latency": None}).status_code == 200
    assert control.get("/profile").json()["latency"] == Profile().model_dump(mode="json")["latency"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_replacement_needs_the_current_version_of_the_profile(
    control: httpx.Client, method: str
) -> None:
    seen = control.get("/profile").headers["etag"]
    first = control.request(method, "/profile", json={"seed": 1}, headers={"if-match": seen})
    assert first.status_code == 200
    second = control.request(method, "/profile", json={"seed": 2}, headers={"if-match": seen})
    assert f"{first.headers['etag']} is played, not {seen}" in error(second, 412)
    assert control.get("/profile").json()["seed"] == 1
    listed = f'"x", {first.headers["etag"]}'
    for tags in (listed, "*"):
        again = control.request(method, "/profile", json={"seed": 3}, headers={"if-match": tags})
        assert again.status_code == 200


BAD: list[tuple[object, int, str]] = [
    ({"latency": "p50=2s p95=1s"}, 422, "latency: p95=1s is below p50=2s"),
    ({"latency": "1e9ms"}, 422, "longer than an hour"),
    ({"body": {"size": "1e12B"}}, 422, "above 1GB"),
    ({"latncy": "5ms", "seed": 3}, 422, "latncy: there is no such key"),
    ({"errors": {"503": 0.9, "500": 0.9}}, 422, "add up to 1.8"),
    (
        {"routes": [{"path": f"/{n}"} for n in range(1001)]},
        422,
        "routes: Tuple should have at most",
    ),
    ({"routes": [{"path": "/" + "x" * 2000}]}, 422, "routes.0.path: String should have at most"),
    ({"timeline": {"phases": []}}, 422, "a timeline needs a phase"),
    ({"timeline": {"phases": [{"name": "a", "changes": {"sed": 1}}]}}, 422, "sed: there is no"),
    ([], 422, "valid dictionary"),
    (b"", 422, "Field required"),
    (b"{", 400, "the body is not JSON: Expecting property name"),
    (b"\xff\xfe\xfd", 400, "the body is not JSON"),
    (b'{"seed": NaN}', 400, "NaN is not a number"),
    (b'{"seed": 1e999}', 400, "a number that is too large"),
    (b'{"seed": ' + b"9" * 1000 + b"}", 400, "a number that is too large"),
    (b'{"seed": ' + b"9" * 10_000 + b"}", 400, "the body is not JSON"),
    (b'{"latency": "\\ud800"}', 400, "half of a surrogate pair"),
    (b"[" * 33 + b"]" * 33, 400, "deeper than 32"),
    (b"[" * 400_000, 400, "deeper than 32"),
    (b'{"a":' * 100_000, 400, "deeper than 32"),
    (b'{"latency": "' + b"x" * 1_000_000 + b'"}', 413, "longer than 1000000 bytes"),
]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(("body", "status", "message"), BAD)
def test_an_invalid_profile_is_refused_and_the_old_one_stays(
    control: httpx.Client, data: httpx.Client, method: str, body: Any, status: int, message: str
) -> None:
    before = control.get("/profile")
    content = body if isinstance(body, bytes) else json.dumps(body)
    response = control.request(method, "/profile", content=content, headers=JSON)
    assert message in error(response, status)
    assert len(response.content) < 10_000
    after = control.get("/profile")
    assert (after.text, after.headers["etag"]) == (before.text, before.headers["etag"])
    assert data.get("/").status_code == 200


def test_a_body_must_say_that_it_is_json(control: httpx.Client) -> None:
    # Any page may send these without asking the browser first.
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        headers = {"content-type": kind} if kind else {}
        response = control.put("/profile", content=b'{"seed": 5}', headers=headers)
        assert "Content-Type: application/json" in error(response, 415)
    assert control.get("/profile").json()["seed"] == 0


def test_a_body_without_a_length_is_cut_off_where_it_is_too_long(control: httpx.Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 1_000_000_000:
            yield b" " * 65_536
            sent += 65_536

    try:
        response = control.put("/profile", content=endless(), headers=JSON)
        assert error(response, 413)
    except httpx.TransportError:  # the connection was closed while it still sent
        pass
    assert sent < 100_000_000
    assert control.get("/health").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://shop.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"host": "rebound.example"},
        {"host": "127.0.0.1.rebound.example"},
        {"host": "rebound.example", "origin": "http://rebound.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_in_a_browser_are_refused(control: httpx.Client, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/ledger"), ("POST", "/reset"), ("PUT", "/profile")):
        generation = control.get("/ledger").json()["generation"]
        assert error(control.request(method, path, headers=headers), 403)
        assert control.get("/ledger").json()["generation"] == generation


def test_requests_from_this_machine_are_accepted_under_its_names(control: httpx.Client) -> None:
    port = control.base_url.port
    for host in (f"localhost:{port}", "127.0.0.1", f"[::1]:{port}", f"LOCALHOST:{port}"):
        assert control.get("/health", headers={"host": host}).status_code == 200
    own = {"origin": f"http://127.0.0.1:{port}", "sec-fetch-site": "same-origin"}
    assert control.get("/health", headers=own).status_code == 200


def test_the_timeline_begins_on_request(control: httpx.Client, data: httpx.Client) -> None:
    assert "has no timeline" in error(control.post("/timeline/start"), 409)
    down_first = {"phases": [{"name": "down", "for": "50m", "outage": 503}]}
    control.patch("/profile", json={"timeline": down_first})
    assert control.get("/ledger").json()["phase"] == "before"
    assert data.get("/").status_code == 200
    assert control.post("/timeline/start").json() == {"phase": "down"}
    assert data.get("/").status_code == 503
    assert control.post("/timeline/stop").json() == {"phase": "before"}
    assert data.get("/").status_code == 200


def test_a_reset_drops_what_is_pending_and_counts_from_zero(
    control: httpx.Client, mock: MockUpstream
) -> None:
    control.put("/profile", json={"latency": "50s"})
    address = urlsplit(mock.url).hostname, urlsplit(mock.url).port
    with ExitStack() as stack:
        waiting = [stack.enter_context(socket.create_connection(address)) for _ in range(5)]
        for caller in waiting:
            caller.sendall(b"GET / HTTP/1.1\r\nhost: mock\r\n\r\n")
        eventually(lambda: mock.ledger()["in_flight"]["now"] == 5)
        before = mock.ledger()
        reset = control.post("/reset").json()
        assert reset == {"generation": before["generation"] + 1, "dropped": 5}
        assert [caller.recv(100) for caller in waiting] == [b""] * 5
    after = mock.ledger()
    assert (after["generation"], after["arrivals"]) == (reset["generation"], 0)
    assert (after["in_flight"]["now"], after["epoch"]) == (0, before["epoch"])


def test_the_metrics_are_those_of_the_ledger(
    control: httpx.Client, data: httpx.Client, mock: MockUpstream
) -> None:
    profile = {
        "latency": "1ms",
        "capacity": {"servers": 4},
        "timeline": {"start": "serve", "phases": [{"name": 'so "it" \\ is'}]},
        "errors": {"503": 1},
    }
    control.put("/profile", json=profile)
    for _ in range(7):
        data.get("/")
    eventually(lambda: mock.ledger()["answers"] == {"503": 7})
    answer = control.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    ledger = mock.ledger()
    samples = {
        (sample.name.removeprefix("mock_upstream_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["requests_total",] == 7
    assert samples["answers_total", "503"] == 7
    assert samples["phase_requests_total", 'so "it" \\ is'] == 7
    assert samples["servers",] == 4
    assert samples["info", ledger["epoch"], 'so "it" \\ is'] == 1
    for name in ("asked", "delivered", "late", "queued", "service"):
        assert samples[f"{name}_seconds_count",] == ledger[name]["count"] == 7
        assert samples[f"{name}_seconds_sum",] == pytest.approx(ledger[name]["total"])
        assert samples[f"{name}_seconds", "0.95"] == ledger[name]["p95"]
    assert samples["in_flight_seconds_total",] == pytest.approx(ledger["in_flight"]["seconds"])


def test_slow_clients_hold_up_nobody(control: httpx.Client, data: httpx.Client) -> None:
    address = control.base_url.host, control.base_url.port
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(address)) for _ in range(100)]
        head = b"PUT /profile HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        for number, caller in enumerate(slow):
            caller.sendall(head + (b"content-length: 1000\r\n\r\n{" if number % 2 else b""))
        assert control.put("/profile", json={"seed": 4}).status_code == 200
        assert control.get("/ledger").status_code == data.get("/").status_code == 200
    assert control.get("/profile").json()["seed"] == 4


def test_a_head_without_end_takes_no_memory_of_the_control_api(control: httpx.Client) -> None:
    address = control.base_url.host, control.base_url.port
    with (
        socket.create_connection(address, timeout=20) as caller,
        contextlib.suppress(ConnectionError),
    ):
        caller.sendall(b"GET /health HTTP/1.1\r\n")
        for _ in range(400):
            caller.sendall(b"x: yyyyyy\r\n" * 10_000)
        pytest.fail("40 MB were taken")
    assert control.get("/health").status_code == 200


class Quiet:
    """A mock that has nothing to control."""

    profile = Profile()
    version = 1
    phase = None

    def play(self, profile: Profile) -> int:
        raise AssertionError

    reset = start_timeline = stop_timeline = read = play  # type: ignore[assignment]


async def at_once(function: Any) -> Any:
    return function()


def quiet_app(**given: Any) -> Any:
    return create_app(Quiet(), Ledger(), at_once, **given)  # type: ignore[arg-type]


def test_a_slow_sender_is_answered_with_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "TIMEOUT", 0.1)
    with serving(quiet_app()) as url:
        address = urlsplit(url).hostname, urlsplit(url).port
        with socket.create_connection(address) as caller:
            caller.sendall(
                b"PUT /profile HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{"
            )
            caller.settimeout(20)
            answer = b""
            while part := caller.recv(10_000):  # until the connection is closed
                answer += part
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not come within 0.1 s" in answer


def test_no_page_of_the_control_api_loads_scripts(control: httpx.Client) -> None:
    for path in ("/docs", "/docs/oauth2-redirect", "/redoc"):
        assert control.get(path).status_code == 404
    assert control.get("/openapi.json").json()["info"]["title"] == "mock_upstream control"


def test_other_machines_need_the_token() -> None:
    with (
        serving(quiet_app(host="0.0.0.0", token="open sesame")) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        for wrong in (
            "",
            "Bearer",
            "Bearer open",
            "Basic open sesame",
            "open sesame",
            "Bearer é",
        ):
            headers = {"authorization": wrong.encode()} if wrong else {}
            for path in ("/health", "/profile", "/openapi.json", "/nothing"):
                response = client.get(path, headers=headers)
                assert "Authorization: Bearer TOKEN" in error(response, 401)
                assert response.headers["www-authenticate"] == "Bearer"
        right = {"authorization": "Bearer open sesame"}
        assert client.get("/health", headers=right).status_code == 200
        by_name = {**right, "host": "mock.internal:8080"}
        assert client.get("/profile", headers=by_name).json()["seed"] == 0
        assert client.get("/health", headers={**right, "origin": "http://x"}).status_code == 403


def test_other_machines_are_not_served_without_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7", "mock.internal", ""):
        with pytest.raises(ValueError, match="it needs a token"):
            guard.check(host, None)
        guard.check(host, "secret")
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        guard.check(host, None)
    for token in ("", " ", "é", "a\n"):
        with pytest.raises(ValueError, match="printable ASCII"):
            guard.check("127.0.0.1", token)


# RFC 7396, appendix A.
@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_is_merged_as_the_standard_says(original: Any, patch: Any, result: Any) -> None:
    before = json.dumps(original)
    assert merged(original, patch) == result
    assert json.dumps(original) == before


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | values.map(lambda value: json.dumps(value).encode()))
def test_accepted_json_can_be_written_again(body: bytes) -> None:
    try:
        guard.check_json(body)
    except guard.Refused as refusal:
        str(refusal).encode()
    else:
        json.dumps(json.loads(body), allow_nan=False, ensure_ascii=False).encode()


def test_no_request_breaks_the_control_api(
    mock: MockUpstream, control: httpx.Client, data: httpx.Client, tmp_path: Path
) -> None:
    before = data.get("/x")
    tool = shutil.which("schemathesis", path=Path(sys.executable).parent)
    assert tool, "schemathesis is not installed"
    # What is in If-Match is looked at first, whatever the body is (RFC 9110, 13.2.2).
    (tmp_path / "schemathesis.toml").write_text(
        "[checks.negative_data_rejection]\nexpected-statuses = [400, 412, 413, 415, 422]\n",
        encoding="utf-8",
    )
    command = [tool, "run", f"{mock.control}/openapi.json", "--max-time", "10", "--seed", "7"]
    # To the schema any text is a latency, and 0 is not the same as false: these two look there.
    command += ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]
    command += ["--request-timeout", "10"]
    command += ["--generation-database", "none", "--continue-on-failure", "--no-color"]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "9 selected / 9 total" in run.stdout

    assert control.put("/profile", json={"latency": "1ms"}).status_code == 200
    after = data.get("/x")
    assert (after.status_code, after.content) == (before.status_code, before.content)
    assert after.headers["server-timing"].split(",")[0] == "asked;dur=1.000"
    assert mock.ledger()["in_flight"]["now"] == 0
