"""The language of SLOs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import plans
from loadtests.plans import slos
from loadtests.plans.slos import Slo, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p95 < 250ms at 40", ("p95", None, "<", 0.25, 40)),
        ("p95(async-httpx) <= 1.5s at 40", ("p95", "async-httpx", "<=", 1.5, 40)),
        ("p99( threads[20,2] )<2s at 1", ("p99", "threads[20,2]", "<", 2.0, 1)),
        ("mean > 1ms at 5", ("mean", None, ">", 0.001, 5)),
        ("errors < 0.1%", ("errors", None, "<", 0.001, None)),
        ("errors <= 0.01 at 80", ("errors", None, "<=", 0.01, 80)),
        ("errors(a) <= 0%", ("errors", "a", "<=", 0.0, None)),
        ("throughput > 500/s at 80", ("throughput", None, ">", 500.0, 80)),
        ("  knee >= 60.5 ", ("knee", None, ">=", 60.5, None)),
    ],
)
def test_an_slo_is_read_in_the_units_of_the_code(text, expected):
    assert parse(text) == Slo(*expected, text=text.strip())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p95(a) < 0.5 * p95(b) at 80", ("p95", "a", "<", 0.5, 80, "b")),
        ("p95(a) < p95(b) at 80", ("p95", "a", "<", 1.0, 80, "b")),
        ("p95(a)<=p95( t[20,2] )*1.05 at 80", ("p95", "a", "<=", 1.05, 80, "t[20,2]")),
        ("mean(a) > 2*mean(b)at 1", ("mean", "a", ">", 2.0, 1, "b")),
        ("throughput(a) >= 1.5 * throughput(b) at 10", ("throughput", "a", ">=", 1.5, 10, "b")),
        (" knee(a) > 2 * knee(b) ", ("knee", "a", ">", 2.0, None, "b")),
    ],
)
def test_an_slo_compares_deployments_by_a_factor(text, expected):
    *seen, against = expected
    assert parse(text) == Slo(*seen, text=text.strip(), against=against)
    assert parse(text).named == ["a", against]


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "a metric"),
        ("p90 < 1s at 1", 1, "a metric"),
        ("p95 250ms at 40", 5, "<, <=, > or >="),
        ("p95 = 250ms at 40", 5, "<, <=, > or >="),
        ("p95() < 250ms at 40", 5, "the name of a deployment"),
        ("p95(a < 250ms at 40", 20, "the name of a deployment"),
        ("p95 < 250 at 40", 7, "a duration with its unit"),
        ("p95 < -5ms at 40", 7, "a duration with its unit"),
        ("p95 < 0s at 40", 7, "a duration with its unit"),
        ("p95 < ", 7, "a duration with its unit"),
        ("p95 < 250ms", 12, "changes with the level"),
        ("p95 < 250ms at", 15, "a whole number from 1"),
        ("p95 < 250ms at 0", 16, "a whole number from 1"),
        ("p95 < 250ms at 4.5", 16, "a whole number from 1"),
        ("p95 < 250ms on 40", 13, "'at' and a level"),
        ("p95 < 250ms at 40 users", 19, "the end"),
        ("errors < 101%", 10, "a share"),
        ("errors < 1s", 10, "a share"),
        ("throughput > 500 at 80", 14, "such as 500/s"),
        ("throughput > 500/s", 19, "changes with the level"),
        ("knee > 60/s", 8, "a number of users"),
        ("knee > 60 at 40", 11, "the knee is a level itself"),
        ("p95 < 0.5 * p95(b) at 40", 5, "name the first one, too: p95(NAME) is expected on the"),
        ("p95 < p95(b) at 40", 5, "name the first one, too"),
        ("p95(a) < p99(b) at 40", 10, "p95 is expected on the right as on the left"),
        ("p95(a) < p96(b) at 40", 10, "p95 is expected on the right as on the left"),
        ("p95(a) < 0.5 * 3 at 40", 16, "p95 is expected on the right as on the left"),
        ("p95(a) < * p95(b) at 40", 10, "p95 is expected on the right as on the left"),
        ("p95(a) < 0.5 p95(b) at 40", 14, "'*' is expected behind the factor"),
        ("p95(a) < 0.0 * p95(b) at 40", 10, "a factor above 0"),
        ("p95(a) < p95(b) * 0 at 40", 19, "a factor above 0"),
        ("p95(a) < p95(b) * at 40", 19, "a factor is expected, such as 0.5"),
        ("p95(a) < 2 * p95(b) * 2 at 40", 21, "there is a factor before"),
        ("p95(a) < -2 * p95(b) at 40", 10, "a duration with its unit"),
        ("p95(a) < p95 at 40", 14, "the name of the other deployment is expected: p95(NAME)"),
        ("p95(a) < p95() at 40", 14, "the name of a deployment and ')'"),
        ("p95(a) < p95(a) at 40", 13, "another deployment than on the left"),
        ("p95(a) < p95(b)", 16, "changes with the level"),
        ("p95(a) < p95(b) + 3ms at 40", 17, "'at' and a level"),
        ("errors(a) < errors(b)", 13, "errors of two deployments cannot be compared"),
        ("errors < 0.5 * errors(b) at 40", 10, "errors of two deployments cannot be compared"),
        ("knee(a) > knee(b) at 40", 19, "the knee is a level itself"),
    ],
)
def test_a_malformed_slo_is_refused_with_its_place_and_the_grammar(text, column, expected):
    with pytest.raises(ValueError, match="METRIC") as caught:
        parse(text)
    message = str(caught.value).splitlines()
    assert expected in message[0]
    assert message[0].endswith(f"(column {column})")
    assert message[1] == f"  {text}"
    assert message[2] == "  " + " " * (column - 1) + "^"


@given(
    st.text(max_size=30)
    | st.text("p95 <=>()ats0.%/k*", max_size=20)
    | st.lists(
        st.sampled_from(["p95", "knee", "errors", "(a)", "(b)", "<", "0.5", "*", "at", "40"]),
        max_size=9,
    ).map(" ".join)
)
def test_any_text_is_an_slo_or_a_value_error(text):
    try:
        assert parse(text).text == text.strip()
    except ValueError as error:
        assert slos.GRAMMAR in str(error)  # noqa: PT017 - either way is right


@pytest.mark.parametrize(
    ("comparison", "below", "equal", "above"),
    [
        ("<", True, False, False),
        ("<=", True, True, False),
        (">", False, False, True),
        (">=", False, True, True),
    ],
)
def test_an_slo_is_met_on_its_side_of_the_threshold(comparison, below, equal, above):
    slo = parse(f"knee {comparison} 60")
    assert [slo.holds(59), slo.holds(60), slo.holds(61)] == [below, equal, above]


def test_an_slo_of_a_search_can_name_any_level(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        'name = "a"\n[deployments.own]\nurl = "http://127.0.0.1:9"\n[[requests]]\npath = "/"\n'
        '[load]\nlevels = [5, 9]\n[slos]\na = "p95 < 900ms at 40"\nb = "errors < 1% at 9"\n',
        encoding="utf-8",
    )
    with pytest.raises(plans.PlanError, match="40 is not among the levels"):
        plans.read(path)
    found = plans.read(path, search=True)
    assert [slo.text for slo in found.slos.values()] == ["p95 < 900ms at 5", "errors < 1% at 9"]


def test_an_slo_of_a_search_needs_no_level(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        'name = "a"\n[deployments.own]\nurl = "http://127.0.0.1:9"\n[[requests]]\npath = "/"\n'
        '[load]\nlevels = [5]\n[slos]\nfast = "p95 < 900ms"\nfew = "errors < 1%"\n',
        encoding="utf-8",
    )
    with pytest.raises(plans.PlanError, match="'at 40', say, is expected"):
        plans.read(path)
    found = plans.read(path, search=True)
    assert [slo.text for slo in found.slos.values()] == ["p95 < 900ms at 5", "errors < 1%"]
    path.write_text(plans.to_toml(found), encoding="utf-8")
    assert plans.read(path) == found
