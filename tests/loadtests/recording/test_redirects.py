"""The request that follows a redirect, without a service that gives one."""

import pytest

from loadtests.recording.messages import RequestSpec
from loadtests.recording.redirects import onward

TARGET = "http://127.0.0.1:8000/api"


def spec(method="POST", path="/orders", **headers):
    body = "{}" if method == "POST" else None
    return RequestSpec(
        name="x", method=method, path=path, weight=1, timeout=1, body=body, headers=headers
    )


@pytest.mark.parametrize(
    ("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")]
)
def test_headers_of_a_body_are_dropped_with_the_body(status, method):
    given = {"Content-Type": "application/json", "Content-Length": "2", "X-Own": "1"}
    found = onward(spec(**given), TARGET, status, "/api/orders/")
    assert (found.method, found.path) == (method, "/orders/")
    assert found.headers == (given if method == "POST" else {"X-Own": "1"})
    assert (found.body is None) == (method == "GET")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_safe_method_stays_with_a_redirect_that_is_for_now(method):
    assert onward(spec(method), TARGET, 302, "?page=2").method == method


@pytest.mark.parametrize(
    "location",
    ["https://127.0.0.1:8000/api/orders", "http://127.0.0.1:8001/api/orders", "/other/orders"],
)
def test_another_scheme_port_or_folder_is_another_service(location):
    assert onward(spec(), TARGET, 307, location) is None


def test_the_name_that_a_request_gives_as_host_is_the_service_by_the_same_scheme():
    named = spec(Host="shop.example.org")
    assert onward(named, TARGET, 307, "http://shop.example.org/api/new").path == "/new"
    assert onward(named, TARGET, 307, "https://shop.example.org/api/new") is None
