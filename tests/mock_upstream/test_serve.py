"""`python -m mock_upstream serve`, over real sockets, judged by its own ledger."""

import asyncio
import http.client
import json
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from mock_upstream.__main__ import main
from mock_upstream.latency.draws import Stream
from mock_upstream.latency.parser import parse
from tests.support.servers import MockUpstream, eventually, mock_upstream

pytestmark = pytest.mark.processes

SPREAD = "p50=4ms p95=12ms p99=25ms max=40ms"
CHARGE = """
latency = "1ms"
[[routes]]
path = "/charge/{id}"
method = "POST"
status = 201
headers = { X-Kind = "charge", Content-Type = "application/vnd.shop+json" }
json = { id = "{id}", state = "paid" }
[[routes]]
path = "/gone"
status = 204
[[routes]]
path = "/down"
errors = { 503 = 1 }
latency = "3ms"
"""


@contextmanager
def connected(url: str) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        yield connection


def ask(
    connection: http.client.HTTPConnection, path: str, method: str = "GET", body: Any = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection.request(method, path, body)
    response = connection.getresponse()
    return response, response.read()


def hang(url: str, stack: ExitStack, callers: int) -> list[socket.socket]:
    """Requests on connections of their own, sent and not waited for."""
    address = urlsplit(url).hostname, urlsplit(url).port
    sockets = [stack.enter_context(socket.create_connection(address)) for _ in range(callers)]
    for caller in sockets:
        caller.sendall(b"GET /x HTTP/1.1\r\nhost: mock\r\n\r\n")
    return sockets


def closed_loop(url: str, users: int, requests: int) -> list[tuple[float, float]]:
    """Seconds asked for (as the answer says) and seconds seen by the client, of each request."""

    async def user(count: int) -> None:
        reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        for _ in range(count):
            start = time.monotonic()
            writer.write(b"GET /x HTTP/1.1\r\nhost: mock\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            end = time.monotonic()
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))  # type: ignore[index]
            asked = float(re.search(rb"asked;dur=([\d.]+)", head)[1]) / 1e3  # type: ignore[index]
            seen.append((asked, end - start))
        writer.close()
        await writer.wait_closed()

    async def everyone() -> None:
        await asyncio.gather(*(user(requests // users) for _ in range(users)))

    seen: list[tuple[float, float]] = []
    asyncio.run(everyone())
    return seen


def books_balance(ledger: Any) -> bool:
    answered = sum(ledger["answers"].values())
    gone, waiting = ledger["disconnects"], ledger["in_flight"]["now"]
    return bool(ledger["arrivals"] == answered + gone + waiting)


@pytest.fixture(scope="module")
def charge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockUpstream]:
    path = tmp_path_factory.mktemp("profiles") / "charge.toml"
    path.write_text(CHARGE, encoding="utf-8")
    with mock_upstream(str(path)) as mock:
        yield mock


@pytest.fixture(scope="module")
def unanswering() -> Iterator[MockUpstream]:
    with mock_upstream("--latency", "50s") as mock:
        yield mock


@pytest.fixture
def slow(unanswering: MockUpstream) -> MockUpstream:
    """A mock that answers nobody, without requests and with an empty ledger."""
    urlopen(Request(f"{unanswering.control}/reset", method="POST")).close()
    return unanswering


def test_the_delays_delivered_are_those_of_the_profile() -> None:
    requests = 4000
    with mock_upstream("--latency", SPREAD, "--seed", "7") as mock:
        seen = closed_loop(mock.url, users=40, requests=requests)
        ledger = mock.ledger()

    latency, stream = parse(SPREAD), Stream(7, "ANY /", "latency")
    drawn = sorted(latency.quantile(stream.uniform(ordinal)) for ordinal in range(requests))
    assert sorted(asked for asked, _ in seen) == pytest.approx(drawn, abs=1e-6)
    assert all(took >= asked - 1e-6 for asked, took in seen), "an answer came early"

    asked, delivered, late = ledger["asked"], ledger["delivered"], ledger["late"]
    assert asked["count"] == delivered["count"] == late["count"] == requests
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        # The ledger keeps three digits; the draw at that rank is known exactly.
        assert asked[name] == pytest.approx(drawn[round(share * requests) - 1], rel=2e-3)
        # Four standard deviations of the rank, so the seed decides and chance does not.
        margin = 4 * (share * (1 - share) / requests) ** 0.5
        low, high = latency.quantile(share - margin), latency.quantile(min(share + margin, 0.9999))
        assert low <= asked[name] <= high
        assert delivered[name] >= asked[name]
    # Own work is part of the delay: what was delivered beyond it is lateness, and all of it.
    assert delivered["total"] == pytest.approx(asked["total"] + late["total"], rel=1e-9)
    assert ledger["in_flight"]["seconds"] >= delivered["total"]
    assert ledger["in_flight"]["peak"] <= 40
    assert ledger["connections"] == {"accepted": 40, "open": 0}
    assert books_balance(ledger)


def test_the_delay_counts_from_the_arrival_of_the_first_byte(charge: MockUpstream) -> None:
    address = urlsplit(charge.url).hostname, urlsplit(charge.url).port
    with socket.create_connection(address) as caller:
        caller.sendall(b"POST /charge/1 HTTP/1.1\r\nhost: mock\r\ncontent-length: 2\r\n\r\n{")
        time.sleep(0.3)  # a client that is slow to send: 1 ms after the first byte is long over
        caller.sendall(b"}")
        answer = caller.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 201")
    assert charge.ledger()["delivered"]["max"] > 0.25


def test_a_route_answers_what_the_service_expects(charge: MockUpstream) -> None:
    with connected(charge.url) as caller:
        response, body = ask(caller, "/charge/a%20b?x=1", "POST", b"{}")
    assert (response.status, json.loads(body)) == (201, {"id": "a b", "state": "paid"})
    assert response.headers["x-kind"] == "charge"
    assert response.headers.get_all("content-type") == ["application/vnd.shop+json"]
    timing = r"asked;dur=1\.000, queue;dur=0\.000, service;dur=1\.000, late;dur=\d+\.\d{3}"
    assert re.fullmatch(timing, response.headers["server-timing"])


def test_a_request_without_a_route_is_answered_with_the_list_of_routes(
    charge: MockUpstream,
) -> None:
    before = charge.ledger()["unmatched"]
    with connected(charge.url) as caller:
        wrong_path, body = ask(caller, "/other")
        wrong_method, _ = ask(caller, "/charge/1", "DELETE")
    assert (wrong_path.status, wrong_method.status) == (404, 404)
    assert json.loads(body)["routes"] == ["POST /charge/{id}", "ANY /gone", "ANY /down"]
    assert charge.ledger()["unmatched"] == before + 2


def test_answers_without_a_body_leave_the_connection_usable(charge: MockUpstream) -> None:
    with connected(charge.url) as caller:
        none, body = ask(caller, "/gone")
        assert (none.status, body, none.headers["content-length"]) == (204, b"", None)
        again, _ = ask(caller, "/gone")
        assert again.headers.keys() == none.headers.keys()
        head, body = ask(caller, "/down", "HEAD")
        assert (head.status, body) == (503, b"")
        large, _ = ask(caller, "/charge/2", "POST", b"x" * 1_000_000)
        assert large.status == 201


@pytest.mark.parametrize("header", ["", "connection: close\r\n"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_connection_is_kept_or_closed_as_the_client_wants(
    charge: MockUpstream, version: str, header: str
) -> None:
    address = urlsplit(charge.url).hostname, urlsplit(charge.url).port
    with socket.create_connection(address, timeout=20) as caller:
        for _ in range(2):
            request = f"POST /charge/1 HTTP/{version}\r\nhost: mock\r\n{header}\r\n"
            caller.sendall(request.encode())
            response = http.client.HTTPResponse(caller)
            response.begin()
            assert (response.status, response.reason) == (201, "Created")
            assert json.loads(response.read()) == {"id": "1", "state": "paid"}
            if header or version == "1.0":
                assert response.headers["connection"] == "close"
                assert caller.recv(100) == b""
                return


def test_a_profile_may_close_every_connection(tmp_path: Path) -> None:
    profile = tmp_path / "closing.json"
    profile.write_text(
        '{"routes": [{"path": "/x", "headers": {"Connection": "close"}}]}', encoding="utf-8"
    )
    with mock_upstream(str(profile), "--latency", "0ms") as mock, ExitStack() as stack:
        (caller,) = hang(mock.url, stack, 1)
        answer = b"".join(iter(lambda: caller.recv(10_000), b""))
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b'{"ok": true}')


def test_requests_sent_together_are_answered_in_their_order(charge: MockUpstream) -> None:
    address = urlsplit(charge.url).hostname, urlsplit(charge.url).port
    with socket.create_connection(address, timeout=20) as caller:
        for name in "abc":
            caller.sendall(f"POST /charge/{name} HTTP/1.1\r\nhost: mock\r\n\r\n".encode())
        data = b""
        while data.count(b"paid") < 3:
            data += caller.recv(10_000)
    assert re.findall(rb'"id": "(.)"', data) == [b"a", b"b", b"c"]


def test_an_error_status_takes_as_long_as_a_good_answer(charge: MockUpstream) -> None:
    with connected(charge.url) as caller:
        response, body = ask(caller, "/down")
    assert (response.status, json.loads(body)["status"]) == (503, 503)
    assert response.headers["server-timing"].startswith("asked;dur=3.000,")


def test_without_routes_everything_is_answered_and_errors_come_by_chance() -> None:
    with mock_upstream("--latency", "0ms", "--errors", "503=0.2,500=0.1") as mock:
        with connected(mock.url) as caller:
            answers = [ask(caller, f"/any/{n}", "PUT", b"{}") for n in range(500)]
        ledger = mock.ledger()
    seen = [response.status for response, _ in answers]
    assert ledger["answers"] == {str(status): seen.count(status) for status in (200, 500, 503)}
    assert 60 < seen.count(503) < 140  # mean 100, deviation 9; the seed is fixed
    assert {body for response, body in answers if response.status == 200} == {b'{"ok": true}'}


def test_connections_are_counted_once_however_long_they_live() -> None:
    with mock_upstream("--latency", "0ms") as mock:
        with connected(mock.url) as one, connected(mock.url) as other:
            for _ in range(5):
                ask(one, "/")
            ask(other, "/")
            assert mock.ledger()["connections"] == {"accepted": 2, "open": 2}
        eventually(lambda: mock.ledger()["connections"] == {"accepted": 2, "open": 0})
        assert mock.ledger()["arrivals"] == 6


def test_clients_that_go_away_are_dropped_and_the_peak_can_start_again(slow: MockUpstream) -> None:
    with ExitStack() as stack:
        callers = hang(slow.url, stack, 20)
        eventually(lambda: slow.ledger()["in_flight"]["now"] == 20)
        assert books_balance(slow.ledger())
        for caller in callers[:15]:
            caller.close()
        eventually(lambda: slow.ledger()["disconnects"] == 15)
        read = [slow.ledger("reset_peak=true")["in_flight"] for _ in range(2)]
        assert [(flight["now"], flight["peak"]) for flight in read] == [(5, 20), (5, 5)]
        ledger = slow.ledger()
        assert (ledger["answers"], ledger["asked"]["count"]) == ({}, 20)
        assert ledger["delivered"] == ledger["late"]
        assert ledger["late"]["p50"] is None
        assert books_balance(ledger)


def test_reading_the_recent_peak_keeps_it_for_other_readers(slow: MockUpstream) -> None:
    with ExitStack() as stack:
        callers = hang(slow.url, stack, 20)
        eventually(lambda: slow.ledger()["in_flight"]["now"] == 20)
        for caller in callers[:15]:
            caller.close()
        eventually(lambda: slow.ledger()["disconnects"] == 15)
        recent = [slow.ledger("recent_peak=true")["in_flight"]["peak"] for _ in range(3)]
        assert recent == [20, 5, 5]
        assert slow.ledger()["in_flight"]["peak"] == 20
        assert slow.ledger("reset_peak=true")["in_flight"]["peak"] == 20
        assert slow.ledger()["in_flight"]["peak"] == 5


def test_seconds_in_flight_grow_by_the_number_in_flight(slow: MockUpstream) -> None:
    with ExitStack() as stack:
        hang(slow.url, stack, 10)
        eventually(lambda: slow.ledger()["in_flight"]["now"] == 10)
        accounts = [slow.ledger() for _ in range(5)]
    for earlier, later in pairwise(accounts):
        waited = later["in_flight"]["seconds"] - earlier["in_flight"]["seconds"]
        assert waited == pytest.approx(10 * (later["elapsed"] - earlier["elapsed"]), rel=1e-6)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_with_requests_in_flight(stop: int) -> None:
    with ExitStack() as stack:
        with mock_upstream("--latency", "50s", stop=stop) as mock:
            callers = hang(mock.url, stack, 5)
            eventually(lambda: mock.ledger()["in_flight"]["now"] == 5)
        # The block's end has checked the exit code and that nothing was complained about.
        assert [caller.recv(100) for caller in callers] == [b""] * 5


def test_the_control_api_shows_the_profile(charge: MockUpstream) -> None:
    with urlopen(f"{charge.control}/health") as response:
        health = json.load(response)
    assert health["ok"]
    assert health["epoch"] == charge.ledger()["epoch"]
    with urlopen(f"{charge.control}/profile") as response:
        profile = json.load(response)
    assert profile["latency"] == "1ms"
    assert profile["routes"][0]["json"] == {"id": "{id}", "state": "paid"}


def refused(*arguments: str) -> str:
    return refused_with(lambda: None, *arguments)


def refused_with(prepare: Callable[[], None], *arguments: str) -> str:
    """The message; `prepare` is called in the process before the mock starts."""
    run = subprocess.run(
        [sys.executable, "-m", "mock_upstream", "serve", *arguments],
        preexec_fn=prepare,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert "Traceback" not in run.stderr
    return run.stderr


def test_a_port_in_use_is_refused_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "Pass --port 0" in refused("--port", port)
        message = refused("--control-port", port)
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in message
    assert "Pass --control-port 0" in message


@pytest.mark.parametrize("limit", [8, 24])  # for its first loop; for that of the control API
def test_a_mock_without_descriptors_says_how_to_raise_the_limit(limit: int) -> None:
    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    assert refused_with(lower).splitlines() == [
        "mock_upstream: out of file descriptors; raise the limit of open files (`ulimit -n`)"
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--latency", "p50=50ms p95=20ms"], "latency: p95=20ms is below p50=50ms"),
        (["--errors", "500=0.6,503=0.6"], "errors: the probabilities add up to 1.2"),
        (["--errors", "503"], "is not written as 503=0.01"),
        (["missing.toml"], "No such file"),
        (["--port", "70000"], "'70000' is not a port"),
        (["--control-host", "0.0.0.0"], "needs a token"),
    ],
)
def test_an_invalid_profile_is_refused_at_the_start(
    capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    try:
        code: object = main(["serve", *words])
    except SystemExit as ended:  # of argparse
        code = ended.code
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert says in printed.err


def test_the_control_api_may_listen_elsewhere_with_a_token() -> None:
    command = ["--control-host", "0.0.0.0", "--control-token", "s3cret", "--latency", "1ms"]
    with mock_upstream(*command) as mock:
        url = mock.control.replace("0.0.0.0", "127.0.0.1") + "/ledger"
        with pytest.raises(HTTPError, match="401"):
            urlopen(url)
        with urlopen(Request(url, headers={"Authorization": "Bearer s3cret"})) as response:
            assert json.load(response)["arrivals"] == 0


def test_recorded_delays_become_a_latency(tmp_path: Path) -> None:
    recording = tmp_path / "delays.csv"
    recording.write_text(
        "took\n" + "\n".join(str(10 + n % 50) for n in range(500)), encoding="utf-8"
    )
    command = [sys.executable, "-m", "mock_upstream", "fit", str(recording), "--unit", "ms"]
    fitted = subprocess.run(
        command, capture_output=True, encoding="utf-8", check=True
    ).stdout.strip()
    latency = parse(fitted)
    assert latency.quantile(0.5) == pytest.approx(0.0345, rel=0.05)
    with mock_upstream("--latency", fitted) as mock, connected(mock.url) as caller:
        assert ask(caller, "/")[0].status == 200
