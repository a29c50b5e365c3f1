"""One request on its way, as Locust sends and reports it; the same in both models."""

from time import monotonic_ns, perf_counter, time
from typing import Any

import gevent
from geventhttpclient.url import URL
from locust import User
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS, FastHttpSession

from loadtests import redaction, server_timing
from loadtests.engine.recorder import PHASES, SERVICE_TIME, UnexpectedAnswer
from loadtests.stages import RequestSpec

_ENCODINGS = "gzip, deflate, br"  # as Locust's own requests have it
_EVERY_STATUS = frozenset(range(100, 1000))


def session(request_event: Any, timeout: float, user: User | None = None) -> FastHttpSession:
    """A client that sends one request at a time; the library fixes its timeout here."""
    made = FastHttpSession(
        base_url="",
        request_event=request_event,
        user=user,
        network_timeout=timeout,
        connection_timeout=timeout,
        # One connection for each deployment; also the library's hidden resends when a kept one
        # turns out to be closed: at most one.
        concurrency=1,
        max_retries=0,  # it would send what timed out three times more, and time all of it as one
    )
    # Every answer is judged by the plan: none is followed, none an error by itself.
    made.client.redirect_response_codes = frozenset()  # type: ignore[misc]  # the library's default
    made.client.valid_response_codes = _EVERY_STATUS  # type: ignore[misc]
    return made


def disconnect(client: FastHttpSession, target: str) -> None:
    """Close the client's connections to a target, which its library would keep until the end."""
    url = URL(target)
    gone = client.client.clientpool.clients.pop((url.host, url.port), None)
    if gone is not None:
        gone.close()


def send(
    client: FastHttpSession,
    target: str,
    request: RequestSpec,
    intended: float | None = None,
    telemetry: bool = False,
) -> None:
    """
    Send, wait, and judge the answer; Locust's request event tells the rest.

    Not by the session's own `request`, which does more than is needed here: a tenth of the work of
    each request.

    Args:
        intended: when it was meant to start (seconds, `perf_counter`), in the open model. The
            time that Locust then sees, and shows in its tables, is the response time: from there.
        telemetry: stamp it with the moment of sending, and read where its time went.
    """
    here: Any = gevent.getcurrent()
    here.gave_way = 0.0  # seconds; `keepalive` sets it when it takes up a kept connection
    headers = dict(request.headers)
    if "Accept-Encoding" not in headers and "accept-encoding" not in headers:
        headers["Accept-Encoding"] = _ENCODINGS
    if telemetry:
        headers[server_timing.SENT] = str(monotonic_ns())
    url = target + request.path
    began_at, began = time(), perf_counter()
    response: Any = client._send_request_safe_mode(
        request.method, url, payload=request.body, headers=headers
    )
    error = getattr(response, "error", None)
    try:
        content = response.content or b""
    except FAILURE_EXCEPTIONS as broken:
        content, error = b"", broken
    seconds = perf_counter() - began - here.gave_way
    context: dict[str, Any] = {}
    if error is None:
        error = _unexpected(request, response)
        if telemetry and error is None:
            header = response.headers.get(server_timing.HEADER)
            context[PHASES] = server_timing.phases(header, seconds, here.gave_way)
    response_time = seconds * 1000
    if intended is not None:
        context[SERVICE_TIME] = response_time
        response_time = (perf_counter() - intended) * 1000
    client.request_event.fire(
        request_type=request.method,
        name=request.name,
        response_time=response_time,
        response_length=len(content),
        response=response,
        context=context,
        exception=error,
        start_time=began_at,
        url=url,
    )


def _unexpected(request: RequestSpec, response: Any) -> UnexpectedAnswer | None:
    """What is wrong with an answer that came, by the plan."""
    status = response.status_code
    if status not in request.statuses if request.statuses else status >= 300:
        # No redirect is followed: the work that was asked for is not done.
        target = response.headers.get("location") if 300 <= status < 400 else None
        target = target and redaction.text(target)
        return UnexpectedAnswer(str(status), f"status {status}{f' to {target}' if target else ''}")
    if request.contains and request.contains not in (response.text or ""):
        text = f"the body does not contain {request.contains!r}"
        return UnexpectedAnswer("unexpected content", text)
    return None
