"""Every part of a profile, played over real sockets and judged by the ledger."""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from mock_upstream.ledger.ledger import Ledger
from tests.support.servers import MockUpstream, eventually, mock_upstream

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def server() -> Iterator[MockUpstream]:
    with mock_upstream() as mock:
        yield mock


@contextmanager
def playing(server: MockUpstream, **profile: Any) -> Iterator[MockUpstream]:
    """The server as if it had been started with the profile."""
    control(server, "PUT", "/profile", profile)
    control(server, "POST", "/reset")
    yield server
    assert books_balance(server.ledger())


def books_balance(ledger: Any) -> bool:
    ended = sum(ledger["answers"].values()) + ledger["disconnects"] + ledger["unanswered"]
    return bool(ledger["arrivals"] == ended + ledger["in_flight"]["now"])


def send(url: str, stack: ExitStack, path: str = "/x", **headers: str) -> socket.socket:
    """A request on a connection of its own, not waited for; header names with underscores."""
    caller = stack.enter_context(
        socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=20)
    )
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    caller.sendall("\r\n".join([f"GET {path} HTTP/1.1", "host: mock", *lines, "", ""]).encode())
    return caller


def at_once(mock: MockUpstream, number: int, **headers: str) -> list[bytes]:
    """What as many requests sent together are answered, in the order in which they were sent."""
    with ExitStack() as stack:
        callers = []
        for sent in range(1, number + 1):
            callers.append(send(mock.url, stack, **headers))
            eventually(lambda sent=sent: mock.ledger()["arrivals"] >= sent)
        return [whole(caller) for caller in callers]


def whole(caller: socket.socket) -> bytes:
    """One answer with its Content-Length, or what came before the end."""
    data = b""
    while not (head := re.search(rb"content-length: (\d+)(?s:.*?)\r\n\r\n", data)) or len(
        data
    ) < head.end() + int(head[1]):
        part = caller.recv(65536)
        if not part:
            break
        data += part
    return data


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def timing(answer: bytes | httpx.Response) -> dict[str, float]:
    """Seconds of each part."""
    if isinstance(answer, httpx.Response):
        answer = answer.headers["server-timing"].encode()
    parts = re.findall(rb"(asked|queue|service|late);dur=([\d.]+)", answer)
    return {name.decode(): float(value) / 1e3 for name, value in parts}


def control(mock: MockUpstream, method: str, path: str, values: Any = None) -> httpx.Response:
    response = httpx.request(method, mock.control + path, json=values, timeout=20)
    response.raise_for_status()
    return response


def test_requests_beyond_the_servers_wait_in_line_and_beyond_the_queue_are_refused(
    server: MockUpstream,
) -> None:
    capacity = {"servers": 2, "queue": 3, "overflow": 503, "retry_after": "1500ms"}
    with playing(server, latency="400ms", capacity=capacity) as mock:
        answers = at_once(mock, 8)
        ledger = mock.ledger()
    assert [status(answer) for answer in answers] == [200] * 5 + [503] * 3
    assert all(b"retry-after: 2\r\n" in answer for answer in answers[5:])
    timings = [timing(answer) for answer in answers[:5]]
    assert [t["service"] for t in timings] == [0.4] * 5
    assert [t["asked"] for t in timings] == [0.4] * 5
    assert [t["queue"] > 0 for t in timings] == [False, False, True, True, True]
    assert ledger["refused"] == {"queue": 3}
    assert ledger["asked"]["count"] == ledger["queued"]["count"] == ledger["service"]["count"] == 5
    queue = ledger["queue"]
    assert (queue["admitted"], queue["refused"], queue["waiting_peak"]) == (5, 3, 3)
    assert queue["busy_seconds"] == pytest.approx(5 * 0.4)
    total = sum(ledger[part]["total"] for part in ("queued", "service", "late"))
    assert ledger["delivered"]["total"] == pytest.approx(total, rel=1e-9)
    assert (queue["busy"], queue["waiting"]) == (0, 0)


@pytest.mark.parametrize("overflow", ["reset", "close", "hang"])
def test_a_full_queue_may_break_the_connection(server: MockUpstream, overflow: str) -> None:
    capacity = {"servers": 1, "queue": 0, "overflow": overflow}
    with playing(server, latency="50s", capacity=capacity) as mock, ExitStack() as stack:
        send(mock.url, stack)
        eventually(lambda: mock.ledger()["arrivals"] == 1)
        second = send(mock.url, stack)
        eventually(lambda: mock.ledger()["refused"] == {"queue": 1})
        if overflow == "reset":
            with pytest.raises(ConnectionResetError):
                second.recv(100)
        elif overflow == "close":
            assert second.recv(100) == b""
        else:
            assert mock.ledger()["in_flight"]["now"] == 2
            second.close()
        ended_by = "disconnects" if overflow == "hang" else "unanswered"
        eventually(lambda: mock.ledger()[ended_by] == 1)


@pytest.mark.parametrize(("on_disconnect", "wasted"), [("keep", True), ("release", False)])
def test_work_for_a_client_that_left_is_kept_or_released(
    server: MockUpstream, on_disconnect: str, wasted: bool
) -> None:
    capacity = {"servers": 1, "on_disconnect": on_disconnect}
    with playing(server, latency="1ms", capacity=capacity) as mock, ExitStack() as stack:
        first = send(mock.url, stack, x_mock_latency="2s" if wasted else "50s")
        eventually(lambda: mock.ledger()["queue"]["busy"] == 1)
        second = send(mock.url, stack)
        eventually(lambda: mock.ledger()["queue"]["waiting"] == 1)
        first.close()
        answer = whole(second)
        ledger = mock.ledger()
    assert status(answer) == 200
    assert ledger["disconnects"] == 1
    assert ledger["queue"]["abandoned"] == 1
    assert (ledger["queue"]["wasted_seconds"] > 1) == wasted
    assert (timing(answer)["queue"] > 1) == wasted


def test_the_network_is_outside_of_the_server(server: MockUpstream) -> None:
    profile = {"latency": "20ms", "network": "600ms", "capacity": {"servers": 1}}
    with playing(server, **profile) as mock:
        with httpx.Client() as client:
            alone = client.get(mock.url)
        answers = [timing(answer) for answer in at_once(mock, 3)]
        ledger = mock.ledger()
    assert timing(alone)["asked"] == pytest.approx(0.62)
    assert alone.elapsed.total_seconds() > 0.62
    assert [t["service"] for t in answers] == pytest.approx([0.02] * 3)
    # The server turns to each after half of the network, and never holds two at a time.
    assert all(0 <= t["queue"] <= 0.04 for t in answers)
    assert ledger["queue"]["busy_seconds"] == pytest.approx(4 * 0.02)


def test_a_scale_makes_latency_and_network_shorter_but_not_what_a_request_asks_for(
    server: MockUpstream,
) -> None:
    routes = [{"path": "/other", "latency": "300ms"}]
    with playing(server, latency="100ms", network="20ms", scale=0.5, routes=routes) as mock:
        for path, headers, asked in (
            ("/other", {}, 0.16),
            ("/other", {"X-Mock-Latency": "50ms"}, 0.06),
        ):
            before = mock.ledger()["asked"]["total"]
            httpx.get(f"{mock.url}{path}", headers=headers).raise_for_status()
            assert mock.ledger()["asked"]["total"] - before == pytest.approx(asked, abs=1e-6)


@pytest.mark.parametrize("on_disconnect", ["keep", "release"])
def test_an_incomplete_request_delays_no_other(server: MockUpstream, on_disconnect: str) -> None:
    routes = [{"path": "/far", "network": "600ms"}, {"path": "/near"}]
    capacity = {"servers": 2, "on_disconnect": on_disconnect}
    with (
        playing(server, latency="10ms", capacity=capacity, routes=routes) as mock,
        ThreadPoolExecutor() as callers,
    ):
        far = callers.submit(httpx.get, f"{mock.url}/far")
        eventually(lambda: mock.ledger()["in_flight"]["now"] == 1)
        near = httpx.get(f"{mock.url}/near")
        assert timing(near)["queue"] == 0
        assert timing(far.result())["queue"] == 0


def test_a_rate_limit_sends_retry_after_and_counts_early_requests(
    server: MockUpstream,
) -> None:
    limits = [{"kind": "token_bucket", "limit": 3, "per": "30m"}]
    with playing(server, latency="0ms", limits=limits) as mock:
        with httpx.Client() as client:
            answers = [client.get(mock.url) for _ in range(5)]
        ledger = mock.ledger()
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert 590 <= int(answers[3].headers["retry-after"]) <= 600
    assert ledger["answers"] == {"200": 3, "429": 2}
    assert ledger["refused"] == {"limit": 2}
    (limit,) = ledger["limits"]
    assert (limit["refused"], limit["early_retries"]) == (2, 1)
    assert ledger["asked"]["count"] == ledger["delivered"]["count"] == 3


def test_a_limit_on_concurrency_ends_with_the_request_however_it_ends(server: MockUpstream) -> None:
    limits = [{"kind": "concurrency", "limit": 2}]
    with playing(server, latency="50s", limits=limits) as mock, ExitStack() as stack:
        held = [send(mock.url, stack) for _ in range(2)]
        eventually(lambda: mock.ledger()["in_flight"]["now"] == 2)
        assert status(whole(send(mock.url, stack))) == 429
        held[0].close()
        eventually(lambda: mock.ledger()["disconnects"] == 1)
        assert status(whole(send(mock.url, stack, x_mock_latency="0ms"))) == 200


def test_faults_occur_as_planned_and_are_counted_by_name(server: MockUpstream) -> None:
    faults = [
        {"fault": "error-status", "every": 3, "status": 502},
        {"fault": "close", "first": 1},
        {"fault": "close-on-reuse", "probability": 0},
    ]
    with playing(server, latency="1ms", faults=faults) as mock:
        with ExitStack() as stack:
            answers = [status(whole(send(mock.url, stack))) for _ in range(6)]
        ledger = mock.ledger()
    assert answers == [0, 200, 502, 200, 200, 502]
    assert ledger["faults"] == {"close": 1, "error-status": 2}
    assert ledger["answers"] == {"200": 3, "502": 2}
    assert ledger["unanswered"] == 1


def test_a_connection_closed_on_reuse_takes_no_server(server: MockUpstream) -> None:
    profile = {"capacity": {"servers": 1}, "faults": [{"fault": "close-on-reuse"}]}
    with playing(server, latency="1ms", **profile) as mock:
        with httpx.Client() as client:
            assert client.get(mock.url).status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(mock.url)
            assert client.get(mock.url).status_code == 200
        ledger = mock.ledger()
    assert ledger["queue"]["admitted"] == 2
    assert ledger["unanswered"] == 1


def test_bodies_have_the_size_asked_for_within_the_caps(server: MockUpstream) -> None:
    profile = {"body": {"size": "lognormal(p50=1kB,p99=900kB)"}, "caps": {"body": "20kB"}}
    routes = [{"path": "/small", "body": {"size": "1kB", "framing": "chunked"}}, {"path": "/any"}]
    with playing(server, latency="0ms", routes=routes, **profile) as mock, httpx.Client() as client:
        small = client.get(f"{mock.url}/small")
        lengths = [len(client.get(f"{mock.url}/any").content) for _ in range(200)]
        asked = client.get(f"{mock.url}/any", headers={"x-mock-size": "5kB"})
        refused = client.get(f"{mock.url}/any", headers={"x-mock-size": "21kB"})
        missing = client.get(f"{mock.url}/missing")
    assert (len(small.content), small.headers["transfer-encoding"]) == (1000, "chunked")
    assert json.loads(small.content)["ok"]
    assert max(lengths) == 20_000
    assert len(set(lengths)) > 50
    assert len(asked.content) == 5000
    assert refused.status_code == 400
    assert "20kB" in refused.json()["error"]
    assert missing.status_code == 404


def test_the_first_byte_comes_before_the_whole_body_is_due(server: MockUpstream) -> None:
    body = {"size": "1kB", "first_byte": 0.25}
    with playing(server, latency="400ms", body=body) as mock:
        with httpx.Client() as client:
            answer = client.get(mock.url)
        ledger = mock.ledger()
    assert timing(answer)["asked"] == pytest.approx(0.1)
    assert answer.elapsed.total_seconds() >= 0.4
    assert 0.1 <= ledger["delivered"]["max"] < 0.4
    assert ledger["in_flight"]["seconds"] >= 0.4


def test_a_request_can_override_its_behaviour_unless_that_is_off(server: MockUpstream) -> None:
    with playing(server, latency="3ms") as mock:
        with httpx.Client(base_url=mock.url) as client:
            slow = client.get("/", headers={"x-mock-latency": "40ms"})
            failing = client.get("/", params={"mock_status": "418", "mock_latency": "0ms"})
            wrong = client.get("/", headers={"x-mock-latency": "fast"})
            with pytest.raises(httpx.RemoteProtocolError):
                client.get("/", headers={"x-mock-fault": "close"})
        ledger = mock.ledger()
    assert timing(slow)["asked"] == 0.04
    assert failing.status_code == 418
    assert wrong.status_code == 400
    assert "X-Mock-Latency" in wrong.json()["error"]
    assert ledger["refused"] == {"override": 1}
    assert ledger["faults"] == {"close": 1}
    with playing(server, latency="3ms", overrides=False) as mock, httpx.Client() as client:
        assert timing(client.get(mock.url, headers={"x-mock-latency": "40ms"}))["asked"] == 0.003
        assert client.get(mock.url, headers={"x-mock-latency": "fast"}).status_code == 200


def test_a_key_draws_the_same_whenever_it_is_sent(server: MockUpstream) -> None:
    with playing(server, latency="uniform(0ms,20ms)") as mock, httpx.Client() as client:
        keys = ["a", "b", "a", "c", "b"]
        sent = [client.get(mock.url, headers={"x-mock-key": key}) for key in keys]
    drawn = [timing(answer)["asked"] for answer in sent]
    assert drawn[0] == drawn[2]
    assert drawn[1] == drawn[4]
    assert len(set(drawn)) == 3


def test_stratified_delays_hold_every_percentile_once_in_a_hundred(server: MockUpstream) -> None:
    profile = {"latency": "uniform(0ms,10ms)", "sampling": "stratified"}
    with playing(server, **profile) as mock, httpx.Client() as client:
        drawn = sorted(timing(client.get(mock.url))["asked"] for _ in range(100))
    assert all(place / 1e4 - 1e-6 <= x <= (place + 1) / 1e4 + 1e-6 for place, x in enumerate(drawn))


def test_slow_spells_come_and_go(server: MockUpstream) -> None:
    spells = {"good": "30ms", "bad": "30ms", "factor": 10}
    with playing(server, latency="1ms", spells=spells) as mock, httpx.Client() as client:
        drawn = [timing(client.get(mock.url))["asked"] for _ in range(150)]
    assert {round(x, 6) for x in drawn} == {0.001, 0.01}


def test_requests_and_connections_are_numbered(server: MockUpstream) -> None:
    with playing(server, latency="0ms") as mock, httpx.Client() as one, httpx.Client() as other:
        answers = [client.get(mock.url) for client in (one, other, one)]
    assert [answer.headers["x-mock-request"] for answer in answers] == ["1", "2", "3"]
    first, second, again = (int(answer.headers["x-mock-connection"]) for answer in answers)
    assert (second, again) == (first + 1, first)


PHASES = [
    {"name": "calm", "for": "10m", "changes": {"latency": "2ms"}},
    {"name": "down", "for": "10m", "outage": 503},
]


def test_a_timeline_begins_on_request_and_counts_by_phase(
    server: MockUpstream,
) -> None:
    with playing(server, latency="1ms", timeline={"phases": PHASES}) as mock:
        with httpx.Client() as client:
            before = client.get(mock.url)
            assert mock.ledger()["phase"] == "before"
            control(mock, "POST", "/timeline/start")
            calm = [client.get(mock.url) for _ in range(3)]
            assert mock.ledger()["phase"] == "calm"
            control(mock, "PATCH", "/profile", {"timeline": {"phases": PHASES[::-1]}})
            control(mock, "POST", "/timeline/start")
            down = client.get(mock.url)
            control(mock, "POST", "/timeline/stop")
            assert client.get(mock.url).status_code == 200
        ledger = mock.ledger()
    assert timing(before)["asked"] == 0.001
    assert [timing(answer)["asked"] for answer in calm] == [0.002] * 3
    assert down.status_code == 503
    assert ledger["refused"] == {"outage": 1}
    phases = ledger["phases"]
    assert {name: phase["arrivals"] for name, phase in phases.items()} == {
        "before": 2,
        "calm": 3,
        "down": 1,
    }
    assert phases["down"]["answers"] == {"503": 1}
    assert phases["calm"]["delivered"]["count"] == 3
    assert phases["calm"]["delivered"]["p50"] >= 0.002


def test_a_phase_changes_the_servers_and_keeps_the_queue(server: MockUpstream) -> None:
    phases = [{"name": "wide", "for": "10m", "changes": {"capacity.servers": 3}}]
    profile = {"capacity": {"servers": 1, "on_disconnect": "release"}}
    with ExitStack() as stack:
        timeline = {"phases": phases}
        mock = stack.enter_context(playing(server, latency="50s", timeline=timeline, **profile))
        for _ in range(3):
            send(mock.url, stack)
        eventually(lambda: mock.ledger()["queue"]["waiting"] == 2)
        control(mock, "POST", "/timeline/start")
        send(mock.url, stack)
        eventually(lambda: mock.ledger()["queue"]["busy"] == 3)
        assert mock.ledger()["queue"]["waiting"] == 1


def test_another_profile_holds_for_the_requests_after_it(server: MockUpstream) -> None:
    with playing(server, latency="50s") as mock, ExitStack() as stack:
        waiting = send(mock.url, stack)
        eventually(lambda: mock.ledger()["in_flight"]["now"] == 1)
        before = mock.ledger()["version"]
        version = control(mock, "PUT", "/profile", {"latency": "1ms"}).json()["version"]
        assert version == mock.ledger()["version"] == before + 1
        assert status(whole(send(mock.url, stack))) == 200
        assert mock.ledger()["in_flight"]["now"] == 1
        waiting.close()


def test_a_queue_goes_on_under_another_profile(server: MockUpstream) -> None:
    with playing(server, latency="50s", capacity={"servers": 1}) as mock, ExitStack() as stack:
        for _ in range(3):
            send(mock.url, stack)
        eventually(lambda: mock.ledger()["queue"]["waiting"] == 2)
        control(mock, "PATCH", "/profile", {"capacity": {"servers": 2}})
        queue = mock.ledger()["queue"]
        assert (queue["servers"], queue["busy"], queue["waiting"]) == (2, 2, 1)


def test_a_reset_drops_what_is_pending_and_begins_again(server: MockUpstream) -> None:
    profile = {"latency": "uniform(0ms,20ms)", "capacity": {"servers": 2}}
    with playing(server, **profile) as mock, ExitStack() as stack:
        with httpx.Client() as client:
            drawn = [timing(client.get(mock.url))["asked"] for _ in range(5)]
        callers = [send(mock.url, stack, x_mock_latency="50s") for _ in range(4)]
        eventually(lambda: mock.ledger()["in_flight"]["now"] == 4)
        before = mock.ledger()
        generation = before["generation"] + 1
        dropped = control(mock, "POST", "/reset").json()
        assert dropped == {"generation": generation, "dropped": 4}
        assert [caller.recv(100) for caller in callers] == [b""] * 4
        eventually(lambda: mock.ledger()["connections"]["open"] == 0)
        ledger = mock.ledger()
        assert (ledger["arrivals"], ledger["in_flight"]["now"], ledger["disconnects"]) == (0, 0, 0)
        assert (ledger["generation"], ledger["dropped"]) == (generation, 4)
        assert (ledger["queue"]["busy"], ledger["queue"]["admitted"]) == (0, 0)
        assert ledger["epoch"] == before["epoch"]
        with httpx.Client() as client:
            again = [client.get(mock.url) for _ in range(5)]
        assert [timing(answer)["asked"] for answer in again] == drawn
        assert again[0].headers["x-mock-request"] == "1"


def test_a_delayed_mock_reports_its_lateness(server: MockUpstream) -> None:
    with playing(server, latency="1ms") as mock:
        eventually(lambda: mock.ledger()["fidelity"]["cpu"] > 0)
        mock.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        mock.process.send_signal(signal.SIGCONT)
        eventually(lambda: not mock.ledger()["mock_ok"])
        fidelity = mock.ledger()["fidelity"]
        assert any("the event loop was away for" in reason for reason in fidelity["reasons"])
        assert fidelity["not_ok_seconds"] >= 1


def test_answers_later_than_the_budget_are_noticed_and_slow_senders_are_not(
    server: MockUpstream,
) -> None:
    budget = {"late": "50ms", "lag": "10s", "cpu": 1.0}
    with playing(server, latency="0ms", budget=budget) as mock, ExitStack() as stack:
        address = urlsplit(mock.url).hostname, urlsplit(mock.url).port
        caller = stack.enter_context(socket.create_connection(address))
        caller.sendall(b"POST /x HTTP/1.1\r\nhost: mock\r\ncontent-length: 2\r\n\r\n{")
        time.sleep(0.2)
        caller.sendall(b"}")
        assert timing(whole(caller))["late"] < 0.1
        time.sleep(2.2)  # two full seconds of the watch
        assert mock.ledger()["fidelity"]["not_ok_seconds"] == 0


def test_a_reset_keeps_the_responses_that_judge_a_second() -> None:
    ledger = Ledger()
    ledger.budget = 0.005
    for overdue in (0.0, 0.02, 0.02):
        ledger.delivered(0.1, overdue, None)
    ledger.clear(dropped=0)
    assert ledger.punctuality() == (3, 2)
    ledger.delivered(0.1, 0.02, None)
    assert ledger.punctuality() == (4, 3)
