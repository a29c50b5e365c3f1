"""A profile is checked once, when it is read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from mock_upstream.profiles.profile import Profile, ProfileError, describe, load
from mock_upstream.profiles.route_paths import MOST_ROUTES
from mock_upstream.routes import Responders

CHARGE = """
seed = 7
latency = "p50=50ms p95=80ms p99=150ms"
errors = { 503 = 0.01, 500 = 0.005 }
[[routes]]
path = "/charge/{id}"
method = "post"
status = 201
headers = { X-Kind = "charge" }
json = { id = "{id}", state = "paid" }
latency = "5ms"
errors = {}
"""


def refused(**values: object) -> str:
    with pytest.raises(ValidationError) as error:
        Profile.model_validate(values)
    return describe(error.value, values)


def body(route: dict[str, object], path: str, query: bytes = b"") -> bytes:
    responder, values = Responders(Profile.model_validate({"routes": [route]})).find("GET", path)
    return responder.answer(200, values, query)[1]


def test_a_toml_file_and_its_json_are_the_same_profile(tmp_path: Path) -> None:
    toml, json = tmp_path / "charge.toml", tmp_path / "charge.json"
    toml.write_text(CHARGE, encoding="utf-8")
    profile = load(toml, {})
    json.write_text(profile.model_dump_json(), encoding="utf-8")
    assert load(json, {}) == profile
    assert profile.routes[0].payload == {"id": "{id}", "state": "paid"}
    assert profile.routes[0].method == "POST"
    assert (profile.errors, profile.routes[0].errors) == ({503: 0.01, 500: 0.005}, {})


def test_arguments_replace_values_of_the_file(tmp_path: Path) -> None:
    toml = tmp_path / "charge.toml"
    toml.write_text(CHARGE, encoding="utf-8")
    profile = load(toml, {"latency": "1ms", "errors": {"504": "0.5"}})
    assert (str(profile.latency), profile.errors, profile.seed) == ("1ms", {504: 0.5}, 7)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.toml", None, "No such file"),
        ("bad.toml", "latency = ", "not TOML"),
        ("bad.json", "{", "not JSON"),
        ("list.json", "[1]", "a table of settings is expected"),
        ("deep.json", "[" * 100_000, "not JSON"),
        ("slow.yaml", "", "must end in .toml or .json"),
        ("impossible.toml", 'latency = "p50=2s p95=1s"', "latency: p95=1s is below p50=2s"),
    ],
)
def test_a_file_that_is_not_a_profile_is_refused_by_name(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ProfileError, match=message) as error:
        load(path, {})
    assert name in str(error.value)


def test_invalid_values_are_refused_with_their_key() -> None:
    assert refused(latncy="5ms") == "latncy: there is no such key"
    assert "errors: 200 is not an error status" in refused(errors={200: 0.1})
    assert "errors: 503 = 1.5 is not a probability" in refused(errors={503: 1.5})
    assert "is not a probability" in refused(errors={503: float("nan")})
    assert "errors: the probabilities add up to 1.2" in refused(errors={500: 0.6, 503: 0.6})
    assert "latency: 50 is not text" in refused(latency=50)
    assert "routes.0.path: 'charge' does not start" in refused(routes=[{"path": "charge"}])
    assert "uses a name twice" in refused(routes=[{"path": "/{id}/{id}"}])
    assert "a brace that belongs to no" in refused(routes=[{"path": "/{id"}])
    assert "has two names side by side" in refused(routes=[{"path": "/{a}{b}"}])
    assert "more than a path" in refused(routes=[{"path": "/a?b=1"}])
    assert "routes.0.status" in refused(routes=[{"path": "/", "status": 101}])
    assert "is no HTTP method" in refused(routes=[{"path": "/", "method": "GET /"}])
    assert "no header can carry" in refused(routes=[{"path": "/", "headers": {"a": "b\r\nc"}}])
    assert "set by the mock" in refused(routes=[{"path": "/", "headers": {"Content-Length": "1"}}])
    assert "routes.0.json: Out of range float" in refused(
        routes=[{"path": "/", "json": float("inf")}]
    )
    twice = [{"path": "/a", "method": "GET"}, {"path": "/a", "method": "get"}]
    assert "route 'GET /a' is there twice" in refused(routes=twice)


def test_names_in_the_json_are_filled_from_the_path() -> None:
    route: dict[str, object] = {
        "path": "/users/{user}/orders/{order}",
        "json": {"links": ["/{user}/{order}", {"self": "{order}"}], "kept": "{7} {a b}", "n": {}},
    }
    assert body(route, '/users/a"\\b/orders/ü{user}') == (
        b'{"links": ["/a\\"\\\\b/\\u00fc{user}", {"self": "\\u00fc{user}"}], '
        b'"kept": "{7} {a b}", "n": {}}'
    )


def test_names_in_the_json_are_filled_from_the_query() -> None:
    route: dict[str, object] = {
        "path": "/users/{user}",
        "json": {"page": "{query.page} of {user}", "{query.a-b}": "{query.none}", "query.page": 1},
    }
    assert body(route, "/users/7", b"page=%22%C3%BC&page=2&a-b=") == (
        b'{"page": "\\"\\u00fc of 7", "": "", "query.page": 1}'
    )
    assert json.loads(body(route, "/users/7", b"&".join([b"page=1"] * 2000)))["page"] == " of 7"


def test_a_response_can_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "answer.xml").write_bytes(b"<a>\xff</a>")
    (tmp_path / "raw.unknown").write_bytes(b"")
    toml = tmp_path / "files.toml"
    toml.write_text(
        '[[routes]]\npath = "/a"\nfile = "answer.xml"\n'
        '[[routes]]\npath = "/b"\nfile = "raw.unknown"\n'
        '[timeline]\nphases = [{ name = "slow", changes = { latency = "1s" } }]\n',
        encoding="utf-8",
    )
    profile = load(toml, {})
    find = Responders(profile).find
    kinds = {path: find("GET", path)[0].answer(200, {}) for path in ("/a", "/b")}
    assert kinds["/a"][1] == b"<a>\xff</a>"
    assert kinds["/a"][0][0][1] in (b"application/xml", b"text/xml")
    assert kinds["/b"] == (
        [(b"content-type", b"application/octet-stream"), (b"content-length", b"0")],
        b"",
    )
    values = profile.model_dump(mode="json")
    assert Profile.model_validate(values, context=profile.known) == profile
    assert "routes.0.file: no file is read here" in refused(**values)


def test_a_file_that_is_not_a_response_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 2000)
    toml = tmp_path / "files.toml"
    for more, message in (
        ('file = "missing"', "routes.0.file: 'missing' cannot be read: No such file"),
        ('file = "."', "cannot be read: Is a directory"),
        ('file = "a\\u0000b"', "cannot be read: embedded null byte"),
        ("file = 7", "routes.0.file: 7 is not text"),
        ('file = "large"', "routes.0.file: it is above caps.body, 1kB"),
        ('file = "large"\njson = 7', "routes.0: json and file are both given"),
    ):
        toml.write_text(f'caps.body = "1kB"\n[[routes]]\npath = "/"\n{more}\n', encoding="utf-8")
        with pytest.raises(ProfileError) as error:
            load(toml, {})
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"faults": [{"fault": "rest"}]}, "faults.0: there is no fault 'rest'; there are: close,"),
        ({"faults": [{"fault": "reset", "every": 0}]}, "faults.0.every: "),
        ({"capacity": {"servers": 0}}, "capacity.servers: "),
        ({"limits": [{"kind": "token_bucket"}]}, "limits.0.limit: Field required"),
        ({"limits": [{"kind": "bucket"}]}, "limits.0.kind: there is no kind 'bucket'; there are: "),
        ({"limits": [{"limit": 3}]}, "limits.0.kind: is missing"),
        ({"errors": {"x": 0.1}}, "errors.x: Input should be a valid integer"),
        (
            {"timeline": {"phases": [{"name": "a", "outage": 200}]}},
            "timeline.phases.0.outage: 200 is neither an error status, 400 to 599, nor one of",
        ),
        (
            {"timeline": {"phases": [{"name": "a", "changes": {"network": {"ramp": [1, "x"]}}}]}},
            "timeline.phases.0.changes.network: there is nothing between 1 and 'x'",
        ),
        ({"body": {"size": "1e12B"}}, "body.size: '1e12B' is above 1GB"),
        ({"latency": "1e9ms"}, "latency: '1e9ms' is longer than an hour"),
        ({"network": 5}, "network: 5 is not text"),
        ({"caps": {"delay": "1s"}, "latency": "2s"}, "latency: the median of 2s is above caps.del"),
        ({"caps": {"body": "1kB"}, "body": {"size": "2kB"}}, "body.size: 2kB is above caps.body"),
        (
            {"routes": [{"path": "/", "body": {"chunks": 20_000, "interval": "1ms"}}]},
            "routes.0.body.chunks: 20000 is above caps.chunks, 10000",
        ),
        (
            {"timeline": {"phases": [{"name": "a", "changes": {"latency": "5"}}]}},
            "timeline: phase 'a': latency: ",
        ),
    ],
)
def test_invalid_parts_of_a_profile_are_refused_with_their_key(
    values: dict[str, object], message: str
) -> None:
    assert message in refused(**values)


def test_a_path_is_taken_literally_outside_its_names() -> None:
    find = Responders(Profile.model_validate({"routes": [{"path": "/a.b/{x}"}]})).find
    assert find("GET", "/a.b/1")[0].matched
    assert not find("GET", "/a-b/1")[0].matched
    assert not find("GET", "/a.b/1/2")[0].matched
    assert not find("GET", "/a.b/")[0].matched


def test_the_first_route_that_fits_answers() -> None:
    routes = [{"path": "/a/{x}", "method": "PUT"}, {"path": "/a/b"}, {"path": "/a/{x}"}]
    find = Responders(Profile.model_validate({"routes": routes, "latency": "1ms"})).find
    assert find("PUT", "/a/b")[1] == {"x": "b"}
    assert find("GET", "/a/b")[1] == {}
    assert find("GET", "/a/c")[1] == {"x": "c"}


@pytest.mark.processes
def test_reading_a_profile_loads_no_server() -> None:
    heavy = "{'uvicorn', 'fastapi', 'uvloop', 'hdrh', 'numpy', 'locust'}"
    code = f"import sys, mock_upstream.profiles.profile; print({heavy} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert run.stdout == "set()\n"


def test_routes_are_prepared_while_the_profile_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routes = [
        {"path": f"/{n}/{{a{n}}}/{{b{n}}}", "json": f"{{a{n}}} {{7}}"} for n in range(MOST_ROUTES)
    ]
    profile = Profile.model_validate({"routes": routes})
    with monkeypatch.context() as patched:  # pytest compiles expressions itself
        patched.setattr("re._compiler.compile", None)
        find = Responders(profile).find
    responder, values = find("GET", "/999/x/y")
    assert responder.answer(200, values)[1] == b'"x {7}"'
