"""One request on its way, as Locust sends and reports it; the same in both models."""

from time import monotonic_ns, perf_counter
from typing import Any

import gevent
from locust import User
from locust.contrib.fasthttp import FastHttpSession

from loadtests import server_timing
from loadtests.engine.recorder import PHASES, SERVICE_TIME, UnexpectedAnswer
from loadtests.stages import RequestSpec


def session(request_event: Any, timeout: float, user: User | None = None) -> FastHttpSession:
    """A client that sends one request at a time; the library fixes its timeout here."""
    return FastHttpSession(
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


def send(
    client: FastHttpSession,
    target: str,
    request: RequestSpec,
    intended: float | None = None,
    telemetry: bool = False,
) -> None:
    """
    Send, wait, and judge the answer; Locust's request event tells the rest.

    Args:
        intended: when it was meant to start (seconds, `perf_counter`), in the open model. The
            time that Locust then sees, and shows in its tables, is the response time: from there.
        telemetry: stamp it with the moment of sending, and read where its time went.
    """
    here: Any = gevent.getcurrent()
    here.gave_way = 0.0  # seconds; `keepalive` sets it when it takes up a kept connection
    headers = request.headers
    if telemetry:
        headers = {**headers, server_timing.SENT: str(monotonic_ns())}
    with client.request(
        request.method,
        target + request.path,
        name=request.name,
        headers=headers,
        data=request.body,
        catch_response=True,
        allow_redirects=False,
    ) as response:
        meta = response.request_meta
        service_time = meta["response_time"] = meta["response_time"] - here.gave_way * 1000
        if intended is not None:
            meta["context"] = {**meta["context"], SERVICE_TIME: service_time}
            meta["response_time"] = (perf_counter() - intended) * 1000
        status = response.status_code
        if not status:
            return  # no answer; Locust has noted the error
        if status not in request.statuses if request.statuses else status >= 400:
            response.failure(UnexpectedAnswer(str(status), f"status {status}"))
        elif request.contains and request.contains not in (response.text or ""):
            text = f"the body does not contain {request.contains!r}"
            response.failure(UnexpectedAnswer("unexpected content", text))
        else:
            if telemetry:
                header = response.headers.get(server_timing.HEADER)
                phases = server_timing.phases(header, service_time / 1000, here.gave_way)
                meta["context"] = {**meta["context"], PHASES: phases}
            response.success()
