"""Redirects and HTML pages: what the service sees of them, and what the run counts."""

import asyncio
from collections import Counter

import pytest

from loadtests.analysis.inputs import records
from loadtests.engine.answers import AnswerParser
from loadtests.engine.calls import Bodies, Call
from loadtests.engine.connection import Endpoint
from loadtests.engine.redirect_target import place
from loadtests.recording.messages import RequestSpec
from tests.support.brownout_runs import called
from tests.support.servers import serving

PLACES = {
    "/here": (307, "/items/"),
    "/posted": (303, "items/?page=1"),
    "/moved": (302, "/items/"),
    "/away": (302, "http://127.0.0.1:9/login?next=1"),
    "/around": (308, "/around"),
}


class Service:
    """Redirects as PLACES says; `/mixed` answers four times JSON and then pages of HTML."""

    def __init__(self):
        self.requests = Counter()

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        path = scope["path"]
        body = (await receive())["body"]
        self.requests[scope["method"], path, body] += 1
        await asyncio.sleep(0.02)
        status, location = PLACES.get(path, (200, ""))
        pages = path == "/pages" or (path == "/mixed" and self.requests["GET", path, b""] > 4)
        kind = b"text/html; charset=utf-8" if pages else b"application/json"
        headers = [(b"content-type", kind)]
        headers += [(b"location", location.encode())] if location else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})


PLAN = """
name = "redirects"
[load]
levels = [7]
settle = "500ms"
measure = "1s"
"""
REQUESTS = ["/here", "/posted", "/moved", "/away", "/around", "/mixed", "/pages"]


@pytest.mark.processes
def test_a_redirect_is_followed_within_the_service_alone(tmp_path):
    service = Service()
    with serving(service) as url:
        plan = f'{PLAN}[deployments.there]\nurl = "{url}"\n'
        for path in REQUESTS:
            method = "POST" if path in ("/posted", "/moved", "/here") else "GET"
            sent = "json = { a = 1 }\n" if method == "POST" else ""
            plan += (
                f'[[requests]]\npath = "{path}"\nname = "{path}"\nmethod = "{method}"\n'
                f'redirects = "follow"\n{sent}'
            )
        (tmp_path / "plan.toml").write_text(plan, encoding="utf-8")
        code, invocation = called("run", "plan.toml", cwd=tmp_path)
    assert code in (0, 1), invocation.output
    [stage] = records.read(invocation.cwd / invocation.lines[-1].strip()).stages
    kinds = {path: Counter() for path in REQUESTS}
    good = Counter()
    for part in stage.slices:
        kinds[part.request].update(part.kinds)
        good[part.request] += part.ok.count
    failing = {path: set(found) for path, found in kinds.items() if found}
    assert failing == {
        "/away": {"302 to http://127.0.0.1:9/login"},
        "/around": {"too many redirects"},
        "/mixed": {"HTML page"},
    }
    assert all(good[path] for path in ("/here", "/posted", "/moved", "/pages"))
    assert not good["/around"]
    seen = {(method, body) for method, path, body in service.requests if path == "/items/"}
    assert seen == {("POST", b'{"a": 1}'), ("GET", b"")}


def answer(status: int = 200, **headers: str) -> AnswerParser:
    made = AnswerParser()
    made.begin(False, None)
    lines = [f"HTTP/1.1 {status} X", "Content-Length: 0"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    made.feed(("\r\n".join(lines) + "\r\n\r\n").encode())
    return made


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/items/?page=2", "/items/"),
        ("/orders/8713/", "/orders/*/"),
        ("https://a.example/u/0f8fad5b-d9cb-469f-a165-70867728950e", "https://a.example/u/*"),
        ("https://user:secret-word@a.example/", "https://{redacted}@a.example/"),
    ],
)
def test_the_place_of_a_redirect_has_nothing_that_differs_from_request_to_request(location, shown):
    assert place(answer(307, Location=location)) == shown


@pytest.mark.parametrize(
    ("values", "first", "failing"),
    [
        ({}, "application/json", True),
        ({}, "text/plain", False),
        ({"json_body": True}, "text/plain", True),
        ({"headers": {"accept": "application/json"}}, "text/plain", True),
        ({"headers": {"Accept": "text/html"}}, "application/json", False),
        ({"contains": ""}, "application/json", False),
    ],
)
def test_a_page_in_place_of_json_is_a_failure(values, first, failing):
    spec = RequestSpec(name="x", method="GET", path="/", weight=1, timeout=5, **values)
    call = Call(Endpoint("http://service"), spec, bodies=Bodies(spec))
    for kind in (first, "Text/HTML; charset=utf-8".lower()):
        given = answer(Content_Type=kind)
        given.sink = call.sink(given)
        found = call.unexpected(given)
    assert (found is not None and found.kind == "HTML page") == failing
