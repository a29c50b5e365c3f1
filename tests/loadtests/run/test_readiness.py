"""Readiness: what a service is asked, who is asked, and what is said when it does not answer."""

import os
import socket
import ssl
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import trustme

import mock_upstream
from loadtests import plans, tls
from loadtests.plans import PlanError
from loadtests.plans.deployments import UrlDeployment
from loadtests.plans.readiness import Question
from loadtests.processes.readiness import answers
from loadtests.run import description, diagnosis, starter
from loadtests.run.deployments import running
from loadtests.run.starter import RunningMock
from loadtests.run.waiting import DeploymentFailed
from tests.support.servers import serving

pytestmark = pytest.mark.processes

SERVICE = """
import http.server, os, socket, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.headers.get_all("Host"), self.headers["X-Key"], flush=True)
        wrong = self.headers["Host"] != os.environ.get("ONLY", self.headers["Host"])
        self.send_response(400 if wrong else int(os.environ.get("STATUS", 200)))
        self.end_headers()
        self.wfile.write(b"Invalid host header" if wrong else b"up")
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if os.environ.get("AT") == "::1" else socket.AF_INET
server = Server((os.environ.get("AT", "127.0.0.1"), int(sys.argv[1])), Handler)
if os.environ.get("PEM"):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.environ["PEM"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
MOCK = RunningMock("http://127.0.0.1:1", "http://127.0.0.1:1", 1)
"""Lent, and never called."""


def plan_of(table, **request):
    deployment = {"command": [sys.executable, "-c", SERVICE, "{port}"], "ready": "/up", **table}
    tables = {"name": "x", "telemetry": False, "deployments": {"shop": deployment}}
    return plans.Plan.model_validate({**tables, "requests": [{"path": "/", **request}]})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("localhost", "::1").private_key_and_cert_chain_pem.write_to_path(
        folder / "server.pem"
    )
    return folder


@pytest.fixture(autouse=True)
def nothing_moved(monkeypatch):
    """The mock that is lent is no process of ours to put on a core."""
    monkeypatch.setattr("loadtests.processes.affinity.Cores.moved_to", lambda *_: nullcontext())


def asked(plan, folder) -> list[str]:
    """What the service printed of each question, once it was ready."""
    with running(plan, folder, lent=MOCK):
        return (folder / "logs" / "shop.log").read_text(encoding="utf-8").splitlines()


def test_the_check_has_the_common_host_of_the_requests_once(tmp_path):
    table = {"env": {"ONLY": "shop.example"}}
    assert asked(plan_of(table, headers={"host": "shop.example"}), tmp_path)[-1] == (
        "['shop.example'] None"
    )


def test_a_table_sets_path_headers_and_status_of_the_check(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_KEY", "k-secret-1")
    ready = {"path": "/up", "headers": {"X-Key": "{env.SHOP_KEY}"}, "status": [401, 503]}
    plan = plan_of({"ready": ready, "env": {"STATUS": "503"}})
    assert asked(plan, tmp_path)[-1].endswith(" k-secret-1")
    assert "k-secret-1" not in plans.to_toml(plan)
    assert plans.read(_written(plan, tmp_path)).deployments == plan.deployments


def _written(plan, folder) -> Path:
    path = folder / "plan.toml"
    path.write_text(plans.to_toml(plan), encoding="utf-8")
    return path


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_readiness_is_checked_over_tls_at_other_loopback_addresses(tmp_path, certificate, host):
    table = {
        "scheme": "https",
        "host": host,
        "ca": str(certificate / "ca.pem"),
        "env": {"AT": host, "PEM": str(certificate / "server.pem")},
    }
    with running(plan_of(table), tmp_path, lent=MOCK) as fleet:
        name = f"[{host}]" if ":" in host else host
        assert fleet.deployments["shop"].url.startswith(f"https://{name}:")


def test_a_service_that_needs_its_host_name_is_reported(tmp_path):
    plan = plan_of({"env": {"ONLY": "shop.example"}, "ready_timeout": "4s"})
    with pytest.raises(DeploymentFailed) as refused, running(plan, tmp_path, lent=MOCK):
        pass
    assert "/up is answered 400: Invalid host header. Call it by its name: headers = {" in str(
        refused.value
    )


def answering(status: int, body: str = "", **headers: str):
    """A service that gives one answer to everything."""

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body.encode()})

    return serving(app)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (answering(500, "no\tdatabase\n\nat 10.0.0.7"), ":\n  no database\n  at 10.0.0.7"),
        (
            answering(502, "<h1>Oh\x1b[2J</h1><script>1</script><p>a", content_type="text/html"),
            ":\n  Oh\ufffd[2J\n  a",
        ),
        (
            answering(307, location="https://x.example/up"),
            " to https://x.example/up It sends plain HTTP to HTTPS. Say what its proxy would say, "
            'in `ready` and in the requests: headers = { X-Forwarded-Proto = "https" }; or turn '
            "that off for the test.",
        ),
        (
            answering(301, location="/up/"),
            " to /up/ No redirect is followed: ask for where it leads to.",
        ),
        (answering(200, "fine"), None),
    ],
)
def test_an_answer_that_is_not_the_expected_one_is_shown(service, expected):
    with service as url:
        answer = answers(url, "/up")()
    if expected is None:
        assert answer == {"url": url}
    else:
        said = answer + diagnosis.of_answer(answer)
        assert said.partition(" is answered ")[2][3:] == expected


def test_a_body_without_end_is_shown_in_part():
    with answering(500, "x" * 100_000) as url:
        assert len(answers(url, "/up")()) < 300


def test_the_state_of_the_port_explains_why_a_service_is_not_ready(certificate):
    with answering(200) as url:
        port = int(url.rpartition(":")[2])
        assert diagnosis.of_command(f"https://127.0.0.1:{port}", []) == (
            ' It answers plain HTTP on that port: put scheme = "http" into its table in the plan.'
        )
        assert diagnosis.of_command(url, []) == ""
        elsewhere = diagnosis.of_command("http://127.0.0.1:1", [os.getpid()])
        assert f"127.0.0.1:{port}" in elsewhere
        assert elsewhere.endswith(", and not on port 1, which it was given.")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as six:
        port = six.getsockname()[1]
        assert diagnosis.of_command(f"http://127.0.0.1:{port}", []) == (
            ' It listens on ::1, not on 127.0.0.1: put host = "::1" into its table in the plan.'
        )


def test_tls_at_a_port_of_plain_http_is_found(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    with mock_upstream.running("1ms", tls=True) as upstream:
        plain = upstream.url.replace("https:", "http:")
        assert diagnosis.of_url(plain) == (
            " It answers TLS on that port: its url begins with https://."
        )
        assert diagnosis.of_url(upstream.url) == ""
        assert description.at(upstream.url).document is None
        assert answers(upstream.url, "/")() == {"url": upstream.url}
        strict = ssl.create_default_context()
        assert "certificate verify failed" in answers(upstream.url, "/", context=strict)()


@pytest.mark.parametrize(
    ("verify", "ca", "expected"),
    [(None, None, False), (True, None, True), (False, None, False), (None, "ca.pem", True)],
)
def test_only_the_plan_turns_certificate_checks_on(monkeypatch, verify, ca, expected):
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    assert tls.planned(verify, ca) is expected


def test_the_check_has_only_headers_of_all_requests():
    shared = [{"Host": "a", "X": "1", "X-Forwarded-Proto": "https"}, {"HOST": "a"}]
    assert Question().with_common(shared).headers == {"Host": "a"}
    assert Question(headers={"host": "b"}).with_common(shared).headers == {"host": "b"}
    assert Question().with_common([]).headers == {}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"host": "0.0.0.0"}, "'0.0.0.0' is not a loopback address of this machine"),
        ({"ca": "none.pem", "scheme": "https"}, "'none.pem' is not a file with certificates"),
        ({"verify": True}, "verify is about a certificate, and the service is asked by plain"),
        ({"ready": {"paths": "/"}}, "ready: there is no key 'paths'; did you mean 'path'"),
    ],
)
def test_a_wrong_way_to_ask_is_refused_with_its_key(table, expected):
    with pytest.raises(PlanError, match=expected):
        plans.against(plan_of({}), {"shop": {"command": "serve {port}", **table}})


def test_a_clear_response_is_shown_unchanged():
    assert diagnosis.of_answer("GET http://x/up is answered 500: no database") == ""


@pytest.mark.parametrize(
    ("table", "refused", "answered"),
    [
        ({}, 0.0, 0.0),
        ({"ready": "/up"}, 2.0, 30.0),
        ({"ready": "/up", "ready_timeout": "90s"}, 90.0, 90.0),
        ({"ready_timeout": "90s"}, 90.0, 90.0),
    ],
)
def test_a_url_where_nothing_listens_is_told_sooner_unless_the_plan_says_how_long_to_wait(
    table, refused, answered
):
    waiting = starter._url("there", UrlDeployment(url="http://127.0.0.1:9", **table), [])
    told = waiting.ask()
    assert told.endswith("the connection was refused")
    assert waiting.seconds(told) == refused
    assert waiting.seconds("GET /up is answered 503") == answered
