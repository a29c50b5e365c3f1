"""One estimate over another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.analysis.stats.ratios import ends, ratio
from loadtests.results import Estimate

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


@given(estimates(), estimates())
def test_an_end_of_a_ratio_uses_two_matching_ends(a, b):
    low, high = ends(a, b)
    assert ends(a.model_copy(update={"low": None}), b) == (low, None)
    assert ends(a.model_copy(update={"high": 0.0}), b) == (None, high)
    assert ends(a, b.model_copy(update={"low": 0.0})) == (None, high)
    assert ends(a, b.model_copy(update={"high": None})) == (low, None)
