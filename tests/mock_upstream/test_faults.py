"""Faults over real sockets: what a client sees to the byte, and what is left in the mock."""

import json
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from mock_upstream import faults
from mock_upstream.faults import Fault, FaultTable, When
from mock_upstream.profiles.profile import describe
from mock_upstream.responses import aborts
from mock_upstream.responses.bodies import Padded
from mock_upstream.responses.exchange import Exchange, Reply
from tests.support.mock_exchanges import BODY, ask, connected, played, request, rest, whole
from tests.support.servers import eventually, mock_upstream

HALF = BODY[: len(BODY) // 2]
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST instead of FIN
Seen = Callable[[bytes], bool]


class Faults(BaseModel):
    faults: tuple[FaultTable, ...]


def fault(name: str, **settings: Any) -> Fault:
    (only,) = Faults.model_validate({"faults": [{"fault": name, **settings}]}).faults
    return only


def nothing(data: bytes) -> bool:
    return data == b""


def ends(body: bytes, *headers: bytes) -> Seen:
    def seen(data: bytes) -> bool:
        head, _, got = data.partition(b"\r\n\r\n")
        return got == body and head.startswith(b"HTTP/1.1 200 ") and all(h in head for h in headers)

    return seen


LENGTH = b"content-length: %d" % len(BODY)
CHUNKED = b"transfer-encoding: chunked"
HALF_CHUNK = b"%x\r\n%s\r\n" % (len(HALF), HALF)
BROKEN = [
    (fault("reset"), nothing, "reset", httpx.ReadError),
    (fault("close"), nothing, "closed", httpx.RemoteProtocolError),
    (fault("reset-mid-body"), ends(HALF, LENGTH), "reset", httpx.ReadError),
    (fault("reset-mid-body", share=0), ends(b"", LENGTH), "reset", httpx.ReadError),
    (fault("truncate"), ends(HALF, LENGTH), "closed", httpx.RemoteProtocolError),
    (
        fault("truncate", share=0.999999),
        ends(BODY[:-1], LENGTH),
        "closed",
        httpx.RemoteProtocolError,
    ),
    (
        fault("truncate", framing="chunked"),
        ends(HALF_CHUNK, CHUNKED),
        "closed",
        httpx.RemoteProtocolError,
    ),
    (
        fault("malformed-chunk"),
        ends(HALF_CHUNK + b"what length?\r\n", CHUNKED),
        "closed",
        httpx.RemoteProtocolError,
    ),
    (fault("hang", longest="50ms"), nothing, "closed", httpx.RemoteProtocolError),
    (
        fault("hang-mid-body", longest="50ms"),
        ends(HALF, LENGTH),
        "closed",
        httpx.RemoteProtocolError,
    ),
    (
        fault("drip", piece="4B", interval="20ms", longest="50ms"),
        ends(BODY[:12], LENGTH),
        "closed",
        httpx.RemoteProtocolError,
    ),
]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize(
    ("broken", "seen", "ending", "error"), BROKEN, ids=lambda value: str(getattr(value, "name", ""))
)
def test_a_broken_answer_breaks_in_the_same_way_for_every_client(
    broken: Fault, seen: Seen, ending: str, error: type[Exception], loop: str
) -> None:
    with played(broken.play, loop=loop) as mock:
        for kept in (False, True):
            data, ended = ask(mock.port, "/", kept=kept)
            assert seen(data), data
            assert ended == ending
            with httpx.Client(base_url=mock.url, trust_env=False) as client:
                if kept:
                    assert client.get("/ok").content == BODY
                with pytest.raises(error):
                    client.get("/")
                assert client.get("/ok").content == BODY
        eventually(lambda: not mock.in_hand)
        assert all(exchange.finished == (exchange.path == "/ok") for exchange in mock.ended)


@pytest.mark.parametrize(
    ("name", "ending"),
    [("reset-mid-body", "reset"), ("truncate", "closed"), ("malformed-chunk", "closed")],
)
def test_an_answer_that_has_no_body_breaks_before_its_first_byte(name: str, ending: str) -> None:
    with played(fault(name).play, body=b"") as mock:
        assert ask(mock.port, "/") == (b"", ending)
    with played(fault(name).play) as mock:
        assert ask(mock.port, "/", method="HEAD") == (b"", ending)


@pytest.mark.parametrize("name", ["hang", "hang-mid-body", "drip"])
@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_fault_that_waits_ends_when_the_client_goes_away(name: str, leave: str) -> None:
    settings = {"interval": "1m"} if name == "drip" else {}
    with played(fault(name, **settings).play) as mock:
        with connected(mock.port) as client:
            request(client, "/")
            eventually(lambda: mock.in_hand)
            if leave == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        eventually(lambda: not mock.in_hand)


@pytest.mark.parametrize("name", ["hang", "hang-mid-body"])
def test_a_client_that_times_out_leaves_nothing_behind(name: str) -> None:
    with played(fault(name).play) as mock:
        with (
            httpx.Client(base_url=mock.url, timeout=0.2, trust_env=False) as client,
            pytest.raises(httpx.ReadTimeout),
        ):
            client.post("/", content=b"x" * 300_000)
        eventually(lambda: not mock.in_hand)


def test_a_drip_is_the_whole_answer_a_few_bytes_at_a_time() -> None:
    with (
        played(fault("drip", piece="10B", interval="5ms").play) as mock,
        connected(mock.port) as client,
    ):
        for _ in range(2):
            request(client, "/")
            assert whole(client).endswith(b"\r\n\r\n" + BODY)
        assert httpx.get(mock.url, trust_env=False).content == BODY
        eventually(lambda: len(mock.ended) == 3)
        assert all(exchange.finished for exchange in mock.ended)


def test_a_dripped_answer_without_a_body_is_whole() -> None:
    with played(fault("drip").play, body=b"") as mock, connected(mock.port) as client:
        request(client, "/")
        assert whole(client).startswith(b"HTTP/1.1 200 ")


def test_an_error_status_is_a_whole_answer_that_keeps_the_connection() -> None:
    failing = fault("error-status", status=429, retry_after=7)
    with (
        played(failing.play) as mock,
        httpx.Client(base_url=mock.url, trust_env=False) as client,
    ):
        for _ in range(2):
            response = client.get("/")
            assert response.status_code == 429
            assert response.headers["retry-after"] == "7"
            assert response.json() == {"error": "Too Many Requests", "status": 429}
        eventually(lambda: len(mock.ended) == 2)
        assert len({exchange.connection.number for exchange in mock.ended}) == 1
        assert [exchange.status for exchange in mock.ended] == [429, 429]


@pytest.mark.parametrize("status", [503, 599])
def test_an_error_status_has_no_retry_after_of_its_own(status: int) -> None:
    with played(fault("error-status", status=status).play) as mock:
        response = httpx.get(mock.url, trust_env=False)
    assert response.status_code == response.json()["status"] == status
    assert "retry-after" not in response.headers


def test_closing_on_reuse_fails_every_second_request_of_a_pool() -> None:
    stale = fault("close-on-reuse")

    async def play(exchange: Exchange, answer: Reply) -> None:
        if stale.happens(0, 0.5, exchange.connection.requests):
            return await stale.play(exchange, answer)
        await exchange.start(answer.status, answer.headers)
        await exchange.body(answer.body[:])
        return None

    with played(play) as mock:
        assert stale.at == "arrival"
        with httpx.Client(base_url=mock.url, trust_env=False) as client:
            for _ in range(3):
                assert client.get("/").status_code == 200
                with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
                    client.get("/")
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(3):
                assert session.get(mock.url).status_code == 200
                with pytest.raises(requests.ConnectionError):
                    session.get(mock.url)


@pytest.mark.parametrize("name", ["close", "reset", "truncate", "hang-mid-body"])
def test_a_request_that_was_pipelined_goes_down_with_the_connection(name: str) -> None:
    settings = {"longest": "20ms"} if name == "hang-mid-body" else {}
    with played(fault(name, **settings).play) as mock, connected(mock.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: mock\r\n\r\n" * 3)
        rest(client)
        eventually(lambda: not mock.in_hand)
        assert len(mock.ended) == 1


def test_a_reset_comes_after_all_that_was_written_however_late_it_is_read() -> None:
    body = Padded(b"", 8_000_000, b"", bytes(range(256)))

    async def play(exchange: Exchange, answer: Reply) -> None:
        await fault("reset-mid-body").play(
            exchange, Reply(200, [(b"content-length", b"8000000")], body)
        )

    with played(play) as mock, connected(mock.port) as client:
        request(client, "/")
        eventually(lambda: any(e.transport.get_write_buffer_size() for e in mock.in_hand))
        data, ending = rest(client)
        assert ending == "reset"
        assert data.partition(b"\r\n\r\n")[2] == body[:4_000_000]


def test_a_reset_does_not_wait_for_ever_for_a_client_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aborts, "_TIMEOUT", 0.05)
    client_buffer = 5_000

    async def play(exchange: Exchange, answer: Reply) -> None:
        exchange.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, client_buffer
        )
        await fault("reset-mid-body").play(exchange, answer)

    with played(play, body=b"x" * 120_000) as mock, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, client_buffer)
        client.connect(("127.0.0.1", mock.port))
        request(client, "/")
        eventually(lambda: len(mock.ended) == 1)
        assert rest(client)[1] == "reset"


def test_many_clients_that_leave_in_the_middle_of_faults_leave_nothing_behind() -> None:
    each = [fault("hang"), fault("hang-mid-body"), fault("drip"), fault("reset-mid-body")]

    async def play(exchange: Exchange, answer: Reply) -> None:
        await each[int(exchange.path[1:]) % len(each)].play(exchange, answer)

    with played(play) as mock:
        for number in range(200):
            with connected(mock.port) as client, suppress(ConnectionError):
                request(client, f"/{number}")
                if number % 3 == 0:
                    if number % len(each):  # who hangs sends nothing to wait for
                        client.recv(1)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        eventually(lambda: not mock.in_hand)


uniforms = st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True)
ordinals = st.integers(min_value=0, max_value=10**9)
requests_so_far = st.integers(min_value=1, max_value=10**6)


@given(ordinals, uniforms, requests_so_far)
def test_a_fault_without_a_condition_affects_every_request(n: int, u: float, nth: int) -> None:
    assert When().happens(n, u, nth)
    assert When(probability=1).happens(n, u, nth)
    assert not When(probability=0).happens(n, u, nth)
    assert When(on_reuse=True).happens(n, u, nth) == (nth > 1)


@given(ordinals, uniforms, st.floats(min_value=0, max_value=1))
def test_the_probability_of_a_fault_is_its_share_of_requests(
    n: int, u: float, probability: float
) -> None:
    assert When(probability=probability).happens(n, u, 1) == (u < probability)


@given(st.integers(1, 50), st.integers(1, 50), uniforms)
def test_every_nth_and_the_first_n_are_counted_from_the_first_request(
    every: int, first: int, u: float
) -> None:
    happened = [n + 1 for n in range(200) if When(every=every).happens(n, u, 1)]
    assert happened == list(range(every, 201, every))
    assert sum(When(first=first).happens(n, u, 1) for n in range(200)) == first


def test_conditions_on_reuse_hold_together_with_another() -> None:
    when = When(every=2, on_reuse=True)
    assert [when.happens(n, 0.5, nth) for n in (0, 1) for nth in (1, 2)] == [
        False,
        False,
        False,
        True,
    ]


def test_every_module_is_a_fault_of_its_name() -> None:
    files = {path.stem for path in Path(faults.__file__).parent.glob("*.py")} - {"__init__"}
    assert faults.names() == sorted(name.replace("_", "-") for name in files)
    for name in faults.names():
        assert fault(name).name == faults.load(name)().name == name
    with pytest.raises(LookupError, match=r"no fault 'rest'; there are: close, "):
        faults.load("rest")


def test_a_fault_in_a_profile_reads_back_as_an_equal_one() -> None:
    given = Faults.model_validate(
        {
            "faults": [
                {"fault": "drip", "piece": "2kB", "interval": "1.5ms", "every": 3},
                {"fault": "truncate", "framing": "chunked", "probability": 0.25},
                *({"fault": name} for name in faults.names()),
            ]
        }
    )
    assert Faults.model_validate_json(given.model_dump_json()) == given
    assert json.loads(given.model_dump_json())["faults"][0]["piece"] == "2kB"


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("reset", "faults.0: a table such as {fault = 'reset'} is expected, not 'reset'"),
        ({}, "faults.0: a table such as {fault = 'reset'} is expected, not {}"),
        ({"fault": "../os"}, "faults.0: there is no fault '../os'; there are: close, "),
        ({"fault": "__init__"}, "faults.0: there is no fault '__init__'; there are: close, "),
        ({"fault": "reset", "share": 0.5}, "faults.0.share: there is no such key"),
        ({"fault": "reset", "probability": 1.5}, "faults.0.probability: Input should be less"),
        ({"fault": "reset", "probability": float("nan")}, "faults.0.probability: Input"),
        ({"fault": "reset", "every": 0}, "faults.0.every: Input should be greater than 0"),
        ({"fault": "truncate", "share": 1}, "faults.0.share: Input should be less than 1"),
        ({"fault": "hang", "longest": "2"}, "faults.0.longest: '2' has no unit; write 2ms or 2s"),
        ({"fault": "drip", "piece": "0B"}, "faults.0.piece: '0B' would never end a body"),
        ({"fault": "error-status", "status": 200}, "faults.0.status: Input should be greater"),
        ({"fault": "close-on-reuse", "on_reuse": False}, "faults.0.on_reuse: Input should be True"),
        (
            {"fault": "close", "probability": 0.0, "first": 2},
            "faults.0: probability and first exclude each other; give one of them",
        ),
    ],
)
def test_an_invalid_fault_is_refused_with_its_key(table: Any, complaint: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Faults.model_validate({"faults": [table]})
    assert describe(refused.value, {"faults": [table]}).startswith(complaint)


@pytest.mark.processes
def test_the_mock_plays_what_its_profile_names_and_the_ledger_counts_it(tmp_path: Path) -> None:
    profile = tmp_path / "faults.toml"
    settings = {"hang": ', longest = "10ms"', "hang-mid-body": ', longest = "10ms"'}
    settings["drip"] = ', piece = "5B", interval = "1ms"'
    routes = [
        f'[[routes]]\npath = "/{name}"\nfaults = [{{fault = "{name}"{settings.get(name, "")}}}]'
        for name in faults.names()
    ]
    several = """
        [[routes]]
        path = "/several"
        faults = [
            {fault = "error-status", status = 500, first = 2},
            {fault = "error-status", status = 502, every = 3},
            {fault = "error-status", status = 504, probability = 0.5},
            {fault = "error-status", status = 503, probability = 0.5, on_reuse = true},
        ]
        [[routes]]
        path = "/ok"
        faults = []
    """
    profile.write_text('latency = "1ms"\n' + "\n".join(routes) + several, encoding="utf-8")

    with mock_upstream(str(profile)) as mock:
        port = int(mock.url.rpartition(":")[2])
        for name in faults.names():
            for _ in range(2):
                if name in ("drip", "error-status"):
                    with connected(port) as client:
                        request(client, f"/{name}")
                        assert whole(client)
                else:
                    ask(port, f"/{name}", kept=True)
        eventually(lambda: mock.ledger()["in_flight"]["now"] == 0)
        ledger = mock.ledger()
        assert ledger["faults"] == dict.fromkeys(faults.names(), 2)
        assert ledger["answers"] == {"200": 2 * 8 + 2, "503": 2}
        assert ledger["unanswered"] == 2 * 8
        assert ledger["disconnects"] == 0
        assert ledger["arrivals"] == 36

        with httpx.Client(base_url=mock.url, limits=httpx.Limits(max_keepalive_connections=0)) as c:
            statuses = [c.get("/several").status_code for _ in range(100)]
        assert statuses[:2] == [500, 500]
        assert [statuses[n] for n in range(2, 100, 3)] == [502] * 33
        drawn = [status for n, status in enumerate(statuses) if n > 1 and n % 3 != 2]
        assert set(drawn) == {200, 504}
        assert 15 < drawn.count(504) < 50  # of 65
        with httpx.Client(base_url=mock.url) as client:
            assert {client.get("/several").status_code for _ in range(60)} == {200, 502, 503, 504}


@pytest.mark.processes
def test_a_client_that_never_reads_does_not_keep_the_mock_from_stopping() -> None:
    with ExitStack() as stack, mock_upstream("--latency", "1ms") as mock:
        for _ in range(3):
            client = stack.enter_context(connected(int(mock.url.rpartition(":")[2])))
            request(client, "/?mock_size=100MB")
        eventually(lambda: mock.ledger()["arrivals"] == 3)
