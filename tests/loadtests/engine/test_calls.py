"""A plan's requests as bytes, and what is expected of their answers."""

import time

import pytest

from loadtests.engine.answers import AnswerParser
from loadtests.engine.calls import Call
from loadtests.engine.connection import Endpoint
from loadtests.recording.messages import RequestSpec


def call(target="http://service:8000", *, stamped=False, method="GET", path="/", **values):
    spec = RequestSpec(name="x", method=method, path=path, weight=1, timeout=5, **values)
    return Call(Endpoint(target), spec, stamped)


def sent(*words, **values):
    """The request line, the headers by name, and the body."""
    head, _, body = call(*words, **values).data().partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    pairs = [field.split(": ", 1) for field in fields]
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return line, dict(pairs), body


def test_a_get_has_no_body_and_no_length():
    assert sent(path="/a?b=c") == (
        "GET /a?b=c HTTP/1.1",
        {
            "Host": "service:8000",
            "User-Agent": "brownout",
            "Accept": "*/*",
            "Accept-Encoding": "gzip, deflate, br",
        },
        b"",
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_request_that_can_have_a_body_says_the_length_of_none(method):
    _, headers, body = sent(method=method)
    assert (headers["Content-Length"], body) == ("0", b"")


def test_a_body_is_sent_as_utf_8_with_its_length_in_bytes():
    _, headers, body = sent(method="DELETE", body="grüßt")
    assert (headers["Content-Length"], body) == ("7", "grüßt".encode())


def test_headers_of_the_plan_take_the_place_of_the_usual_ones_in_any_case():
    own = {"host": "other", "user-agent": "own", "ACCEPT": "a", "accept-encoding": "identity"}
    own |= {"X-More": "y"}
    assert sent(headers=own)[1] == own


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding"])
def test_a_content_length_of_the_plan_is_sent_unchanged(name):
    headers = sent(method="POST", body="x", headers={name: "1"})[1]
    assert headers[name] == "1"


@pytest.mark.parametrize(
    ("target", "path", "line"),
    [
        ("http://service", "/", "GET / HTTP/1.1"),
        ("http://service/", "/a", "GET /a HTTP/1.1"),
        ("http://service/api/", "/a", "GET /api/a HTTP/1.1"),
        ("http://service", "/a b/ü?q=ä&r=%20#part", "GET /a%20b/%C3%BC?q=%C3%A4&r=%20 HTTP/1.1"),
        ("http://service", '/"<>\\^`{|}', "GET /%22%3C%3E%5C%5E%60%7B%7C%7D HTTP/1.1"),
    ],
)
def test_the_request_line_is_the_path_below_that_of_the_target(target, path, line):
    assert sent(target, path=path)[0] == line


@pytest.mark.parametrize("target", ["https://[::1]:8443", "http://service.example:80"])
def test_the_host_is_that_of_the_target_as_it_is_written(target):
    assert sent(target)[1]["Host"] == target.partition("//")[2]


def test_the_name_of_a_host_is_sent_in_ascii():
    assert sent("http://bücher.example:80")[1]["Host"] == "xn--bcher-kva.example:80"


def test_a_stamped_request_carries_the_moment_in_which_it_is_made():
    assert b"x-sent-mono" not in call().data()
    made = call(stamped=True, method="POST", body="x")
    before = time.monotonic_ns()
    stamps = []
    for _ in range(2):
        head, _, body = made.data().partition(b"\r\n\r\n")
        assert body == b"x"
        assert head.count(b"x-sent-mono: ") == 1
        stamps.append(int(head.partition(b"x-sent-mono: ")[2]))
    assert before <= stamps[0] <= stamps[1] <= time.monotonic_ns()


@pytest.mark.parametrize(
    ("method", "safe"),
    [("GET", True), ("HEAD", True), ("OPTIONS", True), ("POST", False), ("PUT", False),
     ("PATCH", False), ("DELETE", False)],
)  # fmt: skip
def test_only_safe_methods_are_sent_twice(method, safe):
    assert call(method=method).safe == safe


def answered(made, data):
    answer = AnswerParser()
    answer.begin(made.bodiless, made.sink(answer))
    answer.feed(data)
    assert answer.done
    return made.unexpected(answer)


def of_status(status, *fields):
    lines = [f"HTTP/1.1 {status} X", "Content-Length: 0", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("status", [300, 304, 404, 500, 599])
def test_a_status_of_300_or_more_is_a_failure_by_itself(status):
    assert answered(call(), of_status(status)).kind == str(status)
    assert answered(call(statuses=(status,)), of_status(status)) is None
    assert answered(call(statuses=(status,)), of_status(200)).kind == "200"


def test_a_redirect_is_a_failure_that_names_its_target():
    failed = answered(call(), of_status(302, "Location: /elsewhere"))
    assert str(failed) == "status 302 to /elsewhere"


def test_a_body_without_the_expected_text_is_a_failure():
    made = call(contains="needle")
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\na needle"
    assert answered(made, good) is None
    assert answered(made, of_status(200)).kind == "unexpected content"
