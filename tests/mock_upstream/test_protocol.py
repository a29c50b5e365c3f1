"""What a connection may take of the mock: the heads of requests, however they are sent."""

import contextlib
import json
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mock_upstream import protocol
from mock_upstream.protocol import MOST_HEAD_BYTES, MOST_HEADERS, MockProtocol
from mock_upstream.responses.exchange import Exchange, Reply
from tests.support.mock_exchanges import connected, played, request, rest, whole
from tests.support.servers import MockUpstream, eventually, mock_upstream

pytestmark = pytest.mark.processes

GET = b"GET / HTTP/1.1\r\n"
CHUNKED = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"


@pytest.fixture(scope="module")
def mock() -> Iterator[MockUpstream]:
    with mock_upstream("--latency", "0ms") as running:
        yield running


def port(mock: MockUpstream) -> int:
    number = urlsplit(mock.url).port
    assert number
    return number


def headers(number: int) -> bytes:
    return b"".join(b"x-%d: y\r\n" % n for n in range(number))


@pytest.mark.parametrize(
    "head",
    [
        GET + headers(MOST_HEADERS + 1) + b"\r\n",
        GET + headers(MOST_HEADERS + 2),  # a header is known to be whole by the next one
        GET + b"x: " + b"y" * MOST_HEAD_BYTES + b"\r\n\r\n",
        GET + b"x: " + b"y" * 3 * MOST_HEAD_BYTES,
        b"GET /" + b"y" * MOST_HEAD_BYTES + b" HTTP/1.1\r\nhost: mock\r\n\r\n",
    ],
    ids=["many headers", "many and no end", "long header", "long and no end", "long path"],
)
@pytest.mark.parametrize("kept", [False, True])
def test_a_large_head_is_answered_with_an_error_and_not_read_further(
    mock: MockUpstream, head: bytes, kept: bool
) -> None:
    before = mock.ledger()["arrivals"]
    with connected(port(mock)) as client:
        if kept:
            request(client, "/ok")
            whole(client)
        client.sendall(head)
        answer, end = rest(client)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"connection: close\r\n" in answer
    why = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert f"at most {MOST_HEADERS}" in why
    assert end == "closed"
    eventually(lambda: mock.ledger()["connections"]["open"] == 0)
    assert mock.ledger()["arrivals"] == before + kept


def test_requests_within_the_bounds_are_answered(mock: MockUpstream) -> None:
    wide = GET + b"x: " + b"y" * (MOST_HEAD_BYTES - 1000) + b"\r\n\r\n"
    upload = b"POST / HTTP/1.1\r\ncontent-length: 2000000\r\n\r\n" + b"y" * 2_000_000
    chunks = b"".join(b"%x\r\n%s\r\n" % (1000, b"y" * 1000) for _ in range(1000))
    chunked = CHUNKED.replace(b"0\r\n", b"") + chunks + b"0\r\nx: y\r\n\r\n"
    with connected(port(mock)) as client:
        for data in (GET + headers(MOST_HEADERS) + b"\r\n", wide, upload, chunked):
            client.sendall(data)
            assert whole(client).startswith(b"HTTP/1.1 200 ")
        for byte in GET + b"host: mock\r\n\r\n":
            client.sendall(bytes([byte]))
        assert whole(client).startswith(b"HTTP/1.1 200 ")


def test_many_requests_in_one_piece_are_no_large_head(mock: MockUpstream) -> None:
    number = 3 * MOST_HEAD_BYTES // len(GET)
    with connected(port(mock)) as client:
        client.sendall((GET + b"\r\n") * number)
        data = b""
        while data.count(b'{"ok": true}') < number:
            data += client.recv(65536)
    assert data.count(b"HTTP/1.1 200 ") == number


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("begin", [GET, GET + b"x: ", CHUNKED, CHUNKED + b"x: "])
def test_memory_stays_bounded_while_a_client_goes_on_sending(
    mock: MockUpstream, begin: bytes
) -> None:
    def resident() -> int:
        text = Path(f"/proc/{mock.process.pid}/status").read_text(encoding="utf-8")
        return int(re.findall(r"VmHWM:\s+(\d+) kB", text)[0]) * 1000

    before = resident()
    with connected(port(mock)) as client, contextlib.suppress(ConnectionError):
        client.sendall(begin)
        for _ in range(400):
            client.sendall(b"y" * 100_000 if begin.endswith(b": ") else b"xx: yyyy\r\n" * 10_000)
        pytest.fail("40 MB were taken")
    assert resident() - before < 5_000_000
    eventually(lambda: mock.ledger()["connections"]["open"] == 0)


async def well(exchange: Exchange, answer: Reply) -> None:
    await exchange.answer(answer)


@pytest.mark.parametrize("kept", [False, True])
def test_a_head_has_its_time_however_slowly_it_comes(
    monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", 0.3)
    with played(well) as server, connected(server.port) as client:
        if kept:
            request(client, "/x")
            whole(client)
        client.settimeout(0.02)
        answer = b""
        for byte in GET + b"x: " + b"y" * 2000:
            client.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                answer = client.recv(65536)
                break
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_connection_may_be_idle_and_a_body_slow_for_longer_than_a_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", 0.05)

    async def uploaded(exchange: Exchange, answer: Reply) -> None:
        assert await exchange.received()
        await exchange.answer(answer)

    with played(uploaded) as server, connected(server.port) as client, connected(server.port) as x:
        for _ in range(2):
            x.settimeout(0.2)
            with pytest.raises(TimeoutError):
                x.recv(1)
            client.sendall(b"POST /x HTTP/1.1\r\ncontent-length: 2\r\n\r\ny")
            with pytest.raises(TimeoutError):
                x.recv(1)
            client.sendall(b"y")
            assert whole(client).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("sent", [b"", GET, GET + b"\r\n"])
def test_no_timer_is_left_of_a_connection_that_has_ended(
    monkeypatch: pytest.MonkeyPatch, how: str, sent: bytes
) -> None:
    made: list[MockProtocol] = []
    opened = MockProtocol.connection_made

    def remembered(self: MockProtocol, transport: object) -> None:
        made.append(self)
        opened(self, transport)  # type: ignore[arg-type]

    monkeypatch.setattr(MockProtocol, "connection_made", remembered)
    with played(well) as server, connected(server.port) as client:
        eventually(lambda: made and made[0].timeout_keep_alive_task)
        if sent:
            client.sendall(sent)
            eventually(lambda: made[0].requests == 1 and made[0].timeout_keep_alive_task)
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        eventually(lambda: made[0].lost)
        assert made[0].timeout_keep_alive_task is None
