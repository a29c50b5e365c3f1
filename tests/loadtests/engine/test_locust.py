"""Locust's own statistics and listeners: they have every request of a plan, as the service has."""

import csv
import re
from collections import Counter

import pytest

from tests.support.brownout_runs import LOCUST, started
from tests.support.servers import serving

pytestmark = pytest.mark.processes

PLAN = """
name = "counted"
[deployments.there]
url = "{url}"
[[requests]]
name = "/good"
path = "/good"
weight = 9
[[requests]]
name = "=bad"
path = "/bad"
method = "POST"
[load]
levels = [4, 8]
settle = "250ms"
measure = "1s"
{load}
"""
LISTENER = """
import os
from locust import events

@events.request.add_listener
def hear(request_type, name, response_length, exception, user=None, **_):
    with open("heard.txt", "a", encoding="utf-8") as file:
        file.write(f"{request_type} {name} {response_length} {exception}\\n")
"""


class Service:
    """Counts what comes to it; what is bad fails."""

    def __init__(self):
        self.arrivals = Counter()

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        self.arrivals[scope["method"], scope["path"]] += 1
        status = 503 if scope["path"] == "/bad" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"12345"})


def counted(folder, *words, load="", locustfiles=""):
    """
    What came to the service, and the rows of Locust's table of requests, by name.

    `locustfiles` are loaded besides ours.

    The failures, or a machine that is busy, decide what a run's exit code is.
    """
    service = Service()
    with serving(service) as url:
        (folder / "plan.toml").write_text(PLAN.format(url=url, load=load), encoding="utf-8")
        locust = [*LOCUST[:-1], LOCUST[-1] + locustfiles]
        words = [*locust, "--headless", "--only-summary", "--csv", "table", *words]
        with started([*words, "--plan", "plan.toml"], folder) as invocation:
            assert invocation.end() in (0, 1), invocation.output
    # One request of each kind is tried before the load, which is said.
    tried = Counter(re.findall(r"^there +[/=](\w+): \d", invocation.output, re.MULTILINE))
    for kind in service.arrivals:
        service.arrivals[kind] -= tried[kind[1][1:]]
    with (folder / "table_stats.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    return service.arrivals, rows


def test_locusts_table_has_as_many_requests_as_came_to_the_service_in_the_open_model(tmp_path):
    agree(*counted(tmp_path, load='model = "open"'))


def test_locusts_table_and_a_users_listener_have_each_request_of_each_process(tmp_path):
    (tmp_path / "listener.py").write_text(LISTENER, encoding="utf-8")
    arrivals, rows = counted(tmp_path, "--processes", "2", locustfiles=",listener.py")
    agree(arrivals, rows)
    heard = Counter((tmp_path / "heard.txt").read_text(encoding="utf-8").splitlines())
    good, bad = arrivals["GET", "/good"], arrivals["POST", "/bad"]
    assert heard == {"GET /good 5 None": good, "POST =bad 5 status 503": bad}


def agree(arrivals, rows):
    """Check that the table has what came to the service, and no name that is a formula."""
    good, bad = arrivals["GET", "/good"], arrivals["POST", "/bad"]
    assert good > 0 < bad
    assert {name: int(row["Request Count"]) for name, row in rows.items()} == {
        "/good": good,
        "'=bad": bad,
        "Aggregated": good + bad,
    }
    assert {name: int(row["Failure Count"]) for name, row in rows.items()} == {
        "/good": 0,
        "'=bad": bad,
        "Aggregated": bad,
    }
    assert rows["/good"]["Type"] == "GET"
    assert {float(row["Average Content Size"]) for row in rows.values()} == {5.0}
    times = [float(rows["/good"][f"{name} Response Time"]) for name in ("Min", "Average", "Max")]
    assert 0 < times[0] <= times[1] <= times[2]
