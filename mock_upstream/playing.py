"""A profile made ready to be played, and what each request is to get by it."""

from collections.abc import Mapping
from dataclasses import dataclass

from mock_upstream.exchange import Exchange
from mock_upstream.profiles import Profile
from mock_upstream.routes import Responder, Responders


@dataclass(slots=True)
class Job:
    """What one request is to get; all of it is known at its arrival."""

    responder: Responder
    values: Mapping[str, str]
    """Of the names in the route's path."""
    status: int
    service: float
    """Seconds with a server."""
    network: float
    """Seconds on the way, half of them before the server and half after."""


class Playing:
    """One profile, and what has become of it so far."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._responders = Responders(profile)

    def job(self, exchange: Exchange) -> Job:
        scope = exchange.scope
        responder, values = self._responders.find(scope["method"], scope["path"])
        delay, status = responder.draw()
        return Job(responder, values, status, delay, responder.network)
