"""A profile's routes, made ready to answer quickly."""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from itertools import accumulate
from json import dumps
from urllib.parse import parse_qs

from pydantic import JsonValue

from mock_upstream.faults import Fault
from mock_upstream.latency.distributions import Constant, Latency
from mock_upstream.latency.draws import Stream
from mock_upstream.latency.spells import Chain
from mock_upstream.profiles.profile import Caps, Profile, Route
from mock_upstream.profiles.route_paths import QUERY, filled_pieces, path_names, path_pattern
from mock_upstream.responses.bodies import Body
from mock_upstream.responses.exchange import JSON, Header, error_answer
from mock_upstream.units.files import File
from mock_upstream.units.sizes import Capped

_BODILESS = {204, 304}  # RFC 9110, 15.3.5 and 15.4.5


class Tally:
    """The requests of a route so far, and what that number was when each fault came into play."""

    __slots__ = ("origins", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.origins: dict[Fault, int] = {}


Tallies = defaultdict[str, Tally]
"""By the name of the route."""


def forget(tallies: Tallies, before: Profile, now: Profile) -> None:
    """Let faults that the profile had before, and has no longer, count from the start next time."""
    kept = _faults_by_route(now)
    for name, faults in _faults_by_route(before).items():
        for fault in faults - kept.get(name, set()):
            tallies[name].origins.pop(fault, None)


def _faults_by_route(profile: Profile) -> dict[str, set[Fault]]:
    return {
        route.name: {*(profile.faults if route.faults is None else route.faults)}
        for route in (Route(path="/"), *profile.routes)
    }


class Responder:
    """One route: whether a request is its own, how long the answer takes and what it is."""

    def __init__(
        self, route: Route, profile: Profile, tallies: Tallies, *, matched: bool = True
    ) -> None:
        self.name = route.name
        self.matched = matched
        """False: the one that answers where no route of the profile does."""
        self.latency = profile.latency if route.latency is None else route.latency
        self.network = profile.network if route.network is None else route.network
        self._method = route.method
        names = path_names(route.path)
        self._literal = None if names else route.path
        self._pattern = path_pattern(route.path)
        tally = self._tally = tallies[route.name]
        stream = partial(Stream, profile.seed, route.name, sampling=profile.sampling)
        self._delays = stream("latency")
        self._failures = stream("errors")
        self.refusals = stream("outage")
        self.sizes = stream("size")
        faults = profile.faults if route.faults is None else route.faults
        self.faults = [
            (fault, stream(f"fault {n}"), tally.origins.setdefault(fault, tally.requests))
            for n, fault in enumerate(faults)
        ]
        self.body = _capped(profile.body if route.body is None else route.body, profile.caps)
        self._spells = Chain(profile.spells, profile.seed) if profile.spells and matched else None
        errors = profile.errors if route.errors is None else route.errors
        self._errors = list(zip(accumulate(errors.values()), errors, strict=True))
        self._status = route.status
        self._headers: list[Header] = [
            (name.lower().encode("ascii"), value.encode("latin-1"))
            for name, value in route.headers.items()
        ]
        content_type = JSON if route.file is None else _type_of(route.file)
        if route.status not in _BODILESS and not any(n == JSON[0] for n, _ in self._headers):
            self._headers.append(content_type)
        self._pieces = filled_pieces(dumps(route.payload), names)
        self._same: tuple[list[Header], bytes] | None = None
        """The answer, if that is the same for all requests."""
        if route.file is not None:
            self._same = self._whole(route.file.content)
        elif len(self._pieces) == 1:
            self._same = self._whole(self._pieces[0].encode())
        self._asks_query = any(piece.startswith(QUERY) for piece in self._pieces[1::2])
        self._error_statuses = frozenset(errors)

    def match(self, method: str, path: str) -> Mapping[str, str] | None:
        """The path's values if the request is this route's; None if not."""
        if self._method is not None and method != self._method:
            return None
        if self._literal is not None:
            return _NO_VALUES if path == self._literal else None
        return self._pattern.values(path)

    def draw(
        self, key: bytes | None = None, latency: Latency | None = None, at: float = 0.0
    ) -> tuple[float, int, int]:
        """
        Delay in seconds and status of the route's next request, and its ordinal.

        Args:
            key: draws in place of the ordinal.
            latency: in place of the route's.
            at: seconds since the beginning; slow spells come by it.
        """
        ordinal = self._tally.requests
        self._tally.requests += 1
        delays = self._delays
        u = delays.uniform(ordinal) if key is None else delays.keyed(key)
        if latency is not None:
            delay = latency.quantile(u)
        elif self._spells is not None:
            delay = self._spells.delay(at, u, self.latency)
        else:
            delay = self.latency.quantile(u)
        if self._errors:
            u = self._failures.uniform(ordinal) if key is None else self._failures.keyed(key)
            for bound, status in self._errors:
                if u < bound:
                    return delay, status, ordinal
        return delay, self._status, ordinal

    def fault(self, ordinal: int, key: bytes | None, request_on_connection: int) -> Fault | None:
        """The first that happens to the request."""
        for fault, draws, origin in self.faults:
            u = draws.uniform(ordinal) if key is None else draws.keyed(key)
            if fault.happens(ordinal - origin, u, request_on_connection):
                return fault
        return None

    def fails(self, status: int) -> bool:
        """Whether the status is one of the errors, which have bodies of their own."""
        return status in self._error_statuses

    def answer(
        self, status: int, values: Mapping[str, str], query: bytes = b""
    ) -> tuple[list[Header], bytes]:
        """
        Headers, a list of its own to add to, and body.

        Args:
            values: those of the path.
            query: as it came, percent-encoded; of a name that is there twice, the first counts.
        """
        if status in self._error_statuses:
            return error_answer(status)
        if status in _BODILESS:
            return [*self._headers], b""
        if self._same is not None:
            headers, body = self._same
            return [*headers], body
        filled = {**values, **_values(query)} if self._asks_query else values
        # Each second piece is a name; its value goes between quotes that are there.
        pieces = [
            dumps(filled.get(piece, ""))[1:-1] if place % 2 else piece
            for place, piece in enumerate(self._pieces)
        ]
        return self._whole("".join(pieces).encode())

    def _whole(self, body: bytes) -> tuple[list[Header], bytes]:
        return [*self._headers, (b"content-length", b"%d" % len(body))], body


class Responders:
    """All routes of a profile."""

    def __init__(self, profile: Profile, tallies: Tallies | None = None) -> None:
        """Profiles that are to go on where others were share their tallies with them."""
        tallies = defaultdict(Tally) if tallies is None else tallies
        self._routes = [Responder(route, profile, tallies) for route in profile.routes]
        if profile.routes:
            nothing: dict[str, JsonValue] = {
                "error": "no route of the profile has this method and path",
                "routes": [route.name for route in profile.routes],
            }
            # Not validated: the names of routes have braces that are no placeholders.
            rest = Route.model_construct(
                path="/",
                status=404,
                payload=nothing,
                latency=Constant(0.0),
                network=0.0,
                errors={},
                faults=(),
            )
        else:
            rest = Route(path="/")
        self._rest = Responder(rest, profile, tallies, matched=not profile.routes)

    def find(self, method: str, path: str) -> tuple[Responder, Mapping[str, str]]:
        """The handler of a path, and the values in it."""
        for responder in self._routes:
            values = responder.match(method, path)
            if values is not None:
                return responder, values
        return self._rest, _NO_VALUES


_NO_VALUES: Mapping[str, str] = {}


def _capped(body: Body | None, caps: Caps) -> Body | None:
    if body is None or body.size is None:
        return body
    return body.model_copy(update={"size": Capped(body.size, caps.body)})


def _values(query: bytes) -> dict[str, str]:
    """The query's, by their names in an answer."""
    try:
        pairs = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=1000)
    except ValueError:  # more fields than that
        return {}
    return {QUERY + name: values[0] for name, values in pairs.items()}


def _type_of(file: File) -> Header:
    return b"content-type", file.content_type.encode("ascii")
