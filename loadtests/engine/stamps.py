"""
Stamps on the requests of a user's own locustfile, by the coin of the stage.

The sessions of HttpUser and FastHttpUser put them on, and LeanUser's client does.
"""

from collections.abc import Callable
from time import monotonic_ns, perf_counter
from typing import Any

from locust.clients import HttpSession
from locust.contrib.fasthttp import LocustUserAgent

from loadtests.engine.sending import Sender
from loadtests.recording import server_timing

_HEADED = "brownout_headed"
"""Attribute of a stamped request: seconds from its sending to the head of its answer."""


class Stamps:
    """
    Where stamps come from; nowhere until `use`.

    Requests that have a stamp of their own are left alone, and so are those to other hosts than
    the stage's.
    """

    def __init__(self) -> None:
        self._sender: Sender | None = None

    def use(self, sender: Sender) -> None:
        self._sender = sender

    def stamp(self, url: str, headers: Any) -> bool:
        """Put a stamp among the headers of a request, if its turn has come; returns whether."""
        sender = self._sender
        if sender is None or sender.coin is None or not sender.endpoint.holds(url):
            return False
        if any(str(name).lower() == server_timing.SENT for name in headers):
            return False
        if not sender.coin.toss(perf_counter()):
            return False
        headers[server_timing.SENT] = str(monotonic_ns())
        return True


STAMPS = Stamps()


def install() -> None:
    """Let the sessions of HttpUser and FastHttpUser stamp requests."""
    HttpSession.send = _stamping(HttpSession.send)  # type: ignore[method-assign]
    LocustUserAgent._urlopen = _stamping(LocustUserAgent._urlopen)  # type: ignore[method-assign]


def _stamping(original: Callable[..., Any]) -> Any:
    def send(self: Any, request: Any, **options: Any) -> Any:
        if not STAMPS.stamp(request.url, request.headers):
            setattr(request, _HEADED, None)  # a redirect has the stamp of the request before it
            return original(self, request, **options)
        began = perf_counter()
        response = original(self, request, **options)
        elapsed = getattr(response, "elapsed", None)  # requests has read the body by now
        took = perf_counter() - began if elapsed is None else elapsed.total_seconds()
        setattr(request, _HEADED, took)
        return response

    return send


def phases(response: Any, seconds: float) -> list[float] | None:
    """Where the time of a stamped request went, by phase; None: it is not known."""
    headed = getattr(getattr(response, "request", None), _HEADED, None)
    if headed is None or getattr(response, "history", None):
        return None
    header = response.headers.get(server_timing.HEADER)
    return server_timing.phases(header, seconds, max(seconds - headed, 0.0))
