"""The first requests of a run: what a service answers, and what came to the upstream for each."""

import json
import sys

import httpx
import pytest

from loadtests import plans
from loadtests.cli import ping_lines
from loadtests.run import pings
from loadtests.run.deployments import running
from loadtests.run.ping import PingReply

pytestmark = pytest.mark.processes

SERVICE = """
import http.server, os, sys, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        calls = {"/twice": 2, "/stray": 1, "/fails": 1}.get(self.path, 0)
        for _ in range(calls):
            where = "/nowhere" if self.path == "/stray" else "/charge"
            url = os.environ["NO_SUCH" if self.path == "/fails" else "SHOP_UPSTREAM"] + where
            try:
                urllib.request.urlopen(url, timeout=10).read()
            except urllib.error.HTTPError:
                pass
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
PATHS = ("/twice", "/stray", "/fails", "/none")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    script = tmp_path_factory.mktemp("service") / "service.py"
    script.write_text(SERVICE, encoding="utf-8")
    started = {"command": [sys.executable, str(script), "{port}"], "ready": "/none"}
    return plans.Plan.model_validate(
        {
            "name": "shop",
            "upstream": {"latency": "1ms", "routes": [{"path": "/charge", "status": 201}]},
            "deployments": {
                "told": {**started, "env": {"SHOP_UPSTREAM": "{upstream}"}},
                "deaf": {**started, "env": {"SHOP_UPSTREM": "{upstream}"}},
                "untold": started,
            },
            "requests": [{"path": path} for path in PATHS],
        }
    )


@pytest.fixture(scope="module")
def sent(plan, tmp_path_factory):
    with running(plan, tmp_path_factory.mktemp("run")) as fleet:
        found = pings.send_all(plan, fleet)
        ledger = httpx.get(f"{fleet.mock.control}/ledger").json()
        none = pings.send_all(plan, fleet, seconds=0)
    return found, ledger, none


def of(found, deployment, path):
    return next(p for p in found.sent if (p.deployment, p.spec.path) == (deployment, path))


def test_each_request_has_the_calls_that_it_made(sent):
    found, _, _ = sent
    assert of(found, "told", "/twice").calls == pings.UpstreamCalls(2, {201: 2})
    assert of(found, "told", "/none").calls == pings.UpstreamCalls(0, {})
    assert of(found, "told", "/twice").problem is None


def test_a_call_that_no_route_matches_is_named(sent):
    stray = of(sent[0], "told", "/stray")
    assert stray.calls == pings.UpstreamCalls(1, {404: 1}, ("GET /nowhere",))
    assert "GET /nowhere" in stray.problem
    assert "[[upstream.routes]]" in stray.problem


def test_a_failing_service_is_quoted_with_its_own_code(sent):
    failed = of(sent[0], "told", "/fails")
    assert "closed without an answer" in failed.problem
    assert "KeyError: 'NO_SUCH'" in failed.last_words
    assert "service.py" in failed.last_words
    assert "socketserver.py" not in failed.last_words


def test_a_service_that_calls_no_upstream_is_reported_with_the_variable(sent):
    deaf, untold = sent[0].problems
    assert deaf.startswith("deaf: no call came to the mock upstream.")
    assert "the variable SHOP_UPSTREM, spelt like this" in deaf
    assert untold.startswith("untold: no call came")
    assert 'add env = { NAME = "{upstream}" }' in untold
    assert not sent[0].fine


@pytest.mark.parametrize(
    ("problem", "told"), [(None, False), ("gives no answer: no complete answer in 10 s.", True)]
)
def test_a_request_that_the_run_gave_up_early_can_call_the_upstream_later(plan, problem, told):
    reply = PingReply(error="no complete answer in 3 s", timed_out=True, arrived=True)
    spec = plan.requests[0].spec()
    given_up = pings.Ping("told", spec, reply, pings.UpstreamCalls(0, {}), problem)
    assert bool(list(pings.without_calls(plan, [given_up]))) == told


def test_the_upstream_is_reset_before_the_run(sent):
    assert sent[1]["arrivals"] == 0
    assert sent[1]["unmatched"] == 0


def test_requests_that_are_not_sent_in_time_are_counted_only(sent):
    assert sent[2] == pings.Pings((), 3 * len(PATHS), ())


def test_lines_have_status_size_time_and_calls(sent, plan):
    lines = list(ping_lines.answers(plan, sent[0]))
    assert len(lines) == 3 * len(PATHS)
    assert lines[0].startswith("told    /twice: 200, 2 B, first byte after ")
    assert lines[0].endswith(", 2 upstream calls (201)")
    assert lines[2] == (
        "told    /fails: the connection was closed without an answer, no upstream call"
    )
    text = "\n".join(ping_lines.problems(sent[0]))
    assert "told: /fails: the service gives no answer" in text
    assert json.dumps(text).count("deaf: no call came") == 1
