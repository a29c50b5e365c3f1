"""How sure a look must be when there are many."""

import math

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from loadtests.analysis.stats.sequential import (
    half_width,
    looks_so_far,
    p_value,
    significances,
    spent,
)


def bounds(looks, total, alpha):
    return [-float(scipy.special.ndtri(p / 2)) for p in significances(looks, total, alpha)]


def test_bounds_equal_the_published_ones_for_pocock_like_spending() -> None:
    """Five looks, alpha 0.05: ldBounds and Jennison and Turnbull, table 7.6, agree to 0.001."""
    expected = [2.438, 2.427, 2.410, 2.397, 2.386]
    assert bounds((1, 2, 3, 4, 5), 5, 0.05) == pytest.approx(expected, abs=0.001)


def test_a_single_test_at_the_end_is_an_ordinary_test() -> None:
    assert significances((20,), 20, 0.05)[0] == pytest.approx(0.05, rel=1e-6)


@given(
    steps=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    spare=st.integers(0, 20),
    alpha=st.sampled_from([0.01, 0.05]),
)
def test_all_interim_tests_together_spend_the_error_probability(steps, spare, alpha) -> None:
    """Simulated equal pairs are called different as often as allowed, within chance."""
    looks = np.cumsum(steps)
    total = int(looks[-1]) + spare
    wanted = np.array(bounds(tuple(looks.tolist()), total, alpha))
    walks = np.random.default_rng(1).normal(size=(4000, int(looks[-1]))).cumsum(axis=1)
    scores = walks[:, looks - 1] / np.sqrt(looks)
    alarms = float((np.abs(scores) > wanted).any(axis=1).mean())
    expected = spent(int(looks[-1]) / total, alpha)
    assert abs(alarms - expected) < 4 * math.sqrt(expected / 4000) + 0.001


def test_more_interim_tests_narrow_the_last_bound() -> None:
    few, many = significances((12, 24), 24, 0.01), significances(tuple(range(4, 25)), 24, 0.01)
    assert many[-1] < few[-1] < 0.01


def test_student_takes_the_place_of_the_normal_distribution() -> None:
    values = [0.01, 0.03, 0.02, 0.05, 0.00]
    reference = scipy.stats.ttest_1samp(values, 0.0)
    assert p_value(values) == pytest.approx(reference.pvalue)
    low, high = reference.confidence_interval(0.97)
    assert half_width(values, 0.03) == pytest.approx((high - low) / 2)


def test_without_noise_any_difference_is_one_and_none_is_none() -> None:
    assert p_value([0.0, 0.0, 0.0]) == 1.0
    assert p_value([0.25, 0.25, 0.25]) == 0.0
    assert p_value([0.1]) == 1.0
    assert half_width([0.1], 0.05) == math.inf


def test_a_test_follows_each_round() -> None:
    assert looks_so_far(4, 6) == (4, 5, 6)
