"""The load generator connects to the plan's hosts, and nowhere else, whatever asks for it."""

import socket
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from loadtests import results
from loadtests.engine.egress import LONGEST, MOST, OTHERS, Egress, HostNotAllowed
from loadtests.engine.failures import kind_of
from tests.support.brownout_runs import called
from tests.support.packets import RESOLVER, isolated
from tests.support.servers import serving

ALLOWED = ["Staging.example.org", "192.0.2.5", "2001:db8::5"]


def connects(egress, host, event="socket.connect", family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        egress.audit(event, (asking, (host, 80)))


@pytest.mark.parametrize("event", ["socket.connect", "socket.sendto", "socket.sendmsg"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "192.0.2.5", "staging.example.org."])
def test_connections_to_the_plans_hosts_pass(event, host):
    egress = Egress(ALLOWED)
    connects(egress, host, event)
    assert egress.drain() == {}


@pytest.mark.parametrize("event", ["socket.connect", "socket.sendto", "socket.sendmsg"])
@pytest.mark.parametrize("host", ["192.0.2.6", "127.0.0.2", "0.0.0.0", "example.org", ""])
def test_connections_to_other_hosts_are_refused(event, host):
    egress = Egress(ALLOWED)
    with pytest.raises(HostNotAllowed, match=f"host not allowed: {host}"):
        connects(egress, host, event)
    assert egress.drain() == {host: 1}


LOOKUPS = {
    "socket.getaddrinfo": lambda host: (host, 80, 0, 0, 0),
    "socket.gethostbyname": lambda host: (host,),
    "socket.gethostbyaddr": lambda host: (host,),
    "socket.getnameinfo": lambda host: ((host, 80),),
}


@pytest.mark.parametrize("event", ["socket.getaddrinfo", "socket.gethostbyname"])
def test_a_number_needs_no_look_up(event):
    Egress([]).audit(event, LOOKUPS[event]("192.0.2.6"))


@pytest.mark.parametrize("event", ["socket.gethostbyaddr", "socket.getnameinfo"])
def test_the_names_of_other_addresses_are_not_asked_for(event):
    egress = Egress(ALLOWED)
    egress.audit(event, LOOKUPS[event]("192.0.2.5"))
    with pytest.raises(HostNotAllowed):
        egress.audit(event, LOOKUPS[event]("192.0.2.6"))


@pytest.mark.parametrize("address", [(2, 1234), ("eth0", 0x800), b"\x00", "name"])
def test_sockets_of_other_families_are_refused(address):
    vsock = SimpleNamespace(family=40)  # it leads to the host of a virtual machine
    with pytest.raises(HostNotAllowed):
        Egress([]).audit("socket.connect", (vsock, address))


def test_an_address_is_the_same_in_each_of_its_spellings():
    egress = Egress(ALLOWED)
    for host in ("2001:DB8:0::5", "2001:db8::5%lo", "::ffff:192.0.2.5", "::1"):
        connects(egress, host, family=socket.AF_INET6)
    with pytest.raises(HostNotAllowed):
        connects(egress, "::ffff:192.0.2.6", family=socket.AF_INET6)
    assert egress.drain() == {"192.0.2.6": 1}


@pytest.mark.parametrize("event", LOOKUPS)
def test_names_of_other_hosts_are_not_looked_up(event):
    egress = Egress(ALLOWED)
    for host in ("staging.example.org", b"STAGING.example.org", socket.gethostname(), None):
        egress.audit(event, LOOKUPS[event](host))
    egress.audit(event, LOOKUPS[event]("::1"))
    for host in ("example.org", b"example.org", "xstaging.example.org", "0x7f.1", "2130706433"):
        with pytest.raises(HostNotAllowed):
            egress.audit(event, LOOKUPS[event](host))
    assert egress.drain() == {
        "example.org": 2,
        "xstaging.example.org": 1,
        "0x7f.1": 1,
        "2130706433": 1,
    }


def test_the_addresses_of_an_allowed_name_are_allowed_and_those_of_others_are_not():
    egress = Egress(ALLOWED)
    egress.learn("staging.example.org", ["192.0.2.7", "2001:db8::7"])
    egress.learn(socket.gethostname(), ["192.0.2.8"])
    connects(egress, "192.0.2.7")
    connects(egress, "2001:db8::7", family=socket.AF_INET6)
    with pytest.raises(HostNotAllowed):
        connects(egress, "192.0.2.8")


def test_a_name_of_this_machine_that_leads_elsewhere_later_is_not_followed():
    egress = Egress([], ["shop.test", "127.0.0.1"])
    egress.check_name("shop.test")
    egress.learn("shop.test", ["127.0.0.9", "192.0.2.7"])
    connects(egress, "127.0.0.9")
    with pytest.raises(HostNotAllowed):
        connects(egress, "192.0.2.7")
    assert egress.drain() == {"192.0.2.7": 1}


def test_a_typed_name_can_be_resolved_but_not_reached():
    egress = Egress([])
    for url in ("http://example.org:80/", "no URL", "http://[", ""):
        egress.allow_lookup(url)
    egress.check_name("example.org")
    egress.learn("example.org", ["192.0.2.7"])
    for host in ("example.org", "192.0.2.7"):
        with pytest.raises(HostNotAllowed):
            connects(egress, host)
    with pytest.raises(HostNotAllowed):
        egress.check_name("no url")


def test_loopback_connections_are_always_allowed():
    egress = Egress([])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
        egress.audit("socket.connect", (local, "/run/some.sock"))
        egress.audit("socket.sendmsg", (local, None))
    egress.audit("socket.bind", (local, ("0.0.0.0", 0)))
    egress.audit("open", ("/etc/hosts", "r", 0))
    assert egress.drain() == {}


@pytest.mark.parametrize("odd", ["[/red]", "\x1b[2J", "<b>", "|", "`", "\u202e", "\n", '"'])
def test_a_host_is_shown_without_what_has_a_meaning_elsewhere(odd):
    egress = Egress([])
    with pytest.raises(HostNotAllowed) as refused:
        egress.check_name(f"example.org{odd}größe")
    kind = kind_of(refused.value, None)
    assert kind.startswith("host not allowed: example.org?")
    assert kind.endswith("größe")
    assert list(egress.drain()) == [kind.removeprefix("host not allowed: ")]
    assert odd not in kind


def test_endless_names_are_counted_together():
    egress = Egress([])
    for number in range(3 * MOST):
        with pytest.raises(HostNotAllowed) as refused:
            egress.check_name(f"host{number}." + "x" * 1000)
    assert kind_of(refused.value, None) == f"host not allowed: {OTHERS}"
    counts = egress.drain()
    assert len(counts) == MOST + 1
    assert counts[OTHERS] == 2 * MOST
    assert all(len(name) <= LONGEST for name in counts)


TASKS = """
import _socket
import socket

import gevent
import requests
from locust import FastHttpUser, HttpUser, constant

OTHER, NAME = {other!r}, "stranger.example.org"
HOST, PORT = OTHER.removeprefix("http://").split(":")


def refused(attempt, *args):
    try:
        attempt(*args)
    except Exception as error:
        assert "host not allowed" in repr(error), repr(error)
    else:
        raise AssertionError(attempt, args)


def datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", (HOST, int(PORT)))


def connected(kind, ask):
    made = kind(socket.AF_INET, socket.SOCK_STREAM)
    try:
        getattr(made, ask)((HOST, int(PORT)))
    finally:
        made.close()


if {tried}:
    refused(socket.create_connection, (HOST, int(PORT)), 5)
    refused(connected, socket.socket, "connect")
    refused(connected, socket.socket, "connect_ex")
    refused(connected, _socket.socket, "connect")
    refused(gevent.get_hub().threadpool.apply, connected, (_socket.socket, "connect"))
    refused(datagram)
    for look_up in (socket.gethostbyname, socket.gethostbyname_ex, socket.gethostbyaddr):
        refused(look_up, NAME)
    refused(socket.getaddrinfo, NAME, 80)
    refused(_socket.getaddrinfo, NAME, 80)
    refused(requests.get, "https://" + NAME)
    refused(requests.get, OTHER)


def plan(user):
    user.client.get("/here")


def redirect(user):
    user.client.get("/redirected", name="redirected")


def absolute(user):
    user.client.get(OTHER + "/absolute", name="absolute")


class Slow(HttpUser):
    tasks = [plan, redirect, absolute]
    wait_time = constant(0.02)


class Fast(FastHttpUser):
    tasks = [plan, redirect, absolute]
    wait_time = constant(0.02)
"""


def made(folder, target, other, allowed=()):
    """The folder with a plan for `target` and a locustfile that tries to reach `other`."""
    (folder / "own.py").write_text(TASKS.format(other=other, tried=not allowed), encoding="utf-8")
    (folder / "plan.toml").write_text(
        f'name = "tasks"\nlocustfile = "own.py"\nallow_hosts = {list(allowed)!r}\n'
        f'[deployments.one]\n{target}\n[load]\nlevels = [4]\nsettle = "0s"\nmeasure = "2s"\n',
        encoding="utf-8",
    )
    return folder


class Service:
    """Redirects to the other host; counts what comes."""

    def __init__(self, other):
        self.other = other
        self.paths = Counter()

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        self.paths[scope["path"]] += 1
        redirected = scope["path"] == "/redirected"
        headers = [(b"location", f"{self.other}/elsewhere".encode())] if redirected else []
        status = 302 if redirected else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"1"})


@contextmanager
def another_host():
    """The URL of a server at an address that is not the plan's, and what came to it."""
    paths = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            paths[self.path] += 1
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_): ...

    with ThreadingHTTPServer(("127.0.0.2", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.2:{server.server_port}", paths
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.processes
@pytest.mark.parametrize("processes", [1, 2])
def test_nothing_reaches_a_host_that_the_plan_does_not_name(tmp_path, processes):
    with another_host() as (other, arrived):
        service = Service(other)
        with serving(service) as url:
            made(tmp_path, f'url = "{url}"', other)
            words = ("run", "plan.toml", "--processes", str(processes))
            _, invocation = called(*words, cwd=tmp_path)
    assert not arrived
    assert set(service.paths) == {"/here", "/redirected"}
    run = invocation.run()
    assert run.status == "complete"
    kind = "host not allowed: 127.0.0.2"
    kinds = {point.request: dict(point.errors.kinds) for point in run.points}
    assert kinds["/here"] == {}
    assert set(kinds["redirected"]) == set(kinds["absolute"]) == {kind}
    for host in ("127.0.0.2", "stranger.example.org"):  # each of them once
        (problem,) = [text for text in run.problems if f"host not allowed: {host}." in text]
        assert f'allow_hosts = ["{host}"]' in problem


@pytest.mark.processes
def test_a_host_that_the_plan_names_is_reached(tmp_path):
    with another_host() as (other, arrived):
        service = Service(other)
        with serving(service) as url:
            made(tmp_path, f'url = "{url}"', other, allowed=["127.0.0.2"])
            code, invocation = called("run", "plan.toml", cwd=tmp_path)
    assert code in (0, 3), invocation.output  # 3: other work on this machine
    assert set(arrived) == {"/elsewhere", "/absolute"}
    assert not any("not allowed" in text for text in invocation.run().problems)


@pytest.mark.processes
def test_no_packet_leaves_the_machine(tmp_path):
    made(tmp_path, 'variant = "async-aiohttp"', "http://192.0.2.9:80")
    words = (sys.executable, "-P", "-m", "loadtests", "run", "plan.toml")
    ended = isolated(tmp_path, words)
    if isinstance(ended, str):
        pytest.skip(ended)
    _, output, packets = ended
    run = results.read(tmp_path / output.split()[-1])
    assert run.status == "complete"
    assert any("host not allowed: 192.0.2.9." in text for text in run.problems)
    assert packets == {}


@pytest.mark.processes
def test_packets_that_leave_the_machine_are_seen(tmp_path):
    asks = """
import socket
try:
    socket.create_connection(("stranger.example.org", 80), timeout=1)
except OSError:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("192.0.2.9", 80))
"""
    ended = isolated(tmp_path, (sys.executable, "-c", asks))
    if isinstance(ended, str):
        pytest.skip(ended)
    assert ended[0] == 0
    assert {"192.0.2.9", RESOLVER} <= set(ended[2])


NAMED = """
import locust
import socket
from loadtests.engine import egress

guard = egress.install(["shop.test"], [])
with socket.create_server(("192.0.2.9", 8000)):
    for _ in range(2):
        socket.create_connection(("shop.test", 8000), timeout=10).close()
    socket.create_connection((socket.gethostbyname("shop.test"), 8000), timeout=10).close()
    for host in ("stranger.test", "192.0.2.10"):  # the first is the same address
        try:
            socket.create_connection((host, 8000), timeout=10)
        except egress.HostNotAllowed as error:
            print(error.kind)
print(guard.drain())
"""


@pytest.mark.processes
def test_a_named_host_is_reached_at_the_addresses_of_its_name(tmp_path):
    (tmp_path / "names").write_text("192.0.2.9 shop.test stranger.test\n", encoding="utf-8")
    ended = isolated(tmp_path, (sys.executable, "-P", "-c", NAMED))
    if isinstance(ended, str):
        pytest.skip(ended)
    code, output, packets = ended
    assert code == 0, output
    assert output.splitlines()[:2] == [
        "host not allowed: stranger.test",
        "host not allowed: 192.0.2.10",
    ]
    assert "{'stranger.test': 1, '192.0.2.10': 1}" in output
    assert set(packets) == {"192.0.2.9"}
