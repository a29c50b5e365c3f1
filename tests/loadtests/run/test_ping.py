"""One request as a plan has it: redirects that are followed, and those that are not."""

import pytest

from loadtests.recording.messages import RequestSpec
from loadtests.run import ping, reply_check
from tests.support.servers import serving

PLACES = {"/items": b"/items/", "/round": b"/round", "/away": b"http://elsewhere.example/items/"}


async def shop(scope, receive, send):
    place = PLACES.get(scope["path"])
    headers = [(b"location", place)] if place else []
    status = 307 if place else 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": scope["method"].encode()})


def asked(url, path, *, follow):
    spec = RequestSpec(name=path, method="POST", path=path, weight=1, timeout=5, follow=follow)
    reply = ping.send(url, spec, 5)
    return reply, reply_check.problem(url, spec, reply)


def test_a_redirect_within_the_service_is_followed_on_request():
    with serving(shop) as url:
        reply, problem = asked(url, "/items", follow=True)
        assert (reply.status, reply.body, problem) == (200, b"POST", None)
        assert reply.seconds >= reply.first_byte > 0
        reply, problem = asked(url, "/items", follow=False)
        assert reply.status == 307
        assert 'Write path = "/items/".' in problem


@pytest.mark.parametrize("path", ["/round", "/away"])
def test_a_redirect_to_another_host_or_without_end_is_reported(path):
    with serving(shop) as url:
        reply, problem = asked(url, path, follow=True)
    assert reply.status == 307
    assert "it leaves this service, or there are too many" in problem
