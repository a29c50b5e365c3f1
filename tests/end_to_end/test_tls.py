"""The mock as HTTPS: who trusts it, what the ledger counts, and what stays behind."""

import json
import socket
import ssl
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import tomli_w

import mock_upstream
from app_under_test import variants
from loadtests import plans
from loadtests.plans import PlanError
from loadtests.run.deployments import running
from loadtests.samples.mock import LedgerReader
from mock_upstream.profiles.profile import ProfileError
from mock_upstream.protocol import MOST_HEADERS
from tests.support.mock_exchanges import request, rest, whole
from tests.support.servers import eventually

pytestmark = pytest.mark.processes

CALLS = 3
NEW_CONNECTIONS = {"client-per-request", "blocking-per-request"}
"""The variants that connect for each call."""


@pytest.fixture(scope="module")
def upstream():
    with mock_upstream.running("1ms", tls=True) as running:
        yield running


@pytest.fixture
def fresh(upstream):
    upstream.configure("1ms")
    upstream.reset()
    return upstream


@contextmanager
def connected(upstream):
    port = int(upstream.url.rpartition(":")[2])
    trusting = ssl.create_default_context(cafile=upstream.ca)
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    with plain, trusting.wrap_socket(plain, server_hostname="127.0.0.1") as client:
        yield client


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_client_that_trusts_its_authority_is_answered_and_no_other(fresh, name):
    url = fresh.url.replace("127.0.0.1", name)
    assert url.startswith("https://")
    before = fresh.ledger().connections.accepted
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(url, trust_env=False)
    assert fresh.ledger().arrivals == 0
    trusting = ssl.create_default_context(cafile=fresh.ca)
    with httpx.Client(verify=trusting, trust_env=False) as client:
        for _ in range(CALLS):
            assert client.get(url).json() == {"ok": True}
    account = fresh.ledger()
    assert (account.arrivals, account.answers) == (CALLS, {200: CALLS})
    assert account.connections.accepted == before + 1
    assert account.late.count == CALLS


def test_its_files_are_for_the_owner_alone_and_gone_when_it_ends():
    with mock_upstream.running("1ms", tls=True) as running:
        folder = running.ca.parent
        files = list(folder.iterdir())
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert b"PRIVATE KEY" not in running.ca.read_bytes()
    assert len(files) == 3
    assert not folder.exists()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("close", b""), ("reset", b""), ("truncate", b'{"ok"'), ("reset-mid-body", b'{"ok"')],
)
def test_a_broken_answer_breaks_over_tls_as_well(fresh, fault, expected):
    fresh.configure("1ms", faults=[{"fault": fault}])
    with connected(fresh) as client:
        request(client, "/x")
        data, end = b"", "closed"
        try:
            data, end = rest(client)
        except ssl.SSLError:  # the connection ends without TLS's own goodbye
            end = "reset"
    assert data.partition(b"\r\n\r\n")[2].startswith(expected) or end == "reset"
    assert b'{"ok": true}' not in data
    eventually(lambda: fresh.ledger().unanswered == 1)
    assert fresh.ledger().faults == {fault: 1}


def test_a_large_head_is_answered_with_an_error_over_tls(fresh):
    with connected(fresh) as client:
        many = b"".join(b"x-%d: y\r\n" % n for n in range(MOST_HEADERS + 1))
        client.sendall(b"GET / HTTP/1.1\r\n" + many + b"\r\n")
        assert rest(client)[0].startswith(b"HTTP/1.1 431 ")
    with connected(fresh) as client:
        request(client, "/x")
        assert whole(client).startswith(b"HTTP/1.1 200 ")


def test_tls_is_decided_when_the_mock_starts(fresh):
    fresh.configure("2ms", errors={503: 0.5})
    assert fresh.profile().tls
    fresh.configure(fresh.profile())
    with mock_upstream.running("1ms") as plain:
        assert plain.ca is None
        with pytest.raises(ProfileError, match="tls: the mock was started with HTTP and keeps to"):
            plain.configure(tls=True)


def test_serve_prints_the_path_of_its_authority():
    process = subprocess.Popen(
        [sys.executable, "-m", "mock_upstream", "serve", "--tls", "--latency", "1ms"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        ready = json.loads(process.stdout.readline())
        authority = Path(ready["ca"])
        trusting = ssl.create_default_context(cafile=authority)
        assert httpx.get(ready["url"], verify=trusting, trust_env=False).status_code == 200
        process.terminate()
        assert process.wait(20) == 0
    assert not authority.exists()


def a_plan(folder, **deployments):
    tables = {
        "name": "tls",
        "telemetry": False,
        "upstream": {"tls": True, "latency": "1ms"},
        "deployments": deployments,
        "requests": [{"path": "/external-data"}],
    }
    file = folder / "plan.toml"
    file.write_text(tomli_w.dumps(tables), encoding="utf-8")
    return plans.read(file)


def test_every_variant_trusts_the_mock_of_its_plan(tmp_path):
    plan = a_plan(tmp_path, **{name: {"variant": name} for name in variants.names()})
    statuses, connections = {}, {}
    with running(plan, tmp_path) as fleet:
        ledger = LedgerReader(fleet.mock.control)
        assert fleet.mock.url.startswith("https://")
        authority = fleet.mock.certificates.authority
        for name, deployed in fleet.deployments.items():
            before = ledger.read()["connections"]["accepted"]
            answers = [
                httpx.get(f"{deployed.url}/external-data", trust_env=False, timeout=60)
                for _ in range(CALLS)
            ]
            statuses[name] = {answer.status_code for answer in answers}
            connections[name] = ledger.read()["connections"]["accepted"] - before
        ledger.close()
    assert statuses == {name: {200} for name in variants.names()}
    assert connections == {
        name: CALLS if name in NEW_CONNECTIONS else 1 for name in variants.names()
    }
    assert not authority.exists()
    assert "PRIVATE KEY" not in "".join(
        file.read_text(encoding="utf-8") for file in tmp_path.rglob("*") if file.is_file()
    )


def test_a_command_gets_the_path_of_the_authority(tmp_path):
    code = (
        "import os, sys, http.server as s; print(sys.argv[2], os.environ['SSL_CERT_FILE'], "
        "os.environ['REQUESTS_CA_BUNDLE'], flush=True); "
        "s.test(s.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')"
    )
    service = {"command": ["python", "-c", code, "{port}", "{upstream_ca}"], "ready": "/"}
    with running(a_plan(tmp_path, own=service), tmp_path) as fleet:
        files = fleet.mock.certificates
        log = (tmp_path / "logs" / "own.log").read_text(encoding="utf-8")
        assert log.split()[:3] == [str(files.authority), str(files.bundle), str(files.bundle)]
        assert files.authority.read_bytes() in files.bundle.read_bytes()
        assert files.bundle.read_bytes().count(b"BEGIN CERTIFICATE") > 10


def test_a_plan_without_tls_has_no_authority_to_name(tmp_path):
    service = {"command": "serve --port {port} --ca {upstream_ca}"}
    with pytest.raises(PlanError, match=r"upstream_ca\} is there with .upstream. tls = true alone"):
        plans.altered(a_plan(tmp_path, own=service), upstream="tls = false")
