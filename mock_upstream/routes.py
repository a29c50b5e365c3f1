"""A profile's routes, made ready to answer quickly."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from itertools import accumulate, count
from json import dumps

from pydantic import JsonValue

from mock_upstream.draws import Stream
from mock_upstream.latency import Constant
from mock_upstream.profiles import Profile, Route, path_names

Header = tuple[bytes, bytes]

_BODILESS = {204, 304}  # RFC 9110, 15.3.5 and 15.4.5
_JSON: Header = (b"content-type", b"application/json")


class Responder:
    """One route: whether a request is its own, how long the answer takes and what it is."""

    def __init__(self, route: Route, profile: Profile, *, matched: bool = True) -> None:
        self.matched = matched
        """False: the one that answers where no route of the profile does."""
        self.latency = profile.latency if route.latency is None else route.latency
        self.network = profile.network if route.network is None else route.network
        self._method = route.method
        names = path_names(route.path)
        self._literal = None if names else route.path
        self._pattern = re.compile(_pattern(route.path))
        self._ordinals = count()
        self._delays = Stream(profile.seed, route.name, "latency")
        self._failures = Stream(profile.seed, route.name, "errors")
        errors = profile.errors if route.errors is None else route.errors
        self._errors = list(zip(accumulate(errors.values()), errors, strict=True))
        self._status = route.status
        self._headers: list[Header] = [
            (name.lower().encode("ascii"), value.encode("latin-1"))
            for name, value in route.headers.items()
        ]
        if route.status not in _BODILESS and not any(n == _JSON[0] for n, _ in self._headers):
            self._headers.append(_JSON)
        # Outside of its strings JSON has no `{name}`, so the text can be cut at each of them.
        cut = re.compile(rf"\{{({'|'.join(names)})\}}") if names else re.compile(r"(?!)")
        self._pieces = cut.split(dumps(route.payload))
        self._error_bodies = {status: _error_body(status) for status in errors}

    def match(self, method: str, path: str) -> Mapping[str, str] | None:
        """The path's values if the request is this route's; None if not."""
        if self._method is not None and method != self._method:
            return None
        if self._literal is not None:
            return _NO_VALUES if path == self._literal else None
        found = self._pattern.fullmatch(path)
        return found.groupdict() if found else None

    def draw(self) -> tuple[float, int]:
        """Delay in seconds and status of the route's next request."""
        ordinal = next(self._ordinals)
        delay = self.latency.quantile(self._delays.uniform(ordinal))
        if self._errors:
            u = self._failures.uniform(ordinal)
            for bound, status in self._errors:
                if u < bound:
                    return delay, status
        return delay, self._status

    def answer(self, status: int, values: Mapping[str, str]) -> tuple[list[Header], bytes]:
        """Headers (a list of its own, to add to) and body; `values` are those of the path."""
        if status in self._error_bodies:
            body, headers = self._error_bodies[status], [_JSON]
        else:
            headers = self._headers
            if status in _BODILESS:
                return [*headers], b""
            pieces = self._pieces
            if len(pieces) > 1:
                # Each second piece is a name; its value goes between quotes that are there.
                pieces = [
                    dumps(values[piece])[1:-1] if place % 2 else piece
                    for place, piece in enumerate(pieces)
                ]
            body = "".join(pieces).encode()
        return [*headers, (b"content-length", b"%d" % len(body))], body


class Responders:
    """All routes of a profile."""

    def __init__(self, profile: Profile) -> None:
        self._routes = [Responder(route, profile) for route in profile.routes]
        if profile.routes:
            nothing: dict[str, JsonValue] = {
                "error": "no route of the profile has this method and path",
                "routes": [route.name for route in profile.routes],
            }
            now = {"latency": Constant(0.0), "network": "0ms", "errors": {}}
            rest = Route.model_validate({"path": "/", "status": 404, "json": nothing, **now})
        else:
            rest = Route(path="/")
        self._rest = Responder(rest, profile, matched=not profile.routes)

    def find(self, method: str, path: str) -> tuple[Responder, Mapping[str, str]]:
        """Whoever answers, and the path's values."""
        for responder in self._routes:
            values = responder.match(method, path)
            if values is not None:
                return responder, values
        return self._rest, _NO_VALUES


_NO_VALUES: Mapping[str, str] = {}


def _pattern(path: str) -> str:
    parts = re.split(r"\{(\w+)\}", path)
    return "".join(
        f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part) for place, part in enumerate(parts)
    )


def _error_body(status: int) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Error"
    return dumps({"error": reason, "status": status}).encode()
