"""Levels at which no call reached the upstream, of services that are meant to call it."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from loadtests import plans
from loadtests.analysis.inputs.records import Record
from loadtests.analysis.silent_upstream import NO_CALL, marked
from loadtests.plans import plan as plan_tables
from tests.support.example_runs import point

CALLS = {"command": "serve --port {port}", "env": {"UPSTREAM": "{upstream}"}}
OWN = {"command": "serve --port {port}"}


def problems(calls: float | None, table: dict[str, Any], **upstream: Any) -> list[str]:
    tables = {"name": "x", "deployments": {"a": table}, "requests": [{"path": "/"}]}
    plan = plans.Plan.model_validate(tables | ({"upstream": upstream} if upstream else {}))
    header = SimpleNamespace(plan=plan_tables._data(plan), deployments={"a": {}})
    record = cast(Record, SimpleNamespace(header=header))
    seen = point("a", 5, throughput=99.0, p50=0.05, p95=0.06, p99=0.07)
    [found] = marked([seen.model_copy(update={"calls": calls})], record)
    return [text for text in found.problems if text == NO_CALL]


@pytest.mark.parametrize(
    ("table", "upstream"),
    [(CALLS, {}), ({"variant": "async-httpx"}, {}), (OWN, {"latency": "90ms"})],
)
def test_a_level_without_a_call_says_so(table: dict[str, Any], upstream: dict[str, Any]) -> None:
    assert problems(0.0, table, **upstream) == [NO_CALL]
    assert problems(1.0, table, **upstream) == []
    assert problems(None, table, **upstream) == []


@pytest.mark.parametrize("table", [OWN, {"url": "http://127.0.0.1:9"}])
def test_a_service_without_the_address_of_the_mock_need_not_call_it(table: dict[str, Any]) -> None:
    assert problems(0.0, table) == []
