"""The ledger says what became of each request, and blames the mock for its own delays alone."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.mock_upstream.test_playing import control, playing, send, timing
from tests.support.mock_exchanges import connected, request, whole
from tests.support.servers import MockUpstream, eventually, mock_upstream

pytestmark = pytest.mark.processes

DRIBBLED = {"chunks": 10, "interval": "30s"}  # longer than a client here waits
ROUTE = {"path": "/a", "method": "GET"}


@pytest.fixture(scope="module")
def server() -> Iterator[MockUpstream]:
    with mock_upstream() as mock:
        yield mock


def port(mock: MockUpstream) -> int:
    return int(mock.url.rpartition(":")[2])


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("HEAD", 503), ("GET", 204), ("GET", 304)]
)
@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_an_answer_without_a_body_leaves_its_connection_free(
    server: MockUpstream, method: str, status: int, framing: str
) -> None:
    body = {**DRIBBLED, "framing": framing}
    other = {"path": "/next", "body": {}}
    routes = [{"path": "/x", "status": status, "body": body}, other]
    with playing(server, latency="0ms", routes=routes) as mock, connected(port(mock)) as client:
        request(client, "/x", method)
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        request(client, "/next")
        assert b" 200 OK" in whole(client)


def slow_upload(client: socket.socket) -> None:
    client.sendall(b"POST /x HTTP/1.1\r\nhost: mock\r\ncontent-length: 2\r\n\r\n{")
    time.sleep(0.8)
    client.sendall(b"}")


def slow_head(client: socket.socket) -> None:
    client.sendall(b"GET /x HTTP/1.1\r\nhost: mock\r\n")
    time.sleep(0.8)
    client.sendall(b"\r\n")


def behind_another(client: socket.socket) -> None:
    slow = b"HEAD /x HTTP/1.1\r\nhost: mock\r\nx-mock-latency: 800ms\r\n\r\n"
    client.sendall(slow + b"GET /x HTTP/1.1\r\nhost: mock\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)


@pytest.mark.parametrize("sent", [slow_upload, slow_head, behind_another])
def test_waiting_for_the_client_is_not_lateness_of_the_mock(server: MockUpstream, sent) -> None:
    with playing(server, latency="0ms") as mock, connected(port(mock)) as client:
        sent(client)
        assert timing(whole(client))["late"] < 0.5
        ledger = mock.ledger()
        assert ledger["late"]["max"] < 0.5
        assert ledger["delivered"]["max"] > 0.5


def test_requests_without_a_route_have_no_delay_and_take_no_server(
    server: MockUpstream,
) -> None:
    profile = {
        "latency": "30ms",
        "routes": [ROUTE],
        "capacity": {"servers": 1},
        "limits": [{"kind": "fixed_window", "limit": 2, "per": "10m"}],
    }
    with playing(server, **profile) as mock, httpx.Client(base_url=mock.url) as client:
        for _ in range(20):
            assert client.get("/unknown").status_code == 404
        assert [client.get("/a").status_code for _ in range(3)] == [200, 200, 429]
        ledger = mock.ledger()
        assert ledger["unmatched"] == 20
        assert ledger["answers"] == {"200": 2, "404": 20, "429": 1}
        for name in ("asked", "queued", "service", "delivered", "late"):
            assert ledger[name]["count"] == 2
        assert ledger["delivered"]["p50"] >= 0.03


def test_the_last_requests_without_a_route_are_kept_without_secrets(
    server: MockUpstream,
) -> None:
    with playing(server, latency="0ms", routes=[ROUTE]) as mock:
        with httpx.Client(base_url=mock.url, headers={"authorization": "hush"}) as client:
            for number in range(25):
                client.post(f"/v{number}?token=hush", json={"password": "hush"})
            client.get("/" + "x" * 3000)
            client.get("/a")
        ledger = mock.ledger()
    recent = ledger["recent_unmatched"]
    assert ledger["unmatched"] == 26
    assert [f"{one['method']} {one['path']}" for one in recent[:-1]] == [
        f"POST /v{number}" for number in range(6, 25)
    ]
    assert len(recent[-1]["path"]) == 200
    times = [one["at"] for one in recent]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= ledger["elapsed"]
    assert "hush" not in str(ledger)
    control(server, "POST", "/reset")
    assert server.ledger()["recent_unmatched"] == []


@pytest.mark.parametrize("fault", ["hang", "hang-mid-body", "drip"])
def test_a_client_that_times_out_on_a_fault_is_a_disconnect(
    server: MockUpstream, fault: str
) -> None:
    with playing(server, latency="0ms", faults=[{"fault": fault}]) as mock:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(mock.url + "/x", timeout=httpx.Timeout(5, read=0.05))
        eventually(lambda: mock.ledger()["in_flight"]["now"] == 0)
        ledger = mock.ledger()
        assert (ledger["disconnects"], ledger["unanswered"]) == (1, 0)
        assert ledger["faults"] == {fault: 1}


@pytest.mark.parametrize("overflow", ["hang", "outage"])
def test_a_client_that_times_out_where_everything_hangs_is_a_disconnect(
    server: MockUpstream, overflow: str
) -> None:
    phase = {"name": "down", "outage": "hang"}
    profiles = {
        "hang": {"latency": "10s", "capacity": {"servers": 1, "queue": 0, "overflow": "hang"}},
        "outage": {"timeline": {"start": "serve", "phases": [phase]}},
    }
    with playing(server, **profiles[overflow]) as mock, ExitStack() as stack:
        send(mock.url, stack)
        eventually(lambda: mock.ledger()["in_flight"]["now"] == 1)
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(mock.url + "/x", timeout=httpx.Timeout(5, read=0.05))
        eventually(lambda: mock.ledger()["disconnects"] == 1)
        assert mock.ledger()["unanswered"] == 0
        control(mock, "POST", "/reset")
