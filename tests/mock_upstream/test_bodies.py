"""Bodies: their sizes, what fills them, and what a client gets, when and in which pieces."""

import hashlib
import json
import re
import socket
import time
import zlib
from contextlib import ExitStack
from statistics import median
from typing import Any

import httpx
import psutil
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from mock_upstream.profiles.profile import describe
from mock_upstream.responses import bodies
from mock_upstream.responses.bodies import Body, Padded, send
from mock_upstream.responses.exchange import Exchange, Reply
from mock_upstream.units.sizes import (
    LARGEST,
    ConstantSize,
    LognormalSize,
    Size,
    UniformSize,
    format_bytes,
    parse_bytes,
    parse_size,
)
from tests.support.mock_exchanges import BODY, Play, ask, connected, played, request, rest, whole
from tests.support.servers import eventually

JSON = (b"content-type", b"application/json")


def sending(body: Body, delay: float = 0.0, status: int = 200) -> Play:
    """Send as the mock does: fill the answer, wait for its delay, and send."""

    async def play(exchange: Exchange, answer: Reply) -> None:
        answer.status = status
        body.fill(answer, 0.5)
        due = exchange.arrival + delay
        if await exchange.until(body.begins(exchange.arrival, due)):
            await send(exchange, answer, body, due)

    return play


def filled(text: bytes, u: float = 0.5, **settings: Any) -> Reply:
    answer = Reply(200, [JSON, (b"content-length", b"%d" % len(text))], text)
    Body.model_validate(settings).fill(answer, u)
    return answer


def unchunked(data: bytes) -> list[bytes]:
    """The chunks of a chunked body, each as it came."""
    chunks = []
    while data:
        length, _, data = data.partition(b"\r\n")
        size = int(length, 16)
        chunks.append(data[:size])
        assert data[size : size + 2] == b"\r\n"
        data = data[size + 2 :]
    assert chunks.pop() == b"", "the last chunk is missing"
    return chunks


# --- sizes -------------------------------------------------------------------------------------

lengths = st.integers(min_value=0, max_value=LARGEST)
pairs = st.tuples(lengths, lengths).map(sorted)
positive_pairs = st.tuples(st.integers(1, LARGEST), st.integers(1, LARGEST)).map(sorted)
sizes: st.SearchStrategy[Size] = st.one_of(
    lengths.map(ConstantSize),
    pairs.map(lambda pair: UniformSize(*pair)),
    positive_pairs.map(lambda pair: LognormalSize(*pair)),
)
uniforms = st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True)


@given(lengths)
def test_a_number_of_bytes_reads_back_as_it_was_written(length: int) -> None:
    assert parse_bytes(format_bytes(length)) == length


@given(sizes)
def test_a_distribution_of_sizes_reads_back_as_an_equal_one(size: Size) -> None:
    assert parse_size(str(size)) == size


@given(sizes, uniforms, uniforms)
def test_sizes_never_decrease_and_stay_within_bounds(size: Size, u: float, v: float) -> None:
    low, high = sorted((u, v))
    assert 0 <= size.quantile(low) <= size.quantile(high) <= LARGEST


@given(st.integers(0, 1000), st.integers(0, 1000), uniforms)
def test_a_uniform_size_lies_between_its_bounds(low: int, more: int, u: float) -> None:
    assert low <= UniformSize(low, low + more).quantile(u) <= low + more


def test_sizes_are_distributed_as_they_say() -> None:
    lognormal = parse_size("lognormal(p50=10kB,p99=1MB)")
    assert lognormal.quantile(0.5) == 10_000
    assert lognormal.quantile(0.99) == 1_000_000
    u = [(n + 0.5) / 2000 for n in range(2000)]
    uniform = [parse_size("uniform(1kB,100kB)").quantile(each) for each in u]
    assert scipy.stats.kstest(uniform, scipy.stats.uniform(1000, 99_000).cdf).statistic < 0.001
    ends = [UniformSize(1, 3).quantile(each) for each in u]
    assert [ends.count(value) for value in (1, 2, 3)] == pytest.approx([667, 667, 667], abs=1)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("1 kB", 1000),
        ("1.5kB", 1500),
        ("2MB", 2_000_000),
        ("1GB", LARGEST),
        ("uniform( 1kB , 1kB )", 1000),
        ("lognormal(p50=2kB, p99=2kB)", 2000),
    ],
)
def test_sizes_are_written_with_units_of_a_thousand(text: str, size: int) -> None:
    assert parse_size(text).quantile(0.3) == size


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'' is not a size; write a number and its unit, such as 10kB"),
        ("ten", "'ten' is not a size"),
        ("nanB", "'nanB' is not a size"),
        ("10", "'10' has no unit; write 10B or 10kB"),
        ("10KiB", "'10KiB' has the unknown unit 'KiB'; there are: B, kB, MB, GB"),
        ("-1B", "'-1B' is negative; a size is 0B or more"),
        ("1e12B", "'1e12B' is above 1GB, the largest size there is"),
        ("uniform(2kB,1kB)", "high=1kB is below low=2kB (column 13)"),
        ("uniform(2kB)", "high is missing; it takes low and high (column 12)"),
        ("uniform(1kB,2kB,3kB)", "unexpected '3kB' (column 17)"),
        ("uniform(1kB,2kB) + 1kB", "unexpected '+' (column 18)"),
        ("uniform(p50=1kB,2kB)", "there is no 'p50' here; it takes low and high (column 9)"),
        ("lognormal(1kB,2kB)", "expected p50 and p99, each with its name and = (column 11)"),
        ("lognormal(p50=0B,p99=1kB)", "p50 must be above 0B (column 15)"),
        ("lognormal(p50=2kB,p99=1kB)", "p99=1kB is below p50=2kB (column 23)"),
        ("pareto(1kB,2kB)", "there is no distribution of sizes called 'pareto'; there are: unif"),
    ],
)
def test_an_invalid_size_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(complaint)):
        parse_size(text)


@given(st.text(max_size=40))
def test_any_text_is_a_size_or_is_refused(text: str) -> None:
    try:
        size = parse_size(text)
    except ValueError:
        return
    assert parse_size(str(size)) == size


# --- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"size": "1e12B"}, "size: '1e12B' is above 1GB"),
        ({"size": 1000}, "size: 1000 is not text; write a size such as '10kB'"),
        ({"bandwidth": "1MB"}, "bandwidth: '1MB' is not a bandwidth; write one such as '1MB/s'"),
        ({"bandwidth": "0B/s"}, "bandwidth: '0B/s' would never end a body"),
        ({"chunks": 0}, "chunks: Input should be greater than or equal to 1"),
        ({"chunks": 10**9}, "chunks: Input should be less than or equal to 100000"),
        ({"first_byte": 1.5}, "first_byte: Input should be less than or equal to 1"),
        ({"interval": "0ms"}, "interval: a duration above 0 is needed here"),
        ({"interval": "1ms"}, "interval alone gives no time; add chunks, bandwidth or first_byte"),
        (
            {"first_byte": 0.5, "bandwidth": "1kB/s"},
            "the body's time is given twice, by first_byte and by bandwidth",
        ),
        (
            {"bandwidth": "1kB/s", "chunks": 3, "interval": "1ms"},
            "the body's time is given twice, by bandwidth and by chunks with interval",
        ),
        ({"kind": "xml"}, "kind: Input should be 'json' or 'bytes'"),
        ({"sise": "1kB"}, "sise: there is no such key"),
    ],
)
def test_an_invalid_body_is_refused(settings: Any, complaint: str) -> None:
    class Profile(BaseModel):
        body: Body

    with pytest.raises(ValidationError) as refused:
        Profile.model_validate({"body": settings})
    assert (
        describe(refused.value, {"body": settings})
        .removeprefix("body")
        .lstrip(".: ")
        .startswith(complaint)
    )


def test_a_body_in_a_profile_reads_back_as_an_equal_one() -> None:
    for settings in (
        {"size": "lognormal(p50=10kB,p99=1MB)", "kind": "bytes", "bandwidth": "1.5MB/s"},
        {"framing": "chunked", "chunks": 3, "interval": "5ms"},
        {"first_byte": 0.25, "chunks": 3},
        {},
    ):
        body = Body.model_validate(settings)
        assert Body.model_validate_json(body.model_dump_json()) == body


# --- what fills them ---------------------------------------------------------------------------

objects = st.dictionaries(st.text(max_size=5).filter(lambda key: key != "padding"), st.integers())


@given(st.one_of(objects, st.lists(st.integers()), st.integers(), st.text()), st.integers(0, 3000))
def test_padded_json_is_the_same_json_at_the_size_asked_for(payload: Any, length: int) -> None:
    text = json.dumps(payload).encode()
    answer = filled(text, size=f"{length}B")
    body = answer.body[:]
    read = json.loads(body)
    if isinstance(payload, dict):
        read.pop("padding", None)
    assert read == payload
    assert len(body) == len(answer.body) == max(length, len(text))
    assert dict(answer.headers)[b"content-length"] == b"%d" % len(body)


def test_a_body_is_the_same_in_every_run_and_does_not_compress_to_nothing() -> None:
    for kind, ratio in (("json", 0.7), ("bytes", 0.99)):
        body = filled(BODY, size="1MB", kind=kind).body[:]
        assert body == filled(BODY, size="1MB", kind=kind).body[:]
        assert len(zlib.compress(body)) > ratio * len(body)
    noise = filled(BODY, size="100B", kind="bytes").body[:]
    assert noise.hex().startswith(hashlib.shake_128(b"mock_upstream").hexdigest(100))


def test_opaque_bytes_are_announced_as_such_unless_the_route_has_a_type_of_its_own() -> None:
    assert dict(filled(BODY, size="1B", kind="bytes").headers)[b"content-type"] == (
        b"application/octet-stream"
    )
    own = Reply(200, [(b"content-type", b"image/png")], BODY)
    Body.model_validate({"size": "1B", "kind": "bytes"}).fill(own, 0.5)
    assert own.headers == [(b"content-type", b"image/png"), (b"content-length", b"1")]


@given(
    st.binary(max_size=10),
    st.integers(0, 50),
    st.binary(max_size=10),
    st.binary(min_size=1, max_size=7),
    st.integers(0, 80),
    st.integers(0, 80),
)
def test_any_part_of_a_padded_body_is_that_part_of_the_whole(
    head: bytes, filling: int, tail: bytes, noise: bytes, start: int, stop: int
) -> None:
    whole = head + (noise * 50)[:filling] + tail
    padded = Padded(head, filling, tail, noise)
    assert len(padded) == len(whole)
    assert padded[:] == whole
    assert padded[start:stop] == whole[start:stop]


# --- their time --------------------------------------------------------------------------------


@given(
    st.integers(0, 10**6),
    st.floats(0, 100),
    st.one_of(st.none(), st.integers(1, 1000)),
    st.booleans(),
)
def test_no_piece_is_empty_and_none_comes_later_than_the_interval(
    length: int, seconds: float, chunks: int | None, with_interval: bool
) -> None:
    first_byte = None if chunks and with_interval else 0.5
    interval = 0.05 if with_interval else None
    body = Body.model_construct(chunks=chunks, interval=interval, first_byte=first_byte)
    count = body.pieces(length, seconds)
    assert 1 <= count <= max(length, 1)
    if chunks:
        assert count == max(min(chunks, length), 1)
    elif interval and length > count:
        assert seconds / max(count - 1, 1) <= interval * (1 + 1e-9) or count == 1


@pytest.mark.parametrize(
    ("settings", "pieces", "seconds"),
    [
        ({"chunks": 5}, 5, 0.05),
        ({"chunks": 100}, len(BODY), 0.05),
        ({"chunks": 4, "interval": "10ms"}, 4, 0.05 + 3 * 0.01),
        ({"first_byte": 0.0, "chunks": 3}, 3, 0.05),
        ({"bandwidth": "1kB/s", "interval": "20ms"}, 3, 0.05 + len(BODY) / 1000),
        ({"first_byte": 1.0}, 1, 0.05),
        ({"bandwidth": "1kB/s"}, 4, 0.05 + len(BODY) / 1000),
        ({}, 1, 0.05),
    ],
)
def test_a_body_comes_in_the_pieces_and_never_before_the_time_asked_for(
    settings: Any, pieces: int, seconds: float
) -> None:
    body = Body.model_validate({"framing": "chunked", **settings})
    with played(sending(body, delay=0.05)) as mock, connected(mock.port) as client:
        start = time.monotonic()
        request(client, "/")
        data = b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += client.recv(65536)
        assert time.monotonic() - start >= seconds
    head, _, raw = data.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    chunks = unchunked(raw)
    assert b"".join(chunks) == BODY
    assert len(chunks) == pieces


def test_the_first_byte_comes_apart_from_the_last() -> None:
    body = Body(first_byte=0.1, chunks=2)
    gaps = []
    with played(sending(body, delay=0.2)) as mock, connected(mock.port) as client:
        for _ in range(3):
            start = time.monotonic()
            request(client, "/")
            client.recv(1)
            first = time.monotonic()
            whole_answer = b"H" + whole(client)
            last = time.monotonic()
            assert whole_answer.endswith(BODY)
            assert first - start >= 0.02
            assert last - start >= 0.2
            gaps.append(last - first)
    # Both ends of a gap are late in the same way, so that half of it is a bound without luck.
    assert median(gaps) > 0.09


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
@pytest.mark.parametrize("size", ["0B", "1B", "65536B", "65537B", "3MB"])
def test_a_client_gets_every_byte_on_a_connection_that_is_kept(framing: str, size: str) -> None:
    body = Body.model_validate({"size": size, "kind": "bytes", "framing": framing})
    expected = filled(BODY, size=size, kind="bytes").body[:]
    with (
        played(sending(body)) as mock,
        httpx.Client(base_url=mock.url, trust_env=False) as client,
    ):
        for _ in range(2):
            response = client.get("/")
            assert response.content == expected
            assert ("content-length" in response.headers) == (framing == "content-length")
        head = client.head("/")
        assert head.content == b""
        assert head.headers.get("content-length") == response.headers.get("content-length")
        eventually(lambda: len(mock.ended) == 3)
        assert len({exchange.connection.number for exchange in mock.ended}) == 1
        assert all(exchange.finished for exchange in mock.ended)


def test_a_response_without_a_body_stays_without_one() -> None:
    body = Body.model_validate({"size": "1kB", "bandwidth": "10kB/s"})
    with (
        played(sending(body, status=204)) as mock,
        httpx.Client(base_url=mock.url, trust_env=False) as client,
    ):
        for _ in range(2):
            response = client.get("/")
            assert (response.status_code, response.content) == (204, b"")
            assert "content-length" not in response.headers


def test_an_empty_body_is_an_answer_too() -> None:
    with played(sending(Body(first_byte=0.5, chunks=3), delay=0.02), body=b"") as mock:
        assert httpx.get(mock.url, trust_env=False).content == b""


# --- clients that do not read ------------------------------------------------------------------

HUGE = Body.model_validate({"size": "100MB", "kind": "bytes"})


def test_clients_that_never_read_a_hundred_megabytes_cost_no_memory() -> None:
    def stuck(count: int) -> bool:
        return sum(e.transport.get_write_buffer_size() > 0 for e in mock.in_hand) == count

    process = psutil.Process()
    with played(sending(HUGE)) as mock, ExitStack() as stack:
        before = process.memory_info().rss
        for _ in range(30):
            request(stack.enter_context(connected(mock.port)), "/")
        eventually(lambda: stuck(30))
        # 3 GB were asked for. Two pieces each, and what the system rounds up.
        assert process.memory_info().rss - before < 30 * 4 * bodies._PIECE
        for exchange in mock.in_hand:
            assert exchange.transport.get_write_buffer_size() <= 2 * bodies._PIECE
        stack.close()
        eventually(lambda: not mock.in_hand)
        assert not any(e.finished for e in mock.ended if e.path == "/")


def test_a_slow_reader_gets_every_byte() -> None:
    size = 5_000_000
    body = Body.model_validate({"size": f"{size}B", "kind": "bytes"})
    expected = filled(BODY, size=f"{size}B", kind="bytes").body[:]
    with played(sending(body)) as mock, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        client.connect(("127.0.0.1", mock.port))
        request(client, "/")
        eventually(lambda: any(e.transport.get_write_buffer_size() for e in mock.in_hand))
        assert whole(client).partition(b"\r\n\r\n")[2] == expected


@pytest.mark.parametrize("settings", [{"bandwidth": "1B/s"}, {"chunks": 2, "interval": "60m"}])
def test_a_paced_body_ends_when_the_client_goes_away(settings: Any) -> None:
    with played(sending(Body.model_validate(settings))) as mock:
        with connected(mock.port) as client:
            request(client, "/")
            client.recv(1)
        eventually(lambda: not mock.in_hand)
        assert not mock.ended[0].finished


def test_a_client_of_http_1_0_gets_the_body_and_then_the_end() -> None:
    with played(sending(Body.model_validate({"size": "1kB"}))) as mock:
        with connected(mock.port) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            data, ending = rest(client)
        assert ending == "closed"
        assert len(data.partition(b"\r\n\r\n")[2]) == 1000
        assert ask(mock.port, "/ok")[1] == "kept"
