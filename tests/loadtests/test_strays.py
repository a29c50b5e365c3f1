"""A run says that the upstream got requests that no route of its profile matches."""

import json

import pytest

from loadtests.run.strays import Strays
from tests.support.brownout_runs import called

# The service calls a path of the upstream that no route has.
PLAN = """
name = "strays"
[upstream]
latency = "1ms"
[[upstream.routes]]
path = "/elsewhere"
[[upstream.timeline.phases]]
name = "calm"
for = "10m"
[deployments.async]
variant = "async-aiohttp"
[[requests]]
path = "/external-data"
[load]
levels = [1]
settle = "0s"
measure = "1s"
"""


def account(unmatched, *recent, elapsed=10.0, generation=1):
    return {
        "epoch": "e",
        "generation": generation,
        "elapsed": elapsed,
        "unmatched": unmatched,
        "recent_unmatched": [
            {"at": at, "method": method, "path": path} for at, method, path in recent
        ],
    }


def test_no_remark_is_made_without_requests_that_have_no_route():
    assert Strays(account(0)).problem(account(0, elapsed=20.0)) is None
    assert Strays(account(7)).problem(account(7, (5.0, "GET", "/x"), elapsed=20.0)) is None
    assert Strays(account(0)).problem(None) is None
    assert Strays(None).problem({"what": "another version says"}) is None


def test_requests_without_a_route_are_counted_and_the_most_frequent_named():
    recent = [(5.0, "GET", "/old"), *[(12.0, "POST", "/v1/charge")] * 3, (13.0, "GET", "/me")]
    assert Strays(account(7, elapsed=10.0)).problem(account(1207, *recent, elapsed=20.0)) == (
        "The upstream got 1,200 requests that no route of its profile matches, and answered them "
        "404: POST /v1/charge, GET /me."
    )
    assert Strays(account(0)).problem(account(1, (12.0, "GET", "/me"))) == (
        "The upstream got a request that no route of its profile matches, and answered it 404: "
        "GET /me."
    )
    many = [(11.0, "GET", f"/{n}") for n in range(5)]
    assert (
        Strays(account(0)).problem(account(5, *many)).endswith("404: GET /0, GET /1, GET /2 ....")
    )


def test_a_ledger_that_began_again_has_counted_from_zero_since():
    later = account(2, (1.0, "GET", "/x"), (2.0, "GET", "/x"), elapsed=3.0, generation=2)
    assert "got 2 requests" in Strays(account(90, elapsed=50.0)).problem(later)
    assert Strays(account(90, elapsed=50.0)).problem(later).endswith("404: GET /x.")


@pytest.mark.processes
def test_a_run_names_them_and_begins_a_timeline_that_waits_for_the_load_test(tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    _, invocation = called("run", "plan.toml", cwd=tmp_path)
    told = [text for text in invocation.run().problems if "no route" in text]
    assert len(told) == 1
    assert told[0].startswith("The upstream got ")
    assert told[0].endswith(" matches, and answered them 404: GET /external-data.")
    samples = "".join(
        file.read_text(encoding="utf-8") for file in tmp_path.glob("runs/*/samples.jsonl")
    )
    phases = {json.loads(line)["mock"]["phase"] for line in samples.splitlines()}
    assert phases == {"calm"}
