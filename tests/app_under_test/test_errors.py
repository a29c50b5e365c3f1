"""What the upstream does wrong reaches the caller as 502, 503 or 504, and never as a crash."""

import gc
from collections.abc import Iterator

import pytest

from app_under_test import variants
from app_under_test.settings import Settings
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

# A client that is closed by the first failure of its gathered calls, as client-per-request does,
# leaves behind the connection that a sibling was just opening.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed resource <TCPTransport:ResourceWarning"),
    pytest.mark.processes,
]

VARIANTS = variants.names()
BLOCKING = ["blocking-in-async", "blocking-per-request", "blocking-requests"]
# A blocked loop is a queue of its own: there is never a second call that could wait. And where
# each call has a pool of its own, no other call can be in it.
NEVER_QUEUEING = ["blocking-in-async", "blocking-per-request"]
QUEUEING = [variant for variant in VARIANTS if variant not in NEVER_QUEUEING]
IMPATIENT = Settings(timeout=0.2)
ONE_CONNECTION = Settings(pool=1, pool_timeout=0.2)
PASSED_ON = ("/external-data", "/data")  # what the parser takes and the response cannot hold
PATHS = (*PASSED_ON, "/fan-out/2")

HALF = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
# What the upstream does, and the status and kind of error that the caller sees.
FAULTS = {
    "answers 500": (reply(500), 502, "upstream_status"),
    "answers 502": (reply(502), 502, "upstream_status"),
    "answers 404": (reply(404), 502, "upstream_status"),
    "answers 429": (reply(429), 503, "upstream_overloaded"),
    "answers 503": (reply(503), 503, "upstream_overloaded"),
    "redirects": (reply(302, location="/elsewhere"), 502, "upstream_status"),
    "answers HTML": (reply(body="<html>"), 502, "bad_body"),
    "answers nothing": (reply(body=""), 502, "bad_body"),
    "answers NaN": (reply(body='{"price": NaN}'), 502, "bad_body"),  # see PASSED_ON
    "nests deeply": (reply(body="[" * 100_000), 502, "bad_body"),
    "resets": (Reply(b"", "reset"), 502, "broken"),
    "hangs up": (Reply(b"", "close"), 502, "broken"),
    "hangs up in the body": (Reply(HALF, "close"), 502, "broken"),
    "resets in the body": (Reply(HALF, "reset"), 502, "broken"),
    "does not speak HTTP": (Reply(b"SSH-2.0-OpenSSH\r\n\r\n", "close"), 502, "broken"),
}
# The same where it takes too long, which is 504 "timeout".
DELAYS = {
    "never answers": Reply(b"", "stall"),
    "stops in the body": Reply(HALF, "stall"),
    "drips": Reply(HALF, "drip"),
}


@pytest.fixture(scope="module", autouse=True)
def left_behind() -> Iterator[None]:
    yield
    gc.collect()  # what such a client left open is warned of here, not in another module's test


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with scripted_upstream() as scripted:
        yield scripted


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def users(variant: str, upstream: ScriptedUpstream) -> Iterator[Callers]:
    app = variants.create_app(variant, upstream.url, Settings())
    with serving(app) as url, callers(url) as several:
        yield several


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_its_status(users: Callers, upstream: ScriptedUpstream, fault: str) -> None:
    upstream.reply, status, kind = FAULTS[fault]
    for path in PASSED_ON if fault == "answers NaN" else PATHS:
        response = users.get(path)
        assert response.status_code == status, (path, response.text)
        body = response.json()
        assert set(body) == {"error", "detail"}
        assert body["detail"]
        assert body["error"] == kind, (path, response.text)
    upstream.reply = reply()
    assert users.get("/external-data").status_code == 200  # the client has survived it


def test_a_slow_call_is_a_timeout() -> None:
    def check(alone: str) -> None:
        with scripted_upstream() as upstream:
            app = variant_app(alone, upstream.url, IMPATIENT)
            with serving(app) as url, callers(url) as users:
                for delay, too_late in DELAYS.items():
                    if delay == "drips" and alone in BLOCKING:
                        continue  # requests counts between two reads, as the variant says
                    upstream.reply = too_late
                    response = users.get("/external-data")
                    assert (response.status_code, response.json()["error"]) == (504, "timeout")
                upstream.reply = reply()
                eventually(lambda: users.get("/external-data").status_code == 200)

    together(check, VARIANTS)


@pytest.mark.parametrize("status", [429, 503])
def test_the_upstreams_retry_after_is_passed_on(
    users: Callers, upstream: ScriptedUpstream, status: int
) -> None:
    upstream.reply = reply(status, retry_after="17")
    assert users.get("/external-data").headers["retry-after"] == "17"
    upstream.reply = reply(status)
    assert "retry-after" not in users.get("/external-data").headers


def test_a_full_pool_is_reported_as_overload_of_the_service() -> None:
    """One of two calls gives up its wait while the other one holds the only connection."""

    def check(alone: str) -> None:
        with scripted_upstream() as upstream:
            app = variant_app(alone, upstream.url, ONE_CONNECTION)
            with serving(app) as url, callers(url) as users:
                upstream.held = True
                started = users.start("/data", times=2)
                eventually(lambda: any(request.done() for request in started))
                upstream.held = False
                refused = next(request.result() for request in started if request.done())
                assert refused.status_code == 503
                assert refused.json()["error"] == "pool"
                assert int(refused.headers["retry-after"]) >= 1
                answers(started)

    together(check, QUEUEING)


def test_a_missing_upstream_does_not_stop_the_start(free_port: int) -> None:
    def check(alone: str) -> None:
        app = variant_app(alone, f"http://127.0.0.1:{free_port}", Settings())
        with serving(app) as url, callers(url) as users:
            for path in PATHS:
                response = users.get(path)
                assert (response.status_code, response.json()["error"]) == (502, "no_connection")
            assert users.get("/health").status_code == 200

    together(check, VARIANTS)
