"""What the load generator's client does at servers that behave well and badly; real sockets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.recording.phases import TOLD

pytestmark = pytest.mark.processes

SCRIPT = Path(__file__).parents[2] / "support" / "gevent_exchanges.py"
TIMING = ", ".join(f"{name};dur=0.001" for name in ("total", *TOLD))
HANG = 10  # seconds; far beyond each timeout, far below what a server waits


def exchanged(*names, **environment):
    """The results of some scenarios, by name."""
    answer = subprocess.run(
        [sys.executable, SCRIPT, *names],
        env=os.environ | {"TIMING": TIMING} | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.fixture(scope="module")
def results():
    return exchanged(
        "kept", "kept_after_head", "closed_while_idle", "closed_on_arrival_of_a_get",
        "closed_on_arrival_of_a_get_and_again", "closed_on_arrival_of_a_post",
        "reset_on_arrival_of_a_get", "reset_on_arrival_of_a_post",
        "closed_on_arrival_at_a_new_connection", "closed_in_the_middle_of_an_answer",
        "an_answer_that_nobody_asked_for", "no_answer", "an_answer_without_end",
        "headers_without_end", "no_connection", "nobody_listens", "no_such_host", "failing_at_once",
        "over_ipv6",
        "codings", "stamped", "refused_early_and_closed", "refused_early_and_not_read",
        "a_large_request", "a_large_request_with_an_interim_answer", "killed",
        "open_model_with_connections_that_are_closed", "listeners",
        "lean_methods", "lean_bodies", "lean_failures",
    )  # fmt: skip


def test_a_connection_is_kept(results):
    found = results["kept"]
    assert (found["statuses"], found["kinds"]) == ({"200": 3}, {})
    assert (found["connections"], found["reopened"], found["bytes"]) == (1, 0, 6)


def test_a_connection_is_kept_after_a_head_request(results):
    found = results["kept_after_head"]
    assert found["requests"] == ["HEAD", "GET", "HEAD", "GET"]
    assert (found["statuses"], found["bytes"]) == ({"200": 4}, 4)
    assert (found["connections"], found["reopened"]) == (1, 0)


def test_a_connection_that_was_closed_while_it_was_idle_is_opened_again_for_any_method(results):
    found = results["closed_while_idle"]
    assert (found["statuses"], found["kinds"]) == ({"200": 3}, {})
    assert found["requests"] == ["GET", "POST", "GET"]
    assert (found["connections"], found["reopened"]) == (3, 2)


@pytest.mark.parametrize("name", ["closed_on_arrival_of_a_get", "reset_on_arrival_of_a_get"])
def test_a_safe_request_is_sent_again_when_its_kept_connection_turns_out_closed(results, name):
    found = results[name]
    assert (found["statuses"], found["kinds"]) == ({"200": 2}, {})
    assert (found["requests"], found["reopened"]) == (["GET"] * 3, 1)


def test_a_safe_request_is_sent_again_only_once(results):
    found = results["closed_on_arrival_of_a_get_and_again"]
    assert found["statuses"] == {"200": 1}
    assert found["kinds"] == {"closed without an answer": 1}
    assert (found["requests"], found["reopened"]) == (["GET"] * 3, 1)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("closed_on_arrival_of_a_post", "closed without an answer"),
        ("reset_on_arrival_of_a_post", "connection reset"),
    ],
)
def test_an_unsafe_request_is_never_sent_again(results, name, kind):
    found = results[name]
    assert (found["statuses"], found["kinds"]) == ({"200": 1}, {kind: 1})
    assert (found["requests"], found["reopened"]) == (["POST"] * 2, 0)


def test_a_request_on_a_new_connection_is_not_sent_again(results):
    found = results["closed_on_arrival_at_a_new_connection"]
    assert found["kinds"] == {"closed without an answer": 2}
    assert (found["requests"], found["reopened"]) == (["GET"] * 2, 0)


def test_a_request_that_was_answered_in_part_is_not_sent_again(results):
    found = results["closed_in_the_middle_of_an_answer"]
    assert (found["statuses"], found["kinds"]) == ({"200": 1}, {"closed in the middle": 1})
    assert found["requests"] == ["GET"] * 2


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next(results):
    found = results["an_answer_that_nobody_asked_for"]
    assert (found["statuses"], found["bytes"]) == ({"200": 2}, 1 + 3)
    assert (found["connections"], found["reopened"]) == (2, 1)


@pytest.mark.parametrize(
    ("name", "count", "timeout"),
    [("no_answer", 2, 0.3), ("an_answer_without_end", 1, 0.4), ("no_connection", 1, 0.4)],
)
def test_a_slow_request_fails_by_its_timeout_and_is_sent_once(results, name, count, timeout):
    found = results[name]
    assert found["kinds"] == {"timeout": count}
    assert timeout * 0.99 <= min(found["times"]) <= max(found["times"]) < HANG
    assert (found["in flight"], found["reopened"]) == (0, 0)
    assert len(found.get("requests", [])) in (0, count)


def test_headers_without_end_are_a_failure_long_before_the_timeout(results):
    found = results["headers_without_end"]
    assert found["kinds"] == {"invalid answer": 1}
    assert max(found["times"]) < HANG


@pytest.mark.parametrize(
    ("name", "kind"),
    [("nobody_listens", "connection refused"), ("no_such_host", "host not found")],
)
def test_a_host_that_cannot_be_reached_is_a_named_failure(results, name, kind):
    assert results[name]["kinds"] == {kind: 1}


def test_requests_that_fail_at_once_let_others_run(results):
    assert results["failing_at_once"]


def test_requests_are_sent_over_ipv6(results):
    found = results["over_ipv6"]
    if found is None:
        pytest.skip("this machine has no IPv6")
    assert (found["statuses"], found["host"]) == ({"200": 1}, True)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity"])
def test_text_is_found_in_a_coded_body_whose_size_is_that_on_the_wire(results, coding):
    found = results["codings"][coding]
    assert found["statuses"] == {"200": 1}
    assert found["kinds"] == {"unexpected content": 1}
    assert found["bytes"] == found["coded"]


def test_each_request_is_stamped_with_its_sending_and_its_phases_are_read(results):
    found = results["stamped"]
    assert found["statuses"] == {"200": 3}
    assert len(set(found["stamps"])) == 3
    assert found["stamps"] == sorted(found["stamps"])
    assert found["phases"]


@pytest.mark.parametrize("name", ["refused_early_and_closed", "refused_early_and_not_read"])
def test_an_answer_that_comes_before_a_large_request_was_sent_is_read(results, name):
    found = results[name]
    assert (found["statuses"], found["kinds"]) == ({"413": 1}, {})
    assert found["connections"] == 1


def test_large_requests_are_sent_whole(results):
    found = results["a_large_request"]
    assert (found["statuses"], found["connections"]) == ({"200": 2}, 1)
    assert results["a_large_request_with_an_interim_answer"]["statuses"] == {"200": 1}


def test_a_user_that_is_killed_in_the_middle_leaves_nothing_behind(results):
    nothing, then = results["killed"]["killed"], results["killed"]["then"]
    assert (nothing["statuses"], nothing["kinds"], nothing["in flight"]) == ({}, {}, 0)
    assert (then["statuses"], then["connections"]) == ({"200": 1}, 2)


def test_idle_connections_of_the_open_model_that_were_closed_are_opened_again(results):
    found = results["open_model_with_connections_that_are_closed"]
    assert found["succeeded"] == found["started"] == 63
    assert found["reopened"] > 0
    assert found["arrived"] == found["total"] >= found["started"] + found["beyond"]
    assert found["failures"] == 0


def test_a_listener_gets_each_request(results):
    found = results["listeners"]
    assert found["heard"] == found["arrived"] == found["total"] >= found["started"] == 63


def test_a_body_of_a_gigabyte_takes_little_memory():
    found = exchanged("a_large_answer")["a_large_answer"]
    assert found["bytes"] == 1 << 30
    assert found["kilobytes more"] < 50_000


# LeanUser


def test_a_lean_user_takes_the_arguments_of_locusts_client(results):
    found = results["lean_methods"]
    assert found["found"] == [[200, True, "" if number == 1 else "ok"] for number in range(7)]
    assert found["connections"] == 1
    lines = [request.partition("\r\n")[0].removesuffix(" HTTP/1.1") for request in found["sent"]]
    methods = ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH"]
    assert lines == ["GET /api/a?q=x+y&q=2", *(f"{method} /api/a" for method in methods[1:])]
    names = ["query", *["/a"] * 6]
    contexts = [{}] * 6 + [{"more": 1}]
    assert found["heard"] == [
        [method, name, 0 if method == "HEAD" else 2, None, context, True]
        for method, name, context in zip(methods, names, contexts, strict=True)
    ]
    assert "Content-Type: application/json\r\nContent-Length: 8" in found["sent"][4]
    form = "X-Own: 1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 5"
    assert form in found["sent"][5]


def test_a_lean_user_reads_coded_bodies_and_headers_that_come_twice(results):
    found = results["lean_bodies"]["found"]
    assert found == [[{"a": "ü"}, "1, 2", 15]] * 3


def test_a_lean_user_names_the_failure(results):
    found = results["lean_failures"]
    status, late, why, *refused = found["found"]
    assert (status, late, why) == (302, 0, "no complete answer in time")
    assert ["host alone" in refused[0], "either data or json" in refused[1]] == [True, True]
    assert [(name, error) for _, name, _, error, *_ in found["heard"]] == [
        ("/caught", None),
        ("/failed", "not what was ordered"),
        ("/redirected", "status 302"),
        ("/late", "no complete answer in time"),
    ]


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """An authority, and a certificate of its for `localhost`, made here."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(*new, "-x509", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(*new, "-subj", "/CN=service", "-keyout", "key.pem", "-out", "request.pem")
    (folder / "names").write_text("subjectAltName=DNS:localhost", encoding="ascii")
    signed = ("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key")
    openssl(*signed, "-CAcreateserial", "-extfile", "names", "-out", "certificate.pem")
    both = "".join(
        (folder / name).read_text(encoding="ascii") for name in ("certificate.pem", "key.pem")
    )
    (folder / "both.pem").write_text(both, encoding="ascii")
    return folder


@pytest.fixture(scope="module")
def trusting(certificate):
    """Where the authority is known."""
    return exchanged(
        "tls_to_a_name", "tls_to_an_address", "tls_that_is_closed", "tls_without_a_handshake",
        "tls_without_an_answer",
        CERTIFICATE=str(certificate / "both.pem"), SSL_CERT_FILE=str(certificate / "ca.pem"),
    )  # fmt: skip


def test_a_certificate_of_a_known_authority_is_accepted_and_the_host_is_named(trusting):
    found = trusting["tls_to_a_name"]
    assert (found["statuses"], found["connections"]) == ({"200": 3}, 1)
    assert found["names"] == ["localhost"]


def test_a_certificate_for_another_name_is_a_failure(trusting):
    assert trusting["tls_to_an_address"]["kinds"] == {"SSLCertVerificationError": 1}


def test_a_tls_connection_that_was_closed_is_opened_again(trusting):
    found = trusting["tls_that_is_closed"]
    assert (found["statuses"], found["requests"]) == ({"200": 2}, ["GET", "POST"])
    assert (found["connections"], found["reopened"]) == (2, 1)


@pytest.mark.parametrize("name", ["tls_without_a_handshake", "tls_without_an_answer"])
def test_tls_that_takes_too_long_fails_by_its_timeout(trusting, name):
    found = trusting[name]
    assert found["kinds"] == {"timeout": 1}
    assert 0.4 * 0.99 <= found["times"][0] < HANG


def test_certificates_are_not_checked_where_no_authority_is_named(certificate, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    found = exchanged("tls_to_an_address", CERTIFICATE=str(certificate / "both.pem"))
    assert found["tls_to_an_address"]["statuses"] == {"200": 1}
