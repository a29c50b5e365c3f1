"""Two runs side by side."""

import pytest

from loadtests.compare.saved_runs import METRICS, Comparison, NotComparable, check, compare
from loadtests.results import Estimate, Run
from tests.support.example_runs import changed, example


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
    kept = {"points": run.of(name), "knees": {}, "deployments": {renamed or name: {}}}
    return changed(run.model_copy(update=kept), rename)


def test_the_only_deployments_of_two_runs_are_a_pair_whatever_their_names():
    found = compare(only("async-httpx"), only("async-httpx", "new"))
    assert [(pair.a, pair.b) for pair in found.pairs] == [("async-httpx", "new")]


def test_deployments_without_a_counterpart_are_named():
    found = compare(example(), only("async-httpx"))
    assert [pair.a for pair in found.pairs] == ["async-httpx"]
    assert found.alone_a == ["blocking-requests", "async-aiohttp"]
    assert found.alone_b == []


def test_a_deployment_that_died_before_its_first_level_is_no_missing_one():
    died = example().model_copy(
        update={"points": [p for p in example().points if p.deployment != "async-httpx"]}
    )
    found = compare(example(), died)
    assert found.alone_a == []
    kinds = {verdict.b: verdict.verdict for verdict in found.verdicts}
    assert kinds["async-httpx"] == "INVALID"


def test_every_verdict_names_settings_that_differ():
    elsewhere = example().model_copy(update={"environment": {"cpu": "another"}})
    found = compare(example(), elsewhere, level=20, margin=0.1)
    assert [(one.a, one.level, one.margin) for one in found.verdicts] == [
        (name, 20, 0.1) for name in example().deployments
    ]
    for one in found.verdicts:
        assert "not alike: environment: cpu is 2 x Example CPU at 2.5 GHz in A, another in B" in (
            one.problems
        )


def other() -> Run:
    """The example, measured once more."""
    return changed(example(), lambda p: p.model_copy(update={"seconds": p.seconds + 0.01}))


def test_two_runs_with_equal_settings_can_be_compared():
    check(compare(example(), other()))
    check(compare(example(), other(), level=40), level=40)


@pytest.mark.parametrize(
    ("b", "level", "says"),
    [
        (example(), None, "A and B are one and the same run, 20261120-131500-example"),
        (Run(id="r", name="r", started=""), None, "Run B, r, holds no measurement at all"),
        (only("async-httpx", "new"), None, "No deployment is in both: A has blocking-requests"),
        (other(), 30, "30 is not among the levels that both runs measured: 1, 5, 10"),
    ],
)
def test_comparisons_without_information_are_refused(b, level, says):
    with pytest.raises(NotComparable, match=says):
        check(compare(example(), b, level), level=level)


def test_runs_with_other_settings_are_refused_with_all_differences_and_a_hint():
    b = other().model_copy(update={"status": "interrupted", "environment": {"cpu": "another"}})
    found = compare(example(), b)
    with pytest.raises(NotComparable) as refused:
        check(found)
    lines = str(refused.value).splitlines()
    assert lines[1:-1] == [f"  {difference}" for difference in found.differences]
    assert "--anyway" in lines[-1]
    check(found, anyway=True)


def test_anyway_allows_a_run_against_itself_but_not_against_nothing():
    check(compare(example(), example()), anyway=True)
    with pytest.raises(NotComparable, match="holds no measurement"):
        check(compare(Run(id="r", name="r", started=""), example()), anyway=True)


def test_a_comparison_survives_the_way_through_json():
    found = compare(example(), example())
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_runs_without_points_have_no_pairs():
    empty = Run(id="r", name="r", started="")
    assert compare(empty, example()).pairs == []
