"""A route that would never answer, or not what was meant, is refused with the reason."""

import re
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_upstream.profiles.profile import ProfileError, load
from mock_upstream.profiles.route_paths import METHODS, path_pattern, unreachable
from tests.mock_upstream.test_playing import playing
from tests.support.mock_exchanges import connected, request, rest, whole
from tests.support.servers import MockUpstream, mock_upstream


@pytest.fixture(scope="module")
def server() -> Iterator[MockUpstream]:
    with mock_upstream() as mock:
        yield mock


def refused(*routes: dict[str, object]) -> str:
    with pytest.raises(ProfileError) as error:
        load(None, {"routes": routes})
    return str(error.value).removeprefix("profile: ")


def port(mock: MockUpstream) -> int:
    number = urlsplit(mock.url).port
    assert number
    return number


@pytest.mark.processes
def test_every_method_that_a_route_can_have_is_read_and_answered(server: MockUpstream) -> None:
    routes = [{"path": "/a", "method": method, "status": 201} for method in METHODS]
    with playing(server, latency="0ms", routes=routes) as mock, connected(port(mock)) as client:
        for method in METHODS:
            if method != "HEAD":
                request(client, "/a", method)
                assert whole(client).startswith(b"HTTP/1.1 201 "), method
    with connected(port(server)) as client:
        request(client, "/a", "GTE")
        assert rest(client)[0].startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("GTE", "routes.0.method: 'GTE' is no HTTP method; did you mean 'GET'?"),
        ("PSOT", "routes.0.method: 'PSOT' is no HTTP method; did you mean 'POST'?"),
        ("CONNECT", "routes.0.method: 'CONNECT' is no HTTP method"),
        ("", "routes.0.method: '' is no HTTP method"),
    ],
)
def test_a_method_that_no_request_can_have_is_refused(method: str, message: str) -> None:
    assert refused({"path": "/a", "method": method}).startswith(message)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/files/*", "has a '*', which would stand for itself; write {name} for one part"),
        ("/**/x", "has a '*', which"),
        ("/users/:id", "has ':id', which would stand for itself; write {id}"),
        ("/users/<int:id>", "has '<int:id>', which would stand for itself; write {id}"),
        ("/a%20b", "has '%20', and paths are compared decoded"),
        ("/{path:path}", "has a brace that belongs to no {name}"),
    ],
)
def test_a_path_with_a_wildcard_of_another_kind_is_refused(path: str, message: str) -> None:
    assert message in refused({"path": path})


@pytest.mark.processes
@pytest.mark.parametrize("path", ["/a b", "/ü", "/100%", "/v1/x:cancel", "/~a;b=c,d"])
def test_a_path_is_compared_decoded(server: MockUpstream, path: str) -> None:
    routes = [{"path": path}]
    with playing(server, latency="0ms", routes=routes) as mock, connected(port(mock)) as client:
        request(client, quote(path))
        assert whole(client).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("json", "message"),
    [
        ({"id": "{idd}"}, "json: nothing fills {idd}; there are: {id}, {query.NAME}."),
        ({"{ID}": 1}, "json: nothing fills {ID}"),
        (["a", {"b": ["x {request.path} y"]}], "json: nothing fills {request.path}"),
        ("{{idd}}", "json: nothing fills {idd}"),
        ("{query}", "json: nothing fills {query}"),
        ("{query.}", "json: nothing fills {query.}"),
        ("{größe}", "json: nothing fills {größe}"),
    ],
)
def test_a_name_in_the_json_that_nothing_fills_is_refused(json: object, message: str) -> None:
    assert message in refused({"path": "/a/{id}", "json": json})


def test_a_name_in_a_header_is_refused_since_only_the_json_is_filled() -> None:
    for value, name in (("/a/{id}", "{id}"), ("/a?page={query.page}", "{query.page}")):
        message = refused({"path": "/a/{id}", "headers": {"Location": value}})
        assert message == (
            f"routes.0.headers: {name} in Location would be sent as it is; only json is filled"
        )
    load(None, {"routes": [{"path": "/a/{id}", "headers": {"Link": "</a{?page}>"}}]})


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("ANY /{x}", "ANY /a"),
        ("ANY /{x}", "GET /a"),
        ("ANY /a", "GET /a"),
        ("ANY /a/{x}/c", "POST /a/b-{y}/c"),
        ("GET /{name}.{type}", "GET /{name}.json"),
    ],
)
def test_a_route_that_would_never_answer_is_refused(first: str, later: str) -> None:
    assert (
        f"route {later!r} would never answer: {first!r} comes before it and takes all of its "
        "requests; put it first" in refused(*map(route, (first, later)))
    )
    load(None, {"routes": [route(later), route(first)]})


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("GET /{x}", "POST /a"),
        ("GET /{x}", "ANY /a"),
        ("GET /a", "GET /{x}"),
        ("ANY /{x}.json", "ANY /{x}"),
        ("ANY /{x}", "ANY /a/b"),
        ("ANY /{x}/{y}", "ANY /{x}"),
    ],
)
def test_a_route_that_some_request_reaches_is_played(first: str, later: str) -> None:
    load(None, {"routes": [route(first), route(later)]})


def route(name: str) -> dict[str, object]:
    method, path = name.split(" ")
    return {"path": path} if method == "ANY" else {"path": path, "method": method}


PIECES = st.lists(st.sampled_from(["a", "/", ".", "{n}"]), min_size=1, max_size=7)
PATHS = PIECES.map("".join).filter(lambda path: "}{" not in path).map(lambda path: "/" + path)


def renamed(path: str) -> str:
    """The path with a name of its own in each pair of braces."""
    names = iter("bcdefghijk")
    return re.sub(r"\{n\}", lambda _: f"{{{next(names)}}}", path)


@given(PATHS.map(renamed), PATHS.map(renamed), st.lists(st.sampled_from("a.x"), min_size=10))
def test_routes_called_unreachable_are_matched_by_an_earlier_one(
    first: str, later: str, fillings: list[str]
) -> None:
    letters = iter(fillings)
    path = re.sub(r"\{.\}", lambda _: next(letters), later)
    assert path_pattern(later).values(path) is not None
    if unreachable(((None, first), (None, later))):
        assert path_pattern(first).values(path) is not None
