"""Phases and gauges, of services that are processes, with a real mock as their upstream."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any

import httpx
import pytest

import mock_upstream
from app_under_test.telemetry import sampler
from app_under_test.telemetry.address import Address, address
from app_under_test.telemetry.middleware import plausible
from app_under_test.telemetry.process import PROCESS
from app_under_test.telemetry.tracing import critical_path
from app_under_test.telemetry.upstream_timing import stay_in
from mock_upstream.client import Upstream
from tests.support.servers import reply, scripted_upstream

pytestmark = pytest.mark.processes

BEGUN = time.monotonic_ns()  # before all services here
DELAY = 30.0  # milliseconds
NAMES = ["total", "pre_app", "thread_wait", "pool_wait", "connect", "upstream", "loop_wait", "own"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with mock_upstream.running(f"{DELAY:g}ms") as running:
        yield running


class Service:
    def __init__(self, url: str, gauges: socket.socket) -> None:
        self.url = url
        self.gauges = gauges
        self.client = httpx.Client(timeout=30, trust_env=False)

    def ask(self, path: str, stamped: bool = True) -> httpx.Response:
        headers = {"x-sent-mono": str(time.monotonic_ns())} if stamped else {}
        return self.client.get(self.url + path, headers=headers)

    def phases(self, path: str) -> dict[str, float]:
        return phases(self.ask(path))

    def undisturbed(self, path: str, *, pool_waits: float = 0, **below: float) -> dict[str, float]:
        """
        Phases of an answer that a busy machine did not lengthen: these are below that. One that
        comes late to its pool does not wait there as long as it would.
        """
        for _ in range(20):
            told = self.phases(path)
            if told["pool_wait"] >= pool_waits and all(told[n] < most for n, most in below.items()):
                return told
        raise AssertionError(f"20 times not {pool_waits}, {below}, at last {told}")

    def told(self, until: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The first datagram of which that holds."""
        while True:
            datagram: dict[str, Any] = json.loads(self.gauges.recv(9000))
            if until(datagram):
                return datagram

    def now(self) -> dict[str, Any]:
        """What is sent once it has come to rest."""
        self.gauges.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self.gauges.recv(9000)
        self.gauges.settimeout(20)
        return self.told(lambda told: not told["in_flight"])


def phases(response: httpx.Response) -> dict[str, float]:
    """The phases in milliseconds; they must add up, and come in order."""
    [value] = response.headers.get_list("server-timing")
    told = {}
    for metric in value.split(", "):
        name, _, duration = metric.partition(";dur=")
        told[name] = float(duration)
    assert list(told) == [name for name in NAMES if name != "pre_app" or name in told]
    within = [round(told[name] * 1000) for name in NAMES[2:]]
    assert sum(within) == round(told["total"] * 1000)
    assert min(within) >= 0
    return told


@contextmanager
def serving(*command: str, **environment: str) -> Iterator[Service]:
    """`command` says where it listens, in a line of JSON."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiving:
        receiving.bind(("127.0.0.1", 0))
        receiving.settimeout(20)
        address = f"127.0.0.1:{receiving.getsockname()[1]}/some%20name"
        environment = {
            **os.environ,
            "BROWNOUT_TELEMETRY": address,
            **environment,
        }
        process = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=subprocess.PIPE, encoding="utf-8"
        )
        with process:
            try:
                assert process.stdout
                service = Service(json.loads(process.stdout.readline())["url"], receiving)
                with service.client:
                    yield service
            finally:
                process.terminate()


@contextmanager
def variant(*words: str) -> Iterator[Service]:
    with serving("-m", "app_under_test", *words) as service:
        yield service


SERVE = """
import json, socket, uvicorn
listener = socket.create_server(("127.0.0.1", 0))
config = uvicorn.Config("tests.support.telemetry_service:app", log_level="critical")
print(json.dumps({"url": "http://127.0.0.1:%d" % listener.getsockname()[1]}), flush=True)
uvicorn.Server(config).run([listener])
"""


@contextmanager
def somebodys(upstream: Upstream, **environment: str) -> Iterator[Service]:
    with serving("-c", SERVE, UPSTREAM=upstream.url, **environment) as service:
        yield service


@pytest.fixture(scope="module")
def narrow(upstream: Upstream) -> Iterator[Service]:
    """Each client has a pool of one connection."""
    with somebodys(upstream) as service:
        yield service


@pytest.fixture(scope="module")
def wide(upstream: Upstream) -> Iterator[Service]:
    with somebodys(upstream, POOL="9") as service:
        yield service


def test_every_answer_has_the_header_errors_too(narrow: Service) -> None:
    for path, status in (("/model", 200), ("/nowhere", 404), ("/unhandled", 500)):
        response = narrow.ask(path)
        assert response.status_code == status
        assert phases(response)["total"] > 0
    with scripted_upstream() as answering:
        words = ("--upstream", answering.url, "--timeout", "0.2")
        with variant("async-httpx2", *words) as service:
            for given, status in ((500, 502), (503, 503)):
                answering.reply = reply(given)
                response = service.ask("/external-data")
                assert response.status_code == status
                phases(response)
            answering.held = True
            response = service.ask("/external-data")
            answering.held = False
            assert response.status_code == 504
            assert phases(response)["upstream"] > 100


def test_time_before_the_app_needs_a_plausible_stamp(narrow: Service) -> None:
    told = narrow.phases("/model")
    assert 0 < told["pre_app"] < 20_000
    now = time.monotonic_ns()
    before_the_service, future = BEGUN, now + 10**12
    a_minute_ago = now - 60 * 10**9
    stamps = ("", "soon", "-5", "0", "1", "9" * 30)
    for stamp in (*stamps, str(before_the_service), str(a_minute_ago), str(future)):
        response = narrow.client.get(narrow.url + "/model", headers={"x-sent-mono": stamp})
        assert "pre_app" not in phases(response), stamp


def test_an_answer_to_a_request_without_a_stamp_has_no_header(narrow: Service) -> None:
    for path in ("/model", "/nowhere", "/gathered/httpx/2"):
        assert "server-timing" not in narrow.ask(path, stamped=False).headers


def test_every_request_is_traced_if_all_are_requested(upstream: Upstream) -> None:
    with somebodys(upstream, BROWNOUT_TELEMETRY="all") as service:
        told = phases(service.ask("/gathered/httpx/1", stamped=False))
        assert told["upstream"] >= DELAY
        assert "pre_app" not in told


@pytest.mark.parametrize("uptime", [5.0, 59.0, 601.0, 1e6])
@pytest.mark.parametrize("age", [0.0, 2.0, 300.0])
def test_stamps_before_the_process_or_older_than_a_minute_are_ignored(
    monkeypatch: pytest.MonkeyPatch, uptime: float, age: float
) -> None:
    monkeypatch.setattr(PROCESS, "started", max(uptime - age, 0.5))
    started = PROCESS.started
    for sent in (uptime, max(started, uptime - 60), uptime - min(1.0, uptime - started)):
        assert plausible(sent, uptime), sent
    for sent in (0.0, 1e-9, started - 0.001, uptime - 60.001, uptime + 0.001):
        assert not plausible(sent, uptime), sent


def test_two_threads_for_six_requests_show_waiting_for_a_thread(upstream: Upstream) -> None:
    words = ("blocking-requests", "--upstream", upstream.url, "--threads", "2")
    with variant(*words) as service, ThreadPoolExecutor(6) as users:
        service.undisturbed("/external-data", thread_wait=DELAY)
        for _ in range(20):
            told = list(users.map(service.phases, ["/external-data"] * 6))
            if all(one["pool_wait"] < DELAY for one in told):
                break
        else:
            raise AssertionError(f"20 times a request waited for the pool, at last {told}")
        assert max(one["thread_wait"] for one in told) > DELAY
        assert all(one["upstream"] >= DELAY for one in told)


def test_each_hop_to_a_thread_counts(narrow: Service) -> None:
    """A response model is validated in a second one."""
    with ThreadPoolExecutor(5) as users:
        holding = [users.submit(narrow.ask, "/held") for _ in range(4)]
        narrow.told(lambda datagram: datagram["threads"]["busy"] > 3.9)
        asking = users.submit(narrow.phases, "/model")
        narrow.told(lambda datagram: datagram["threads"]["waiting"] > 0.5)
        narrow.ask("/released")
        told = asking.result()
        assert told["thread_wait"] > 10
        assert told["thread_wait"] > told["loop_wait"]
        assert all(one.result().status_code == 200 for one in holding)


@pytest.mark.parametrize("library", ["httpx", "httpx2", "aiohttp"])
def test_calls_at_the_same_time_count_along_the_critical_path(
    narrow: Service, wide: Service, library: str
) -> None:
    # One connection: the last of three waited for the two before it.
    waits = 2 * DELAY - 1
    told = narrow.undisturbed(f"/gathered/{library}/3", pool_waits=waits, upstream=2 * DELAY)
    assert told["upstream"] >= DELAY
    # A connection for each: three calls take as long as one.
    told = wide.undisturbed(f"/gathered/{library}/3", upstream=2 * DELAY, pool_wait=DELAY)
    assert told["upstream"] >= DELAY
    # One after the other: none waits for another.
    told = wide.undisturbed(f"/in-turn/{library}/3", pool_wait=DELAY)
    assert told["upstream"] >= 3 * DELAY


@pytest.mark.parametrize("library", ["requests", "urllib3", "httpx-blocking"])
def test_a_blocking_client_waits_for_its_pool(narrow: Service, library: str) -> None:
    few = {"upstream": 2 * DELAY, "thread_wait": 2 * DELAY}
    told = narrow.undisturbed(f"/threads/{library}/3", pool_waits=2 * DELAY - 2, **few)
    assert told["upstream"] >= DELAY


def test_arguments_of_a_client_count_as_its_creation(wide: Service) -> None:
    def cost(part: str) -> float:
        before = wide.now()["counts"]
        assert wide.ask(f"/made-with/{part}", False).status_code == 200
        after = wide.now()["counts"]
        assert after["clients"] - before["clients"] == 1
        return after["client_seconds"] - before["client_seconds"]

    def least(part: str) -> float:
        return min(cost(part) for _ in range(5))

    alone = least("nothing")
    for part in ("transport", "context"):
        assert 0.2 * alone < least(part) < 5 * alone


def test_calls_and_connections_are_counted_as_the_upstream_sees_them(
    wide: Service, upstream: Upstream
) -> None:
    for stamped in (True, False):
        before, ledger = wide.now()["counts"], upstream.ledger()
        for library in ("httpx", "httpx2", "aiohttp"):
            assert wide.ask(f"/gathered/{library}/4", stamped).status_code == 200
        for library in ("requests", "urllib3", "httpx-blocking"):
            assert wide.ask(f"/threads/{library}/4", stamped).status_code == 200
        wide.ask("/again", stamped)
        after, arrived = wide.now()["counts"], upstream.ledger()
        counts = {name: after[name] - before[name] for name in after}
        opened = arrived.connections.accepted - ledger.connections.accepted
        assert counts["requests"] == counts["ended"] == 7
        assert counts["calls"] == arrived.arrivals - ledger.arrivals + 3  # that were refused
        assert counts["connects"] == opened
        assert counts["retried"] == 2
        assert counts["clients"] == 3
        assert counts["client_seconds"] > 0
        assert counts["traced"] == (7 if stamped else 0)
        assert counts["traced_calls"] == (counts["calls"] if stamped else 0)
        if stamped:
            assert opened > 0
            assert counts["call_seconds"] >= 24 * DELAY / 1000
            assert counts["thread_seconds"] >= 12 * DELAY / 1000
        else:
            assert counts["call_seconds"] == counts["thread_seconds"] == 0


def test_work_after_the_response_counts_as_use_of_its_thread(narrow: Service) -> None:
    before = narrow.now()["counts"]
    narrow.undisturbed("/answered-first/0.2", total=200)
    after = narrow.now()["counts"]
    assert after["thread_seconds"] - before["thread_seconds"] >= 0.2
    assert after["background_seconds"] - before["background_seconds"] >= 0.2


def test_the_outer_of_two_middlewares_counts(upstream: Upstream) -> None:
    with serving("-c", TWICE) as service:
        phases(service.ask("/"))
        service.ask("/", stamped=False)
        assert service.now()["counts"]["requests"] == 2


def test_own_work_is_the_cpu_of_the_request(narrow: Service) -> None:
    told = narrow.phases("/burnt/0.05")
    assert told["own"] >= 50
    told = narrow.phases("/blocked/0.05")
    assert told["own"] < 25
    assert told["loop_wait"] > 25


def test_telemetry_that_is_off_changes_nothing(upstream: Upstream) -> None:
    environment = {name: value for name, value in os.environ.items() if "BROWNOUT" not in name}
    words = (
        "import asyncio, tests.support.telemetry_service as it\n"
        "from threading import enumerate\n"
        "print(asyncio.run(it.same()), it.app.on, len(enumerate()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", words],
        env={**environment, "UPSTREAM": upstream.url},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout.strip() == "['anyio', 'httpx', 'aiohttp', 'urllib3'] False 1"


def test_an_address_that_cannot_be_read_is_named() -> None:
    for text in ("yes", "127.0.0.1:0/a", "127.0.0.1:9", ":9/a", "127.0.0.1:x/a", "127.0.0.1:9/"):
        with pytest.raises(ValueError, match=re.escape(f"BROWNOUT_TELEMETRY is {text!r}")):
            address({"BROWNOUT_TELEMETRY": text})
    assert address({"BROWNOUT_TELEMETRY": "1"}) is None
    assert address({"BROWNOUT_TELEMETRY": "all"}) is None
    assert address({"BROWNOUT_TELEMETRY": "[::1]:9/a%2Fb"}) == Address("::1", 9, "a/b")
    assert address({"BROWNOUT_TELEMETRY": "h:9/a%2Fb/s-e"}) == Address("h", 9, "a/b", "s-e")


def test_each_worker_reports_its_own_gauges(upstream: Upstream) -> None:
    with variant("async-aiohttp", "--upstream", upstream.url, "--workers", "2") as service:
        pids: set[int] = set()
        first = service.told(lambda told: pids.add(told["pid"]) or len(pids) == 2)
        assert first["format"] == "brownout-gauges/1"
        assert first["deployment"] == "some name"
        assert first["threads"]["total"] == 40
        assert first["cpu"] >= first["loop"]["cpu"] > 0


def test_a_blocked_loop_is_reported_while_it_is_blocked(narrow: Service) -> None:
    with ThreadPoolExecutor(1) as users:
        request = users.submit(narrow.ask, "/blocked/1.5")
        seen = narrow.told(lambda told: told["loop"]["worst"] > 0.3)
        assert not request.done()
        assert seen["loop"]["lag"] > 0.05
        assert seen["in_flight"] > 0


def test_a_pool_that_is_too_small_is_reported(narrow: Service) -> None:
    with ThreadPoolExecutor(1) as users:
        request = users.submit(narrow.ask, "/gathered/httpx2/60")
        seen = narrow.told(lambda told: any(pool["waiting"] > 1 for pool in told["pools"]))
        busiest = seen["pools"][0]
        assert (busiest["client"], busiest["limit"]) == ("httpx2", 1)
        assert 0 < busiest["used"] <= 1
        assert request.result().status_code == 200


def test_the_upstream_time_is_read_from_server_timing(upstream: Upstream) -> None:
    stay = stay_in(httpx.get(upstream.url).headers["server-timing"])
    assert stay is not None
    assert stay >= DELAY / 1000
    for other in (None, "", "db;dur=5", "asked;dur=5", "asked;dur=x, a;dur=1, b;dur=1, c;dur=1"):
        assert stay_in(other) is None
    assert stay_in("asked;dur=nan, queue;dur=0, service;dur=nan, late;dur=0") is None


def test_the_critical_path_goes_back_from_the_last_end() -> None:
    class Span:
        def __init__(self, begin: float, finished: float | None) -> None:
            self.begin, self.finished = begin, finished

        def waits(self) -> tuple[float, float, float, float]:
            assert self.finished is not None
            return 0.0, 0.0, 0.0, self.finished - self.begin

    assert critical_path([])[3] == 0
    assert critical_path([Span(0, 1), Span(1, 3), Span(4, 5)])[3] == 4
    assert critical_path([Span(0, 1), Span(0, 3), Span(0, 2)])[3] == 3
    assert critical_path([Span(0, 1), Span(0.5, 2), Span(2, 4), Span(3, 3.5)])[3] == 3.5
    assert critical_path([Span(0, 1), Span(0, None)])[3] == 1


TWICE = """
import json, socket, uvicorn
from app_under_test.telemetry import Telemetry

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})

listener = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"url": "http://127.0.0.1:%d" % listener.getsockname()[1]}), flush=True)
app = Telemetry(Telemetry(app))
uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical")).run([listener])
"""


BOUNDED = """
import asyncio, json, socket, uvicorn
from app_under_test.telemetry import Telemetry

shared = asyncio.Semaphore(2)

async def call(places):
    async with places:
        await asyncio.sleep(0.1)

async def app(scope, receive, send):
    places = shared if scope["path"] == "/shared" else asyncio.Semaphore(2)
    await asyncio.gather(*(call(places) for _ in range(6)))
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})

listener = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"url": "http://127.0.0.1:%d" % listener.getsockname()[1]}), flush=True)
uvicorn.Server(uvicorn.Config(Telemetry(app), lifespan="off", log_level="critical")).run([listener])
"""


def test_a_semaphore_counts_as_a_pool_only_if_requests_share_it() -> None:
    with serving("-c", BOUNDED) as service:
        assert service.phases("/own")["pool_wait"] == 0
        service.undisturbed("/shared", pool_waits=198)  # two turns before the last
        seen = service.told(lambda told: any(pool["waiting"] for pool in told["pools"]))
        [pool] = seen["pools"]
        assert (pool["client"], pool["limit"]) == ("semaphore", 2)
        assert 0 < pool["used"] <= 2


def test_an_impossible_upstream_time_is_unknown():
    for value in ("inf", "1e300", "-1", "nan", "1e9"):
        assert stay_in(f"asked;dur={value}, queue;dur=0, service;dur=0, late;dur={value}") is None


def test_the_socket_of_the_gauges_refuses_datagrams(monkeypatch) -> None:
    monkeypatch.setattr(sampler, "TICK", 0.001)
    with (
        closing(asyncio.new_event_loop()) as loop,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
    ):
        collector.bind(("127.0.0.1", 0))
        host, port = collector.getsockname()
        gauges = sampler.GaugeSampler(Address(host, port, "mine"), sampler.Loop(loop), None)
        gauges.start()
        try:
            _, sender = collector.recvfrom(9000)
            stranger.connect(sender)
            stranger.settimeout(10)
            stranger.send(b"{}")
            with pytest.raises(ConnectionRefusedError):
                stranger.recv(1)
        finally:
            gauges.stop()
            gauges.join()
