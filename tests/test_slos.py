"""The language of SLOs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import slos
from loadtests.slos import Slo, parse


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
def test_a_promise_is_read_in_the_units_of_the_code(text, expected):
    assert parse(text) == Slo(*expected, text.strip())


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
    ],
)
def test_a_broken_promise_is_refused_with_its_place_and_the_grammar(text, column, expected):
    with pytest.raises(ValueError, match="METRIC") as caught:
        parse(text)
    message = str(caught.value).splitlines()
    assert expected in message[0]
    assert message[0].endswith(f"column {column}")
    assert message[1] == f"  {text}"
    assert message[2] == "  " + " " * (column - 1) + "^"


@given(st.text(max_size=30) | st.text("p95 <=>()ats0.%/k", max_size=20))
def test_any_text_is_a_promise_or_a_value_error(text):
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
def test_a_promise_is_kept_on_its_side_of_the_threshold(comparison, below, equal, above):
    slo = parse(f"knee {comparison} 60")
    assert [slo.holds(59), slo.holds(60), slo.holds(61)] == [below, equal, above]
