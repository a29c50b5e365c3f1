"""Every variant answers the same paths, and differs in how it calls the upstream alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from app_under_test import variants
from app_under_test.settings import Settings
from tests.servers import (
    Callers,
    ScriptedUpstream,
    answers,
    callers,
    eventually,
    reply,
    scripted_upstream,
    serving,
)

VARIANTS = variants.names()
BLOCKING = ["blocking-in-async", "blocking-per-request", "blocking-requests"]
ONE_BY_ONE = [*BLOCKING, "sequential-httpx"]  # several calls of one request
UNBOUNDED = [variant for variant in VARIANTS if variant not in (*BLOCKING, "bounded-httpx")]
PER_REQUEST = ["blocking-per-request", "client-per-request"]
SHARING = [variant for variant in VARIANTS if variant not in PER_REQUEST]


@contextmanager
def service(variant: str, **settings: object) -> Iterator[tuple[Callers, ScriptedUpstream]]:
    with scripted_upstream() as upstream:
        app = variants.create_app(variant, upstream.url + "/prefix", Settings(**settings))
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


def test_the_gauges_are_there() -> None:
    with service("async-httpx2", threads=7) as (users, _):
        gauges = users.get("/telemetry").json()
        assert gauges["threads"] == {"total": 7, "borrowed": 0, "waiting": 0}
        assert gauges["pid"] > 0
        assert gauges["cpu"] > 0
        assert gauges["rss"] > 1e6
        assert gauges["uptime"] > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_route_differs_in_more_than_its_client(variant: str) -> None:
    """A response model or a dependency would send `def` routes to the thread queue again."""
    app = variants.create_app(variant, "http://127.0.0.1:9", Settings())
    reference = variants.create_app("async-httpx", "http://127.0.0.1:9", Settings())
    assert app.openapi() == reference.openapi()


def test_blocking_requests_holds_40_callers_and_the_other_20_wait_for_a_thread() -> None:
    with service("blocking-requests") as (users, upstream):
        upstream.held = True
        started = users.start("/external-data", times=60)
        eventually(lambda: users.get("/telemetry").json()["threads"]["waiting"] == 20)
        eventually(lambda: upstream.in_flight == 40)
        assert users.get("/health").status_code == 200
        upstream.held = False
        assert answers(started) == [(200, {"ok": True})] * 60
        assert upstream.peak == 40
        assert upstream.connections == 40  # none was thrown away and opened again


def test_blocking_in_async_calls_one_at_a_time_and_stops_every_route() -> None:
    with service("blocking-in-async") as (users, upstream):
        upstream.held = True
        started = users.start("/external-data", times=20)
        eventually(lambda: upstream.in_flight == 1)
        with pytest.raises(httpx.ReadTimeout):
            users.get("/health", timeout=0.5)
        upstream.held = False
        assert answers(started) == [(200, {"ok": True})] * 20
        assert upstream.peak == 1


@pytest.mark.parametrize("variant", UNBOUNDED)
def test_async_variants_hold_more_callers_than_there_are_threads(variant: str) -> None:
    with service(variant) as (users, upstream):
        upstream.held = True
        started = users.start("/external-data", times=60)
        eventually(lambda: upstream.in_flight == 60)
        assert users.get("/health-sync").status_code == 200
        upstream.held = False
        assert answers(started) == [(200, {"ok": True})] * 60


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


def test_fan_out_keeps_to_its_bound(
    variant: str, users: Callers, upstream: ScriptedUpstream
) -> None:
    upstream.held = True
    started = users.start("/fan-out/9?max_concurrent=3")
    at_once = 1 if variant in ONE_BY_ONE else 3
    eventually(lambda: upstream.in_flight == at_once)
    upstream.held = False
    assert answers(started) == [(200, {"statuses": [200] * 9})]
    assert upstream.peak == at_once


@pytest.mark.parametrize("variant", SHARING)
def test_a_shared_client_uses_its_connections_again(variant: str) -> None:
    with service(variant) as (users, upstream):
        for _ in range(5):
            answers(users.start("/external-data", times=10))
        assert len(upstream.paths) == 50
        assert upstream.connections <= 10


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


def test_no_caller_gets_another_callers_cookies(users: Callers, upstream: ScriptedUpstream) -> None:
    upstream.reply = reply(set_cookie="session=alice; Path=/")
    users.get("/external-data")
    users.get("/external-data")
    assert not any("cookie" in head.lower() for head in upstream.heads)


def test_an_unknown_variant_is_answered_with_those_there_are() -> None:
    with pytest.raises(LookupError, match=r"no variant 'nope'; there are: async-aiohttp, .*"):
        variants.create_app("nope", "http://127.0.0.1:9", Settings())
