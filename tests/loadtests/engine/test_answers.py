"""Answers as the load generator reads them: RFC 9112's message bodies, and what is none."""

import gzip
import itertools
import tracemalloc
import zlib
from contextlib import suppress

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.engine.answers import LONGEST_HEAD, AnswerParser
from loadtests.engine.bodies import Text
from loadtests.engine.failures import RequestFailed

HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSED = HEAD + b"\r\nhello"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"


class Read:
    """What became of an answer: fed in parts, and ended where the stream ends."""

    def __init__(self, *parts, bodiless=False, ends=False, wanted=None):
        self.answer = answer = AnswerParser()
        text = None
        if wanted is not None:
            text = Text(wanted, lambda: answer.header(b"content-encoding"))
        answer.begin(bodiless, text)
        for part in parts:
            if answer.done:
                break
            answer.feed(part)
        if ends and not answer.done:
            answer.end()

    @property
    def told(self):
        answer = self.answer
        found = None if answer.sink is None else answer.sink.found  # type: ignore[attr-defined]
        return answer.done, answer.status, answer.size, answer.reusable, found


def parts_of(data, borders):
    marks = sorted({0, len(data), *(border % (len(data) + 1) for border in borders)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


OLD = b"HTTP/1.0 200 OK\r\n"
FIVE = b"Content-Length: 5\r\n"
CLOSE = b"Connection: close\r\n"

BODIES = {
    "length": (LENGTH, {}, 200, 5, True),
    "no body": (HEAD + b"Content-Length: 0\r\n\r\n", {}, 200, 0, True),
    "chunked": (CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", {}, 200, 11, True),
    "chunk extensions": (
        CHUNKED + b'5;a=b;c="d;e"\r\nhello\r\n0;last\r\n\r\n', {}, 200, 5, True,
    ),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nDigest: a\r\nX: y\r\n\r\n", {}, 200, 5, True),
    "hexadecimal chunks": (
        CHUNKED + b"00A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", {}, 200, 20, True,
    ),
    "until the end of the stream": (UNTIL_CLOSED, {"ends": True}, 200, 5, False),
    "not chunked at last": (
        HEAD + b"Transfer-Encoding: gzip\r\n\r\nhello", {"ends": True}, 200, 5, False,
    ),
    "after interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS + LENGTH, {}, 200, 5, True,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", {}, 204, 0, True),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\n" + FIVE + b"\r\n", {}, 304, 0, True),
    "HEAD with a length": (HEAD + FIVE + b"\r\n", {"bodiless": True}, 200, 0, True),
    "HEAD without a length": (HEAD + b"\r\n", {"bodiless": True}, 200, 0, True),
    "HEAD, chunked": (CHUNKED, {"bodiless": True}, 200, 0, True),
    "HEAD, closed": (HEAD + CLOSE + FIVE + b"\r\n", {"bodiless": True}, 200, 0, False),
    "HTTP/1.0": (OLD + FIVE + b"\r\nhello", {}, 200, 5, False),
    "HTTP/1.0 that is kept": (
        OLD + b"Connection: keep-alive\r\n" + FIVE + b"\r\nhello", {}, 200, 5, True,
    ),
    "HTTP/1.0 without a length": (OLD + b"\r\nhello", {"ends": True}, 200, 5, False),
    "Connection: close": (HEAD + CLOSE + FIVE + b"\r\nhello", {}, 200, 5, False),
    "an error with a body": (
        b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", {}, 503, 2, True,
    ),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nno", {}, 200, 2, True),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_each_message_body_of_the_standard_is_read_whole(name):
    data, how, status, size, reusable = BODIES[name]
    assert Read(data, **how).told == (True, status, size, reusable, None)


@pytest.mark.parametrize("name", BODIES)
def test_an_answer_is_the_same_however_it_is_split(name):
    data, how, *_ = BODIES[name]
    whole = Read(data, **how).told
    for border in range(1, len(data)):
        assert Read(data[:border], data[border:], **how).told == whole
    assert Read(*(bytes([byte]) for byte in data), **how).told == whole


CODINGS = {
    b"": lambda body: body,
    b"identity": lambda body: body,
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": brotli.compress,
}


@given(
    st.binary(max_size=300),
    st.sampled_from(sorted(CODINGS)),
    st.booleans(),
    st.lists(st.integers(0, 1000), max_size=8),
    st.data(),
)
def test_text_is_found_in_bodies_of_any_coding_and_split(body, coding, chunked, cuts, data):
    first = data.draw(st.integers(0, len(body)))
    wanted = data.draw(
        st.one_of(st.just(body[first : first + 7]), st.binary(min_size=1, max_size=3))
    )
    sent = CODINGS[coding](body)
    head = HEAD + (b"Content-Encoding: %b\r\n" % coding if coding else b"")
    if chunked:
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts_of(sent, cuts[:3]))
        whole = head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"
    else:
        whole = head + b"Content-Length: %d\r\n\r\n" % len(sent) + sent
    read = Read(*parts_of(whole, cuts), wanted=wanted)
    assert read.told == (True, 200, len(sent), True, wanted in body)


@given(st.lists(st.sampled_from(sorted(BODIES)), min_size=1, max_size=4), st.data())
def test_answers_follow_each_other_on_one_connection(names, data):
    kept = [name for name in names if BODIES[name][4] and not BODIES[name][1]]
    answer = AnswerParser()
    for name in kept:
        whole, _, status, size, _ = BODIES[name]
        answer.begin(False, None)
        assert answer.untouched
        for part in parts_of(whole, data.draw(st.lists(st.integers(0, 200), max_size=3))):
            answer.feed(part)
        assert (answer.done, answer.status, answer.size) == (True, status, size)
        assert answer.reusable


def test_headers_are_those_of_the_final_head():
    read = Read(
        HINTS
        + HEAD
        + b"Content-Length: 2\r\nserver-timing:  a;dur=1 \r\nServer-Timing: b\r\n\r\nok"
    )
    assert read.answer.header(b"server-timing") == [b"a;dur=1", b"b"]
    assert read.answer.header(b"link") == []
    assert read.answer.header(b"location") == []


SPOILED = {
    "a second answer": LENGTH + LENGTH,
    "the beginning of one": LENGTH + b"H",
    "bytes that are none": LENGTH + b"\0\1\2",
    "bytes after a closing answer": HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\nmore",
}


@pytest.mark.parametrize("name", SPOILED)
def test_unrequested_bytes_end_the_connection_after_the_response(name):
    read = Read(SPOILED[name])
    assert (read.answer.done, read.answer.status, read.answer.reusable) == (True, 200, False)


def test_a_body_after_a_head_request_ends_the_connection():
    assert Read(LENGTH, bodiless=True).told == (True, 200, 0, False, None)


INVALID = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2": b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80",
    "TLS": b"\x15\x03\x01\0\x02\x02\x46",
    "another version": b"HTTP/3.0 200 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\nhello",
    "a length that is not a number": HEAD + b"Content-Length: 5a\r\n\r\nhello",
    "a length beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a length and chunks": HEAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a chunk size that is not a number": CHUNKED + b"x\r\nhello\r\n",
    "a negative chunk size": CHUNKED + b"-5\r\nhello\r\n",
    "a chunk size beyond 64 bits": CHUNKED + b"fffffffffffffffff\r\n",
    "a chunk longer than its size": CHUNKED + b"5\r\nhello world\r\n",
    "a header without a name": HEAD + b": nothing\r\n\r\n",
    "a header with a line feed in it": HEAD + b"X: a\n b\0\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a switch of protocols without a name": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_response_is_a_named_failure_for_any_split(name):
    data = INVALID[name]
    for border in range(len(data)):
        with pytest.raises(RequestFailed) as failed:
            Read(data[:border], data[border:])
        assert failed.value.kind == "invalid answer"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "closed without an answer"),
        (b"HTTP/1.1 20", "closed in the middle"),
        (HINTS, "closed in the middle"),
        (LENGTH[:-1], "closed in the middle"),
        (CHUNKED + b"5\r\nhello\r\n", "closed in the middle"),
        (CHUNKED + b"8000000000000000\r\nhello", "closed in the middle"),
    ],
)
def test_a_stream_that_ends_too_early_is_a_named_failure(data, kind):
    with pytest.raises(RequestFailed) as failed:
        Read(data, ends=True)
    assert failed.value.kind == kind


ENDLESS = {
    "headers": (HEAD, b"X: y\r\n" * 1000),
    "one header": (HEAD + b"X: ", b"y" * 4096),
    "one status line": (b"HTTP/1.1 200 ", b"y" * 4096),
    "interim answers": (b"", HINTS * 100),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n" * 1000),
    "a chunk extension": (CHUNKED + b"5;", b"y" * 4096),
    "empty lines": (b"", b"\r\n" * 1000),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_response_fails_after_a_bounded_number_of_bytes(name):
    first, more = ENDLESS[name]
    answer = AnswerParser()
    answer.begin(False, None)
    fed = len(first)
    with pytest.raises(RequestFailed, match="do not end") as failed:  # noqa: PT012
        if first:
            answer.feed(first)
        while fed < 10 * LONGEST_HEAD:
            answer.feed(more)
            fed += len(more)
    assert failed.value.kind == "invalid answer"
    assert fed <= 2 * LONGEST_HEAD


@pytest.mark.parametrize("wanted", [None, b"not in there"])
def test_a_long_body_is_not_kept(wanted):
    part = b"x" * 65_536
    answer = AnswerParser()
    answer.begin(False, Text(wanted, list) if wanted else None)
    tracemalloc.start()
    try:
        answer.feed(HEAD + b"Content-Length: %d\r\n\r\n" % (1000 * len(part)))
        for _ in range(1000):
            answer.feed(part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.done, answer.size) == (True, 1000 * len(part))
    assert peak < 1_000_000


def test_a_part_of_a_body_that_came_with_the_head_is_not_kept():
    answer = AnswerParser()
    answer.begin(False, None)
    answer.feed(HEAD + b"Content-Length: 100000\r\nX: y\r\n\r\n" + b"x" * 60_000)
    assert len(answer._head) < 100
    assert answer.header(b"x") == [b"y"]


@pytest.mark.parametrize(
    ("coding", "body", "says"),
    [
        (b"gzip", b"not compressed", "cannot be decompressed"),
        (b"br", b"\xff" * 20, "cannot be decompressed"),
        (b"zstd", b"anything", "zstd"),
    ],
)
def test_a_body_that_is_not_coded_as_the_head_says_is_a_named_failure(coding, body, says):
    head = HEAD + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    with pytest.raises(RequestFailed, match=says) as failed:
        Read(head + body, wanted=b"text")
    assert failed.value.kind == "invalid answer"


@pytest.mark.parametrize("coding", [b"gzip", b"br"])
def test_a_decompression_bomb_is_a_named_failure_and_takes_little_memory(coding):
    if coding == b"gzip":
        press = zlib.compressobj(9, wbits=31)
        body = b"".join(press.compress(bytes(1 << 20)) for _ in range(300)) + press.flush()
    else:
        body = brotli.compress(bytes(300 << 20), quality=1, lgwin=24)
    head = HEAD + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    answer = AnswerParser()
    answer.begin(False, Text(b"text", lambda: [coding]))
    answer.feed(head)
    tracemalloc.start()
    try:
        with pytest.raises(RequestFailed, match="decompresses to more than"):
            answer.feed(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


@given(st.sampled_from(sorted(BODIES)), st.data())
def test_changed_bytes_cause_at_most_a_failure(name, data):
    whole, how, *_ = BODIES[name]
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        changed = changed or bytearray(b"x")
    cuts = data.draw(st.lists(st.integers(0, 200), max_size=3))
    with suppress(RequestFailed):
        Read(*parts_of(bytes(changed), cuts), **how | {"ends": True})
