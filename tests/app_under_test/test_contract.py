"""Every variant answers the same paths, and differs in how it calls the upstream alone."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_under_test import variants
from app_under_test.settings import Settings
from app_under_test.variants.retrying_httpx2 import retry_after
from tests.support.servers import (
    Callers,
    Reply,
    ScriptedUpstream,
    answers,
    callers,
    eventually,
    reply,
    scripted_upstream,
    serving,
    together,
    variant_app,
)

pytestmark = pytest.mark.processes

VARIANTS = variants.names()
BLOCKING = ["blocking-in-async", "blocking-per-request", "blocking-requests"]
ONE_BY_ONE = [*BLOCKING, "sequential-httpx"]  # several calls of one request
UNBOUNDED = [variant for variant in VARIANTS if variant not in (*BLOCKING, "bounded-httpx")]
PER_REQUEST = ["blocking-per-request", "client-per-request"]
SHARING = [variant for variant in VARIANTS if variant not in PER_REQUEST]


@contextmanager
def service(variant: str, **settings: object) -> Iterator[tuple[Callers, ScriptedUpstream]]:
    with scripted_upstream() as upstream:
        app = variant_app(variant, upstream.url + "/prefix", Settings(**settings))
        with serving(app) as url, callers(url) as users:
            yield users, upstream


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def served(variant: str) -> Iterator[tuple[Callers, ScriptedUpstream]]:
    with service(variant) as pair:
        yield pair


@pytest.fixture
def users(served: tuple[Callers, ScriptedUpstream]) -> Callers:
    return served[0]


@pytest.fixture
def upstream(served: tuple[Callers, ScriptedUpstream]) -> ScriptedUpstream:
    served[1].reset()
    return served[1]


def test_every_variant_answers_the_contract(users: Callers, upstream: ScriptedUpstream) -> None:
    upstream.reply = reply(201, '{"price": [1, "\\u00e4"]}')
    assert users.get("/external-data").json() == {"price": [1, "ä"]}
    assert upstream.paths == ["/prefix/external-data"]

    upstream.paths.clear()
    both = {"one": {"price": [1, "ä"]}, "two": {"price": [1, "ä"]}}
    assert users.get("/data").json() == both
    assert sorted(upstream.paths) == ["/prefix/one", "/prefix/two"]

    upstream.paths.clear()
    assert users.get("/fan-out/3").json() == {"statuses": [201, 201, 201]}
    assert sorted(upstream.paths) == [f"/prefix/item/{i}" for i in range(3)]

    upstream.paths.clear()
    assert users.get("/health").json() == users.get("/health-sync").json() == {"ok": True}
    for path in ("/fan-out/0", "/fan-out/1001", "/fan-out/3?max_concurrent=0", "/fan-out/x"):
        assert users.get(path).status_code == 422, path
    assert upstream.paths == []


def test_each_variant_has_its_gauges() -> None:
    with service("async-httpx2", threads=7) as (users, _):
        gauges = users.get("/telemetry").json()
        assert gauges["threads"] == {"total": 7, "borrowed": 0, "waiting": 0}
        assert gauges["pid"] > 0
        assert gauges["cpu"] > 0
        assert gauges["rss"] > 1e6
        assert gauges["uptime"] > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_routes_of_variants_differ_only_in_their_client(variant: str) -> None:
    """A response model or a dependency would send `def` routes to the thread queue again."""
    app = variants.create_app(variant, "http://127.0.0.1:9", Settings())
    reference = variants.create_app("async-httpx", "http://127.0.0.1:9", Settings())
    assert app.openapi() == reference.openapi()


@pytest.mark.parametrize(
    ("variant", "connections"),
    [("blocking-requests", 40), ("blocking-per-request", 60)],  # opened once, or for each call
)
def test_threads_serve_40_callers_and_20_others_wait(variant: str, connections: int) -> None:
    with service(variant) as (users, upstream):
        upstream.held = True
        started = users.start("/external-data", times=60)
        eventually(lambda: users.get("/telemetry").json()["threads"]["waiting"] == 20)
        eventually(lambda: upstream.in_flight == 40)
        assert users.get("/health").status_code == 200
        upstream.held = False
        assert answers(started) == [(200, {"ok": True})] * 60
        assert upstream.peak == 40
        assert upstream.connections == connections


def test_blocking_in_async_serves_one_call_at_a_time_and_blocks_every_route() -> None:
    with service("blocking-in-async") as (users, upstream):
        upstream.held = True
        started = users.start("/external-data", times=20)
        eventually(lambda: upstream.in_flight == 1)
        with pytest.raises(httpx.ReadTimeout):
            users.get("/health", timeout=0.5)
        upstream.held = False
        assert answers(started) == [(200, {"ok": True})] * 20
        assert upstream.peak == 1


def test_async_variants_serve_more_callers_than_threads() -> None:
    patient = {
        "timeout": 200,
        "connect_timeout": 200,
    }  # a client is made in seconds on a busy machine

    def check(variant: str) -> None:
        with service(variant, threads=4, **patient) as (users, upstream):
            upstream.held = True
            started = users.start("/external-data", times=9)
            eventually(lambda: upstream.in_flight == 9, 100)
            assert users.get("/health-sync").status_code == 200
            upstream.held = False
            assert answers(started) == [(200, {"ok": True})] * 9

    together(check, UNBOUNDED)


def test_several_calls_are_gathered_or_made_one_by_one(
    variant: str, users: Callers, upstream: ScriptedUpstream
) -> None:
    upstream.held = True
    started = users.start("/data")
    at_once = 1 if variant in ONE_BY_ONE else 2
    eventually(lambda: upstream.in_flight == at_once)
    upstream.held = False
    assert answers(started)[0][0] == 200
    assert upstream.peak == at_once


def test_fan_out_never_exceeds_its_bound(
    variant: str, users: Callers, upstream: ScriptedUpstream
) -> None:
    upstream.held = True
    started = users.start("/fan-out/9?max_concurrent=3")
    at_once = 1 if variant in ONE_BY_ONE else 3
    eventually(lambda: upstream.in_flight == at_once)
    upstream.held = False
    assert answers(started) == [(200, {"statuses": [200] * 9})]
    assert upstream.peak == at_once


def test_a_shared_client_uses_its_connections_again() -> None:
    def check(variant: str) -> None:
        with service(variant) as (users, upstream):
            for _ in range(3):
                answers(users.start("/external-data", times=10))
            assert len(upstream.paths) == 30
            assert upstream.connections <= 10

    together(check, SHARING)


@pytest.mark.parametrize("variant", PER_REQUEST)
def test_a_client_per_request_opens_a_connection_for_each_call(variant: str) -> None:
    with service(variant) as (users, upstream):
        for _ in range(5):
            users.get("/external-data")
        assert upstream.connections == len(upstream.paths) == 5


@pytest.mark.parametrize(
    ("variant", "keeps"), [("async-httpx", False), ("async-httpx2", True), ("async-aiohttp", True)]
)
def test_httpx_keeps_no_connection_alive_above_20(variant: str, keeps: bool) -> None:
    with service(variant) as (users, upstream):
        for _ in range(2):
            upstream.held = True
            started = users.start("/external-data", times=30)
            eventually(lambda: upstream.in_flight == 30)
            upstream.held = False
            answers(started)
        # Of 30 that end together, httpx closes those that end while more than 20 are open.
        assert (upstream.connections == 30) == keeps


def test_the_environments_proxy_is_not_the_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with service("blocking-per-request") as (users, _):
        assert users.get("/external-data").json() == {"ok": True}


@pytest.mark.parametrize(
    ("variant", "in_flight"), [("bounded-httpx", 4), ("semaphore-per-request", 8)]
)
def test_a_semaphore_made_in_the_handler_bounds_one_request_only(
    variant: str, in_flight: int
) -> None:
    with service(variant, max_concurrent=4) as (users, upstream):
        upstream.held = True
        started = users.start("/fan-out/9", times=2)
        eventually(lambda: upstream.in_flight == in_flight)
        upstream.held = False
        assert answers(started) == [(200, {"statuses": [200] * 9})] * 2
        assert upstream.peak == in_flight
        assert len(upstream.paths) == 18


def test_bounded_httpx_refuses_calls_beyond_its_queue_at_once() -> None:
    with service("bounded-httpx", max_concurrent=4, max_queue=3) as (users, upstream):
        upstream.held = True
        started = users.start("/external-data", times=10)
        eventually(lambda: upstream.in_flight == 4)
        eventually(lambda: sum(request.done() for request in started) == 3)
        for refused in (request.result() for request in started if request.done()):
            assert (refused.status_code, refused.json()["error"]) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) >= 1
        upstream.held = False
        assert sorted(status for status, _ in answers(started)) == [200] * 7 + [503] * 3
        assert upstream.peak == 4
        assert len(upstream.paths) == 7
        assert users.get("/external-data").status_code == 200  # the places were given back


def test_bounded_httpx_limits_the_wait_for_a_call() -> None:
    with service("bounded-httpx", max_concurrent=1, pool_timeout=0.1) as (users, upstream):
        upstream.held = True
        started = users.start("/external-data", times=2)
        eventually(lambda: any(request.done() for request in started))
        upstream.held = False
        assert sorted(status for status, _ in answers(started)) == [200, 503]
        assert len(upstream.paths) == 1
        assert users.get("/external-data").status_code == 200


def test_one_request_never_fills_the_queue_of_bounded_httpx_by_itself() -> None:
    with service("bounded-httpx", max_concurrent=2, max_queue=0) as (users, upstream):
        for query in ("", "?max_concurrent=7"):
            assert users.get(f"/fan-out/9{query}").json() == {"statuses": [200] * 9}
        assert upstream.peak <= 2


def test_retrying_naive_repeats_every_kind_of_failure() -> None:
    with service("retrying-naive", attempts=4) as (users, upstream):
        for fault in (reply(400), reply(500), reply(body="<html>"), Reply(b"", "reset")):
            upstream.reset()
            upstream.reply = fault
            assert users.get("/external-data").status_code == 502
            assert len(upstream.paths) == 4
        upstream.reset()
        upstream.first = [reply(500), Reply(b"", "close")]
        assert users.get("/external-data").status_code == 200
        assert len(upstream.paths) == 3


@pytest.fixture(scope="module")
def retrying() -> Iterator[tuple[Callers, ScriptedUpstream]]:
    with service("retrying-httpx2") as pair:
        yield pair


@pytest.mark.parametrize(
    ("first", "calls"),
    [
        (reply(502), 2),
        (reply(503), 2),
        (reply(504), 2),
        (Reply(b"", "reset"), 2),
        (Reply(b"", "close"), 2),
        (reply(400), 1),
        (reply(429), 1),
        (reply(500), 1),
        (reply(body="<html>"), 1),
        (reply(503, retry_after="17"), 1),  # beyond the deadline
    ],
    ids=lambda value: value.data[9:12].decode() or value.then if isinstance(value, Reply) else None,
)
def test_retrying_httpx2_repeats_calls_that_can_succeed_later(
    retrying: tuple[Callers, ScriptedUpstream], first: Reply, calls: int
) -> None:
    users, upstream = retrying
    upstream.reset()
    upstream.first = [first]
    succeeds = users.get("/external-data").status_code == 200
    assert (succeeds, len(upstream.paths)) == (calls == 2, calls)


def test_retrying_httpx2_waits_for_the_time_in_retry_after() -> None:
    with service("retrying-httpx2") as (users, upstream):
        upstream.first = [reply(503, retry_after="1")]
        begin = time.monotonic()
        assert users.get("/external-data").status_code == 200
        assert time.monotonic() - begin >= 1
        assert len(upstream.paths) == 2


@pytest.mark.parametrize(("budget", "least", "most"), [(0.0, 0, 0), (0.1, 10, 20)])
def test_retrying_httpx2_stops_at_its_retry_budget(budget: float, least: int, most: int) -> None:
    """A tenth of the 100 calls, and the ten that were saved up before."""
    with service("retrying-httpx2", retry_budget=budget) as (users, upstream):
        upstream.reply = reply(503)
        assert {status for status, _ in answers(users.start("/external-data", times=100))} == {503}
        assert least <= len(upstream.paths) - 100 <= most


def test_retrying_httpx2_makes_at_most_its_number_of_attempts() -> None:
    with service("retrying-httpx2", attempts=3) as (users, upstream):
        upstream.reply = reply(502)
        assert users.get("/external-data").status_code == 502
        assert len(upstream.paths) == 3


@given(st.text(st.characters(exclude_categories=["C"])) | st.integers().map(str))
def test_a_retry_after_that_means_nothing_is_no_pause(text: str) -> None:
    response = httpx2.Response(503, headers=[(b"Retry-After", text.encode())])
    assert retry_after(response) >= 0


@given(st.integers(0, 10**6), st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))
def test_retry_after_is_seconds_or_a_date(seconds: int, date: datetime) -> None:
    assert retry_after(httpx2.Response(503, headers={"Retry-After": f"{seconds}"})) == seconds
    date = date.replace(microsecond=0, tzinfo=UTC)
    text = format_datetime(date, usegmt=True)
    before = date.timestamp() - time.time()
    asked = retry_after(httpx2.Response(503, headers={"Retry-After": text}))
    assert asked <= max(0, before)
    assert asked >= max(0, date.timestamp() - time.time())


def test_no_caller_gets_another_callers_cookies(users: Callers, upstream: ScriptedUpstream) -> None:
    upstream.reply = reply(set_cookie="session=alice; Path=/")
    users.get("/external-data")
    users.get("/external-data")
    assert not any("cookie" in head.lower() for head in upstream.heads)


def test_an_unknown_variant_is_refused_with_a_list_of_the_known_ones() -> None:
    with pytest.raises(LookupError, match=r"no variant 'nope'; there are: async-aiohttp, .*"):
        variants.create_app("nope", "http://127.0.0.1:9", Settings())
