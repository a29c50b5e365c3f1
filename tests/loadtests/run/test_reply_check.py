"""A single request to a service in this process, and what is said of its answer."""

import gzip

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from loadtests.plans.requests import Request
from loadtests.run import reply_check
from loadtests.run.ping import send
from tests.support.servers import serving

app = FastAPI()


@app.get("/items/")
def items():
    return ["item"]


@app.get("/items/{number}")
def item(number: int):
    return Response(status_code=404)


@app.get("/login-first")
def login_first():
    return RedirectResponse("/login?next=1&token=abcdefgh")


@app.get("/secure")
def secure():
    return RedirectResponse("https://127.0.0.1/secure")


@app.get("/unchanged")
def unchanged():
    return Response(status_code=304)


@app.get("/private")
def private():
    return Response('{"detail": "Not authenticated"}', 401)


@app.get("/page")
def page():
    return HTMLResponse("<html><title>Please\x1b log in</title></html>")


@app.get("/fails")
def fails():
    return Response("boom, password=hunter22", 500)


@app.get("/packed")
def packed(size: int = 5):
    return Response(gzip.compress(b"x" * size), headers={"content-encoding": "gzip"})


@app.get("/breaks")
def breaks():
    def parts():
        yield b"begin"
        raise RuntimeError

    return StreamingResponse(parts())


@pytest.fixture(scope="module")
def url():
    with serving(app) as url:
        yield url


def said(url: str, **request: object) -> str | None:
    spec = Request.model_validate(request).spec()
    return reply_check.problem(url, spec, send(url, spec, 20.0), list(app.openapi()["paths"]))


def test_an_expected_answer_is_no_problem(url):
    assert said(url, path="/items/") is None
    assert said(url, path="/private", expect={"status": [200, 401]}) is None
    assert said(url, path="/page", expect={"contains": "log in"}) is None
    assert said(url, path="/page", headers={"Accept": "text/html"}) is None
    assert said(url, path="/packed", expect={"contains": "xxxxx"}) is None
    assert said(f"{url}/items", path="/") is None


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"path": "/items"}, ["answers 307, a redirect to http", 'Write path = "/items/".']),
        ({"path": "/login-first"}, ["answers 307", "token={redacted}", "It wants a log-in"]),
        ({"path": "/secure"}, ["redirect to https://127.0.0.1/secure", "It wants HTTPS"]),
        ({"path": "/private"}, ["answers 401", "Not authenticated", "Bearer {env.TOKEN}"]),
        ({"path": "/itms/"}, ["answers 404", 'Did you mean path = "/items/"?']),
        ({"path": "/items/7"}, ["answers 404", "what it names is not there"]),
        ({"path": "/items/", "method": "POST"}, ["answers 405", "It takes GET."]),
        ({"path": "/items/x"}, ["answers 422", "change json, headers or the query in path"]),
        ({"path": "/unchanged"}, ["answers 304.", "write expect = { status = 304 }."]),
        ({"path": "/page"}, ["an HTML page with the title", "not with JSON"]),
        ({"path": "/fails"}, ["answers 500: boom, password={redacted}."]),
        ({"path": "/breaks"}, ["answers 200, but the connection was closed in the middle"]),
        (
            {"path": "/items/", "expect": {"status": 201}},
            ["answers 200, not 201 as the plan expects"],
        ),
        (
            {"path": "/packed", "expect": {"contains": "y"}},
            ["its body does not contain 'y', which the plan expects"],
        ),
    ],
)
def test_the_problem_is_named_with_a_hint(url, request_, says):
    text = said(url, **request_)
    assert text is not None
    assert [part for part in says if part not in text] == []
    assert "\x1b" not in text


def test_a_service_that_does_not_listen_is_reported(free_port):
    text = said(f"http://127.0.0.1:{free_port}", path="/")
    assert text == "gives no answer: the connection was refused."


def test_size_and_time_are_those_of_the_answer(url):
    spec = Request(path="/packed?size=100000").spec()
    reply = send(url, spec, 20.0)
    assert reply.size < len(reply.body) == 100000
    assert 0 < reply.first_byte <= reply.seconds
