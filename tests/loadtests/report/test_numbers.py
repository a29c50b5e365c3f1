import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.report.text import numbers
from loadtests.results import Errors, Estimate, Knee


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(value=0.0803, low=0.0794, high=0.0812), "80.3 ±0.9 ms"),
        (Estimate(value=0.0803, low=0.0801, high=0.0849), "80.3 (80.1–84.9) ms"),  # noqa: RUF001
        (Estimate(value=1.234, low=1.224, high=1.244), "1.23 ±0.01 s"),
        (Estimate(value=0.0512), "51.2 ms"),
        (Estimate(value=0.9999), "1.00 s"),
        (None, "–"),  # noqa: RUF001
    ],
)
def test_durations_have_three_digits_and_a_unit(estimate, text):
    assert numbers.duration_estimate(estimate) == text


def test_rates_are_grouped_by_thousands():
    estimate = Estimate(value=2951.4, low=2931.0, high=2971.0)
    assert numbers.rate_estimate(estimate) == "2,951 ±21/s"


def test_a_knee_shows_both_ends():
    knee = Knee(level=39.6, low=38.2, high=41.1)
    assert numbers.knee_level(knee) == "39.6 (38.2–41.1)"  # noqa: RUF001


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.0, "0 %"), (1e-6, "<0.01 %"), (0.0004, "0.04 %"), (0.123, "12.3 %"), (1.0, "100 %")],
)
def test_only_a_share_of_exactly_zero_reads_as_zero(ratio, text):
    assert numbers.percent(ratio) == text


@pytest.mark.parametrize(("ratio", "text"), [(0.926, "92.6 %"), (1.074, "107 %"), (0.0, "0 %")])
def test_values_above_their_prediction_show_the_excess(ratio, text):
    assert numbers.proportion(ratio) == text


def test_the_most_frequent_error_comes_first():
    errors = Errors(rate=0.05, kinds={"timeout": 9, "503": 41})
    assert numbers.errors(errors) == "5.0 % (41 × 503, 9 × timeout)"  # noqa: RUF001


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("p95 < 1s at 40", "546 ±74 ms"),
        ("throughput > 1/s at 40", "0.546 ±0.074/s"),
        ("p95(a) < 0.5 * p95(b) at 40", "ratio 0.546 (0.480–0.620)"),  # noqa: RUF001
        ("throughput(a) > throughput(b) at 40", "ratio 0.546 (0.480–0.620)"),  # noqa: RUF001
        ("knee(a) > knee(b)", "ratio 0.546 (0.480–0.620)"),  # noqa: RUF001
        ("p96 of a later version", "546 ±74 ms"),
    ],
)
def test_a_measured_slo_has_the_unit_of_its_metric_or_is_a_ratio(text, shown):
    estimate = Estimate(value=0.546, low=0.48, high=0.62)
    assert numbers.slo_estimate(text, estimate) == shown
    assert numbers.slo_estimate(text, None) == numbers.MISSING


@given(
    value=st.floats(1e-4, 900),
    below=st.floats(0, 0.9),
    above=st.floats(0, 9),
    interval=st.sampled_from(["fitting", "ends", "compact"]),
)
def test_rounding_never_narrows_an_interval(value, below, above, interval):
    estimate = Estimate(value=value, low=value * (1 - below), high=value * (1 + above))
    text = numbers.rate_estimate(estimate, interval).replace(",", "").removesuffix("/s")
    found = [float(number) for number in re.findall(r"[\d.]+", text)]
    if "±" in text:
        shown, half = found
        low, high = shown - half, shown + half
    else:
        shown, low, high = found
    rounding = 10 ** -len(re.findall(r"[\d.]+", text)[0].partition(".")[2]) / 2
    assert low <= estimate.low + rounding * 1.001
    assert high >= estimate.high - rounding * 1.001
