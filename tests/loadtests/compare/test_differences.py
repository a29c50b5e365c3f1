"""What makes two runs unlike."""

import json

import pytest

from loadtests.compare.differences import differences
from loadtests.results import Run
from tests.support.example_runs import example


def planned(**changes) -> Run:
    """The example with other tables in its plan."""
    run = example()
    return run.model_copy(update={"plan": run.plan | changes})


def on(**facts) -> Run:
    """The example, measured elsewhere."""
    run = example()
    return run.model_copy(update={"environment": run.environment | facts})


def loaded(**changes) -> Run:
    return planned(load=example().plan["load"] | changes)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            planned(upstream={"latency": "10ms"}),
            "upstream: latency is p50=50ms p95=80ms p99=150ms in A, 10ms in B",
        ),
        (
            planned(requests=[{"path": "/data"}]),
            "requests: GET /external-data in A, GET /data in B",
        ),
        (
            planned(requests=[{"path": "/external-data", "weight": 2}]),
            "request GET /external-data: weight is 1 in A, 2 in B",
        ),
        (planned(telemetry=False), "plan: telemetry is true in A, false in B"),
        (
            planned(locustfile="/home/me/shop.py"),
            "plan: locustfile is not given in A, shop.py in B",
        ),
        (loaded(model="open"), "load: model is closed in A, open in B"),
        (
            loaded(levels=[1, 2]),
            "load: levels is [1, 5, 10, 20, 40, 80, 160] in A, [1, 2] in B",
        ),
        (loaded(settle="1s"), "load: settle is 2s in A, 1s in B"),
        (loaded(measure="9s"), "load: measure is 5s in A, 9s in B"),
        (loaded(think_time="1s"), "load: think_time is not given in A, 1s in B"),
        (loaded(repeats=3), "load: repeats is not given in A, 3 in B"),
        (on(cpu="another"), "environment: cpu is 2 x Example CPU at 2.5 GHz in A, another in B"),
        (on(cores=4), "environment: cores is not given in A, 4 in B"),
        (on(memory=8_000_000_000), "environment: memory is not given in A, 8.00 GB in B"),
        (on(system="Linux-7"), "environment: system is not given in A, Linux-7 in B"),
        (on(python="3.13.1"), "environment: python is 3.11.9 in A, 3.13.1 in B"),
        (
            on(versions=example().environment["versions"] | {"locust": "2.47.2"}),
            "version: locust is 2.47.1 in A, 2.47.2 in B",
        ),
        (example().model_copy(update={"status": "interrupted"}), "run B was interrupted"),
    ],
)
def test_each_difference_is_said_in_a_line(other, said):
    assert differences(example(), other) == [said]


def test_the_compared_property_is_not_a_difference():
    run = example()
    other = run.model_copy(
        update={
            "name": "other",
            "deployments": {"mine": {"command": "uvicorn head:app", "settings": {"threads": 99}}},
            "plan": run.plan | {"name": "other", "seed": 8, "slos": {}, "deployments": {}},
            "environment": run.environment | {"commit": "abc", "command": "brownout", "load": 3.1},
        }
    )
    assert differences(run, other) == []


def test_a_bit_more_or_less_of_the_same_memory_is_no_difference():
    assert differences(on(memory=8_000_000_000), on(memory=8_010_000_000)) == []
    assert differences(on(memory=8_000_000_000), on(memory=16_000_000_000)) == [
        "environment: memory is 8.00 GB in A, 16.00 GB in B"
    ]


def test_cores_are_named_by_their_users():
    assert differences(
        on(cores_used={"apps": [1], "mock": [0]}), on(cores_used={"apps": [2], "mock": [0]})
    ) == ["environment: cores_used: apps is [1] in A, [2] in B"]


def test_how_arrivals_come_matters_in_the_open_model_alone():
    assert differences(loaded(arrivals="even"), loaded(arrivals="poisson")) == []
    a, b = (loaded(model="open", arrivals=how) for how in ("even", "poisson"))
    assert differences(a, b) == ["load: arrivals is even in A, poisson in B"]


def test_an_upstream_that_is_kept_as_json_is_compared_as_a_table():
    profile = example().plan["upstream"]
    assert differences(example(), planned(upstream=json.dumps(profile))) == []
    faster = json.dumps(profile | {"latency": "1ms"})
    assert differences(planned(upstream=json.dumps(profile)), planned(upstream=faster)) == [
        "upstream: latency is p50=50ms p95=80ms p99=150ms in A, 1ms in B"
    ]


def test_headers_and_bodies_are_never_printed():
    a, b = (
        planned(requests=[{"path": "/", "headers": {"Authorization": key}, "json": {"key": key}}])
        for key in ("secret-1", "secret-2")
    )
    assert differences(a, b) == [
        "request GET /: headers is not the same in A and B",
        "request GET /: json is not the same in A and B",
    ]


def test_long_values_are_named_without_their_text():
    routes = [{"path": "/one", "json": {"state": "paid"}}]
    other = planned(upstream=example().plan["upstream"] | {"routes": routes})
    assert differences(example(), other) == ["upstream: routes is not the same in A and B"]


def test_empty_values_equal_missing_ones():
    upstream = example().plan["upstream"] | {"limits": [], "errors": {}}
    assert differences(example(), planned(upstream=upstream)) == []


def test_a_scenario_is_known_by_the_name_of_its_file_from_any_checkout():
    a, b = planned(locustfile="/base/shop.py"), planned(locustfile="/head/shop.py")
    assert differences(a, b) == []
