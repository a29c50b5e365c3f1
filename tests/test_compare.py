"""Two runs side by side."""

import pytest
from example_runs import changed, example
from hypothesis import given
from hypothesis import strategies as st

from loadtests.compare import METRICS, Comparison, compare, ratio
from loadtests.results import Estimate, Run

positive = st.floats(1e-3, 1e3)


@st.composite
def estimates(draw):
    low, value, high = sorted(draw(st.tuples(positive, positive, positive)))
    return Estimate(value=value, low=low, high=high)


@given(estimates(), estimates())
def test_swapping_the_sides_inverts_the_ratio_and_its_interval(a, b):
    there, back = ratio(a, b), ratio(b, a)
    assert there.value == pytest.approx(1 / back.value)
    assert there.low == pytest.approx(1 / back.high)
    assert there.high == pytest.approx(1 / back.low)


@given(estimates(), estimates())
def test_the_interval_of_a_ratio_holds_it_and_is_no_narrower_than_either_side(a, b):
    found = ratio(a, b)
    assert found.low <= found.value * (1 + 1e-9)
    assert found.high >= found.value * (1 - 1e-9)
    assert found.high / found.low >= max(a.high / a.low, b.high / b.low) * (1 - 1e-9)


def test_a_side_without_an_interval_leaves_the_ratio_without_one():
    found = ratio(Estimate(value=2.0), Estimate(value=3.0, low=2.9, high=3.1))
    assert (found.value, found.low, found.high) == (1.5, None, None)
    assert ratio(None, Estimate(value=1.0)) is None
    assert ratio(Estimate(value=0.0), Estimate(value=1.0)) is None


def test_a_run_compared_with_itself_has_ratios_of_one_and_no_differences():
    found = compare(example(), example())
    assert [(pair.a, pair.b) for pair in found.pairs] == [
        (name, name) for name in example().deployments
    ]
    ratios = [
        r for pair in found.pairs for level in pair.levels for r in level.ratios.values() if r
    ]
    assert {round(one.value, 9) for one in ratios} == {1.0}
    assert all(one.low < 1 < one.high for one in ratios)
    assert found.differences == found.alone_a == found.alone_b == []


def test_b_over_a_is_above_one_where_b_is_slower():
    def slower(point):
        times = {n: e and Estimate(value=2 * e.value) for n, e in point.response_time.items()}
        return point.model_copy(update={"response_time": times})

    level = compare(example(), changed(example(), slower)).pairs[0].levels[-1]
    assert level.ratios["p95"].value == pytest.approx(2)
    assert level.ratios["throughput"].value == pytest.approx(1)


def test_an_invalid_point_has_no_ratios_and_says_which_side_it_is_on():
    broken = changed(
        example(), lambda p: p.model_copy(update={"valid": p.level != 40, "problems": ["busy"]})
    )
    level = next(one for one in compare(example(), broken).pairs[0].levels if one.level == 40)
    assert level.ratios == dict.fromkeys(METRICS)
    assert level.problems == ["B is not valid: busy"]


def only(name, renamed=None):
    def rename(point):
        return point.model_copy(update={"deployment": renamed or name})

    run = example()
    kept = run.model_copy(update={"points": run.of(name), "knees": {}})
    return changed(kept, rename)


def test_the_only_deployments_of_two_runs_are_a_pair_whatever_their_names():
    found = compare(only("async-httpx"), only("async-httpx", "new"))
    assert [(pair.a, pair.b) for pair in found.pairs] == [("async-httpx", "new")]


def test_deployments_without_a_counterpart_are_named():
    found = compare(example(), only("async-httpx"))
    assert [pair.a for pair in found.pairs] == ["async-httpx"]
    assert found.alone_a == ["blocking-requests", "async-aiohttp"]
    assert found.alone_b == []


def test_what_makes_runs_unlike_is_said():
    run = example()
    plan = run.plan | {
        "upstream": {"latency": "10ms"},
        "requests": [{"path": "/data"}],
        "load": run.plan["load"] | {"levels": [1, 2]},
    }
    versions = run.environment["versions"] | {"locust": "2.47.2"}
    environment = run.environment | {"cpu": "another", "versions": versions}
    other = run.model_copy(
        update={"plan": plan, "environment": environment, "status": "interrupted"}
    )
    assert compare(run, other).differences == [
        "upstream: latency is p50=50ms p95=80ms p99=150ms in A, 10ms in B",
        "requests: GET /external-data in A, GET /data in B",
        "load: levels is [1, 5, 10, 20, 40, 80, 160] in A, [1, 2] in B",
        "environment: cpu is 2 x Example CPU at 2.5 GHz in A, another in B",
        "version: locust is 2.47.1 in A, 2.47.2 in B",
        "run B was interrupted",
    ]


def test_a_comparison_survives_the_way_through_json():
    found = compare(example(), example())
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_runs_without_points_have_no_pairs():
    empty = Run(id="r", name="r", started="")
    assert compare(empty, example()).pairs == []
