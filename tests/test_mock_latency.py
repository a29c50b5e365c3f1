"""Latency as text: what it means, and what is refused."""

from contextlib import suppress
from itertools import pairwise
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_upstream.durations import LONGEST, format_duration, parse_duration
from mock_upstream.latency import (
    Constant,
    Exponential,
    Latency,
    LatencyError,
    Lognormal,
    Percentiles,
    Uniform,
    parse,
)

positive = st.floats(1e-6, LONGEST)
duration = st.just(0.0) | positive
shares = st.floats(1e-12, 1 - 1e-12)
ranks = st.sets(st.sampled_from([0.1, 1, 5, 25, 50, 75, 90, 95, 99, 99.9]), min_size=2)


@st.composite
def percentiles(draw: st.DrawFn) -> Latency:
    chosen = sorted(draw(ranks))
    values = sorted(draw(st.lists(positive, min_size=len(chosen), max_size=len(chosen))))
    most = draw(st.none() | st.floats(values[-1], LONGEST))
    return Percentiles(tuple(zip(chosen, values, strict=True)), most)


latencies = st.one_of(
    st.builds(Constant, duration),
    st.tuples(duration, duration).map(lambda pair: Uniform(*sorted(pair))),
    st.builds(Exponential, positive),
    st.tuples(positive, positive).map(lambda pair: Lognormal(*sorted(pair))),
    percentiles(),
)


@given(latencies)
def test_the_printed_text_reads_back_as_the_same_latency(latency: Latency) -> None:
    assert parse(str(latency)) == latency


@given(latencies, st.lists(shares, min_size=2, max_size=20))
def test_a_larger_share_never_takes_less_time(latency: Latency, some: list[float]) -> None:
    delays = [latency.quantile(share) for share in sorted(some)]
    for shorter, longer in pairwise(delays):
        assert shorter <= longer * (1 + 1e-9)  # the normal quantile is rounded to that


@given(latencies, shares)
def test_every_delay_lies_between_nothing_and_an_hour(latency: Latency, share: float) -> None:
    assert 0 <= latency.quantile(share) <= LONGEST * (1 + 1e-12)


@given(percentiles())
def test_each_given_quantile_is_met(latency: Percentiles) -> None:
    for percent, seconds in latency.points:
        assert latency.quantile(percent / 100) == pytest.approx(seconds, rel=1e-12)


@given(st.text("p5m09.=s()-,+eEux "))
def test_any_text_is_a_latency_or_refused(text: str) -> None:
    with suppress(LatencyError):
        assert isinstance(parse(text), Latency)


@given(duration)
def test_a_duration_is_printed_without_loss(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0ms", 0), ("250us", 0.00025), ("50ms", 0.05), ("1.5s", 1.5), ("2m", 120), ("1e1 ms", 0.01)],
)
def test_durations_have_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse(text) == Constant(seconds)


@pytest.mark.parametrize(
    ("text", "share", "seconds"),
    [
        ("50ms", 0.3, 0.05),
        ("uniform(20ms,80ms)", 0.5, 0.05),
        ("uniform( 20ms , 80ms )", 0.25, 0.035),
        ("exponential(50ms)", 0.5, 0.05 * 0.6931471805599453),
        ("lognormal(p50=50ms,p99=200ms)", 0.5, 0.05),
        ("lognormal(p50=50ms,p99=200ms)", 0.99, 0.2),
        ("p50=50ms p95=120ms p99=300ms max=1s", 0.95, 0.12),
        ("p99=300ms p50=50ms p95=120ms", 0.95, 0.12),
        ("p50=50ms p95=120ms p99=300ms max=1s", 1 - 1e-12, 1.0),
        ("p50=50ms p95=50ms", 0.7, 0.05),
    ],
)
def test_a_text_means_its_distribution(text: str, share: float, seconds: float) -> None:
    assert parse(text).quantile(share) == pytest.approx(seconds, rel=1e-9)


def test_two_quantiles_make_a_lognormal() -> None:
    paper, law = parse("p50=50ms p99=200ms"), parse("lognormal(p50=50ms,p99=200ms)")
    for share in (0.001, 0.2, 0.7, 0.95, 0.9999):
        assert paper.quantile(share) == pytest.approx(law.quantile(share), rel=1e-12)


def test_between_two_quantiles_the_line_is_straight_on_lognormal_paper() -> None:
    middle = NormalDist().cdf((NormalDist().inv_cdf(0.5) + NormalDist().inv_cdf(0.95)) / 2)
    assert parse("p50=10ms p95=40ms p99=1s").quantile(middle) == pytest.approx(0.02, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "reason", "fragment"),
    [
        ("p50=50ms p95=20ms", "p95=20ms is below p50=50ms", "20ms"),
        ("p95=20ms p50=50ms", "p95=20ms is below p50=50ms", "20ms"),
        ("p50=50ms p95=80ms max=60ms", "max=60ms is below p95=80ms", "60ms"),
        ("p50=50ms p50=60ms", "p50 is given twice", "p50"),
        ("p50=50ms p50.0=60ms", "p50.0 is given twice", "p50.0"),
        ("p50=50ms max=1s max=2s", "max is given twice", "max"),
        ("p50=50ms p100=1s", "p100 is no quantile", "p100"),
        ("p0=50ms p50=1s", "p0 is no quantile", "p0"),
        ("p50=50ms min=1s", "'min' is no quantile", "min"),
        ("p50=50ms", "one quantile makes no spread", "p50=50ms"),
        ("p50=0ms p95=1s", "p50 must be above 0", "0ms"),
        ("p50=50ms p95", "expected '=', found the end", ""),
        ("p50=50ms p95=", "a duration such as 50ms is missing", ""),
        ("p50=50ms,p95=60ms", "',' is no quantile", ","),
        ("uniform(80ms,20ms)", "20ms is below 80ms", "20ms"),
        ("uniform(20ms)", "high is missing; it takes low and high", ")"),
        ("uniform(nan,80ms)", "'nan' is not a duration", "nan"),
        ("exponential(0ms)", "mean must be above 0", "0ms"),
        ("lognormal(p50=50ms,p99=20ms)", "p99=20ms is below p50=50ms", "20ms"),
        (
            "lognormal(p50=50ms,p95=80ms)",
            "there is no 'p95' here; it takes p50 and p99, or p50 and mean",
            "p95",
        ),
        ("gauss(5ms)", "no latency called 'gauss'", "gauss"),
        ("NaN", "no latency called 'NaN'", "NaN"),
        ("-5ms", "'-5ms' is negative", "-5ms"),
        ("50", "'50' has no unit; write 50ms or 50s", "50"),
        ("50 parsecs", "unknown unit 'parsecs'", "50 parsecs"),
        ("61m", "longer than an hour", "61m"),
        ("50ms 60ms", "'60ms' is one thing too many", "60ms"),
        ("", "the latency is empty", ""),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(text: str, reason: str, fragment: str) -> None:
    with pytest.raises(LatencyError) as refused:
        parse(text)
    message, shown, mark = str(refused.value).split("\n")
    assert reason in message
    start = mark.index("^")
    assert shown[start : mark.rindex("^") + 1] == fragment
    assert f"(column {start - 1})" in message  # the text is shown after two spaces
