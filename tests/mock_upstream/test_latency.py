"""Latency as text: what it means, and what is refused."""

from contextlib import suppress
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import scipy  # its `stats` is imported by the tests that use it, since that takes long
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from loadtests.plans.slos import parse as slo
from mock_upstream.latency import gamma
from mock_upstream.latency.distributions import (
    Constant,
    Exponential,
    Gamma,
    Latency,
    Lognormal,
    Normal,
    Pareto,
    Percentiles,
    Uniform,
)
from mock_upstream.latency.draws import Stream
from mock_upstream.latency.mixtures import Mixture
from mock_upstream.latency.parser import DEEPEST, LONGEST_TEXT, MOST_PARTS, parse
from mock_upstream.units.durations import LONGEST, format_duration, parse_duration
from mock_upstream.units.grammar import TextError
from mock_upstream.units.sizes import parse_bytes, parse_size

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


@st.composite
def mixtures(draw: st.DrawFn, parts: st.SearchStrategy[Latency]) -> Latency:
    weights = draw(
        st.lists(st.just(0.0) | st.floats(1e-6, 1e6), min_size=2, max_size=4).filter(any)
    )
    return Mixture(tuple((weight, draw(parts)) for weight in weights))


plain_latencies = st.one_of(
    st.builds(Constant, duration),
    st.tuples(duration, duration).map(lambda pair: Uniform(*sorted(pair))),
    st.builds(Exponential, positive),
    st.tuples(positive, positive).map(lambda pair: Lognormal(*sorted(pair))),
    st.builds(Normal, positive, positive),
    st.builds(Gamma, positive, st.floats(0.1, 1000)),
    st.tuples(positive, positive).map(lambda pair: Lognormal(min(pair), mean=max(pair))),
    st.tuples(positive, positive)
    .filter(lambda pair: pair[0] != pair[1])
    .flatmap(
        lambda pair: st.builds(Pareto, st.just(min(pair)), st.floats(0.01, 100), st.just(max(pair)))
    ),
    percentiles(),
)
latencies = plain_latencies | mixtures(plain_latencies | mixtures(plain_latencies))


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


@given(latencies, shares)
def test_the_cdf_is_the_inverse_of_the_quantile(latency: Latency, share: float) -> None:
    delay = latency.quantile(share)
    # A nearby delay: at a jump the CDF is only beyond it what it was asked for.
    assert latency.cdf(delay * (1 + 1e-6)) >= share - 1e-6
    assert latency.cdf(delay * (1 - 1e-6) - 1e-15) <= share + 1e-6


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("uniform(20ms,80ms)", ("uniform", 0.02, 0.06)),
        ("normal(mean=50ms,sd=10ms)", ("truncnorm", -5, np.inf, 0.05, 0.01)),
        ("normal(mean=50ms,sd=50ms)", ("truncnorm", -1, np.inf, 0.05, 0.05)),
        ("normal(1ms,1s)", ("truncnorm", -0.001, np.inf, 0.001, 1)),
        ("exponential(50ms)", ("expon", 0, 0.05)),
        ("gamma(mean=50ms,shape=0.3)", ("gamma", 0.3, 0, 0.05 / 0.3)),
        ("gamma(50ms,2.5)", ("gamma", 2.5, 0, 0.02)),
        ("erlang(mean=50ms,shape=100)", ("gamma", 100, 0, 0.0005)),
        ("lognormal(mean=60ms,p50=50ms)", ("lognorm", (2 * np.log(1.2)) ** 0.5, 0, 0.05)),
        ("pareto(min=10ms,alpha=1.2,max=10s)", ("truncpareto", 1.2, 1000, 0, 0.01)),
    ],
)
def test_a_law_is_that_of_scipy(text: str, named: tuple[Any, ...]) -> None:
    latency = parse(text)
    name, *parameters = named
    law = getattr(scipy.stats, name)(*parameters)
    some = np.array([1e-9, 1e-4, *np.linspace(0.01, 0.99, 197), 0.9999, 1 - 1e-9])
    delays = [latency.quantile(u) for u in some]
    assert delays == pytest.approx(law.ppf(some), rel=2e-7)
    assert [latency.cdf(x) for x in delays] == pytest.approx(some, rel=1e-5)
    stream = Stream(11, "ANY /", "latency")
    drawn = [latency.quantile(stream.uniform(n)) for n in range(5000)]
    assert scipy.stats.kstest(drawn, law.cdf).pvalue > 0.001


def test_a_mixture_draws_from_its_parts_by_their_weights() -> None:
    latency = parse("3*lognormal(p50=20ms,p99=80ms) + 1*gamma(mean=1.5s,shape=30)")
    body = scipy.stats.lognorm(np.log(4) / scipy.stats.norm.ppf(0.99), scale=0.02)
    slow = scipy.stats.gamma(30, scale=0.05)

    def cdf(x: np.ndarray) -> np.ndarray:
        return 0.75 * body.cdf(x) + 0.25 * slow.cdf(x)

    stream = Stream(11, "ANY /", "latency")
    drawn = [latency.quantile(stream.uniform(n)) for n in range(5000)]
    assert scipy.stats.kstest(drawn, cdf).pvalue > 0.001
    some = np.linspace(0.001, 0.999, 333)
    assert [cdf(latency.quantile(u)) for u in some] == pytest.approx(some, rel=1e-8)


@pytest.mark.parametrize("shape", [0.1, 0.5, 1, 2.5, 30, 1000])
def test_the_inverse_gamma_function_is_scipys(shape: float) -> None:
    for z in np.linspace(-8, 8, 81).tolist():
        if z > 0:
            truth = special.gammainccinv(shape, scipy.stats.norm.sf(z))
        else:
            truth = special.gammaincinv(shape, scipy.stats.norm.cdf(z))
        assert gamma.log_quantile(shape, z) == pytest.approx(np.log(truth), rel=1e-11, abs=1e-11)
    for x in (shape * np.logspace(-3, 1, 50)).tolist():
        assert gamma.cdf(shape, x) == pytest.approx(special.gammainc(shape, x), rel=1e-10)


@pytest.mark.parametrize("text", ["gamma(50ms,2.5)", "0.5*exponential(50ms) + 0.5*uniform(1s,2s)"])
def test_a_delay_does_not_depend_on_what_was_drawn_before(text: str) -> None:
    used = parse(text)
    some = [used.quantile(n / 100) for n in range(1, 100)]
    assert [parse(text).quantile(n / 100) for n in range(1, 100)] == some


def test_a_mixture_with_a_seed_repeats_exactly() -> None:
    latency = parse("0.9*5ms + 0.09*uniform(7ms,9ms) + 0.01*(p50=1s p95=1s max=3s)")
    assert {latency.quantile(u / 1000) for u in range(1, 900)} == {0.005}
    assert latency.quantile(0.945) == pytest.approx(0.008)
    assert latency.quantile(0.995) == pytest.approx(1)


@given(st.text("p5m09.=s()-,+eEux* "))
def test_any_text_is_a_latency_or_refused(text: str) -> None:
    with suppress(TextError):
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
        ("normal(mean=1s, sd=10ms)", 0.5, 1.0),
        ("normal(sd=10ms, mean=1s)", 0.841344746068543, 1.01),
        ("lognormal(p50=50ms,p99=200ms)", 0.5, 0.05),
        ("lognormal(p50=50ms,p99=200ms)", 0.99, 0.2),
        ("p50=50ms p95=120ms p99=300ms max=1s", 0.95, 0.12),
        ("p99=300ms p50=50ms p95=120ms", 0.95, 0.12),
        ("p50=50ms p95=120ms p99=300ms max=1s", 1 - 1e-12, 1.0),
        ("p50=50ms p95=50ms", 0.7, 0.05),
        ("gamma(mean=50ms, shape=1)", 0.5, 0.05 * 0.6931471805599453),
        ("pareto(min=1s,alpha=1,max=2s)", 0.5, 4 / 3),
        ("lognormal(p50=50ms,mean=60ms)", 0.5, 0.05),
        ("uniform(low=20ms,high=80ms)", 0.5, 0.05),
        ("0.9*50ms + 0.1*2s", 0.89, 0.05),
        ("0.9*50ms+0.1*2s", 0.91, 2),
        (".5*50ms +.5*2s", 0.51, 2),
        ("1*uniform(0s,1s) + 1*uniform(1s,2s)", 0.75, 1.5),
        ("0*1s + 2*50ms", 0.999, 0.05),
        ("0.5*(0.5*1ms + 0.5*2ms) + 0.5*(p50=1s p95=2s)", 0.3, 0.002),
        ("(50ms)", 0.5, 0.05),
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
        ("p50=50ms p100=1s", "p100 is not a quantile", "p100"),
        ("p0=50ms p50=1s", "p0 is not a quantile", "p0"),
        ("p50=50ms min=1s", "'min' is not a quantile", "min"),
        ("p50=50ms", "one quantile makes no spread", "p50=50ms"),
        ("p50=0ms p95=1s", "p50 must be above 0", "0ms"),
        ("p50=50ms p95", "expected '=', found the end", ""),
        ("p50=50ms p95=", "a duration such as 50ms is missing", ""),
        ("p50=50ms,p95=60ms", "',' is not a quantile", ","),
        ("uniform(80ms,20ms)", "high=20ms is below low=80ms", "20ms"),
        ("uniform(20ms)", "high is missing; it takes low and high", ")"),
        ("uniform(nan,80ms)", "'nan' is not a duration", "nan"),
        ("exponential(0ms)", "mean must be above 0", "0ms"),
        ("normal(50ms)", "sd is missing; it takes mean and sd", ")"),
        ("normal(mean=50ms,sd=0ms)", "sd must be above 0", "0ms"),
        ("normal(mean=50ms,sd=0.1)", "'0.1' has no unit", "0.1"),
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
        ("50ms 60ms", "unexpected '60ms'", "60ms"),
        ("", "the latency is empty", ""),
        ("1e-30s", "shorter than a nanosecond", "1e-30s"),
        ("gamma(50ms)", "shape is missing; it takes mean and shape", ")"),
        ("gamma(50ms,0)", "shape must lie between 0.1 and 1000", "0"),
        ("gamma(50ms,nan)", "shape must be a number, not 'nan'", "nan"),
        ("gamma(50ms,2,3)", "unexpected '3'", "3"),
        ("gamma(50ms,mean=2ms)", "mean is given twice", "mean"),
        ("gamma(shape=2,shape=3)", "shape is given twice", "shape"),
        ("gamma(0ms,2)", "mean must be above 0", "0ms"),
        ("erlang(50ms,2.5)", "erlang's shape counts steps", "2.5"),
        ("lognormal(mean=40ms,p50=50ms)", "mean=40ms is below p50=50ms", "40ms"),
        ("lognormal(50ms,60ms)", "expected p50 and p99, or p50 and mean", "50ms"),
        ("lognormal(p50=1ms,p99=2ms,mean=3ms)", "that is too much", ")"),
        ("pareto(1ms,1.5)", "max is missing", ")"),
        ("pareto(1s,1.5,1ms)", "max=1ms is not above min=1s", "1ms"),
        ("pareto(1ms,-1,2s)", "alpha must lie between 0.01 and 100", "-1"),
        ("pareto(1ms,inf,2s)", "alpha must be a number, not 'inf'", "inf"),
        ("0*50ms + 0*1s", "every weight is 0", "0*50ms + 0*1s"),
        ("0*50ms", "every weight is 0", "0*50ms"),
        ("0.9*50ms + 1s", "'1s' needs a weight", "1s"),
        ("50ms + 0.1*1s", "'50ms' needs a weight", "50ms"),
        ("-1*50ms + 2*1s", "the weight -1 is negative", "-1"),
        ("nan*50ms + 1*2s", "'nan' is not a weight", "nan"),
        ("1e9*50ms + 1*2s", "a weight is 0, or between", "1e9"),
        ("0.9*p50=1ms p95=2ms", "quantiles need brackets here", "p50"),
        ("0.9*50ms +", "a duration such as 50ms is missing", ""),
        ("0.5*(1ms", "expected ')', found the end", ""),
        ("0.9**50ms", "'*' is not a duration", "*"),
        ("(" * (DEEPEST + 1) + "1ms", "brackets in brackets", "("),
        ("file(x.csv, unit=h)", "unknown unit 'h'", "h"),
        ("file()", "a name is missing here", ")"),
        ("file(x.csv, colum=1)", "file has no 'colum'", "colum"),
        ("file(x.csv, unit=ms, unit=s)", "unit is given twice", "unit"),
        ("file(x.csv)", "no file is read here", "x.csv"),
    ],
)
def test_an_invalid_value_is_refused_with_its_place(text: str, reason: str, fragment: str) -> None:
    with pytest.raises(TextError) as refused:
        parse(text)
    message, shown, mark = str(refused.value).split("\n")
    assert reason in message
    start = mark.index("^")
    assert shown[start : mark.rindex("^") + 1] == fragment
    assert f"(column {start - 1})" in message  # the text is shown after two spaces


def test_a_text_too_long_or_of_too_many_parts_is_refused_at_once() -> None:
    with pytest.raises(TextError, match=r"2,001 characters are too many .*column 2001"):
        parse("5" * (LONGEST_TEXT + 1))
    with pytest.raises(TextError, match="16 parts are the most"):
        parse(" + ".join(["1*1ms"] * (MOST_PARTS + 1)))
    parse(" + ".join(["1*1ms"] * MOST_PARTS))


@pytest.mark.parametrize(("place", "column"), [(0, 1), (700, 701), (1900, 1901)])
def test_of_a_long_text_the_neighbourhood_of_the_mistake_is_shown(place: int, column: int) -> None:
    with pytest.raises(TextError) as refused:
        parse(" " * place + "oops" + " " * 90)
    message, shown, mark = str(refused.value).split("\n")
    assert f"(column {column})" in message
    assert len(shown) < 110
    assert shown[mark.index("^") : mark.rindex("^") + 1] == "oops"


def test_a_message_shows_no_control_characters() -> None:
    with pytest.raises(TextError) as refused:
        parse("50ms \x1b[2J\n\x00")
    assert str(refused.value).replace("\n", "").isprintable()


@pytest.mark.timeout(20)  # with digits that match in two ways, these take minutes
@pytest.mark.parametrize("read", [parse_duration, parse_size, parse_bytes, parse, slo])
@pytest.mark.parametrize("piece", ["1", "1.", "1e", " ", "(", "p50=", "a"])
def test_a_text_of_any_length_is_refused_at_once_in_a_short_message(read: Any, piece: str) -> None:
    for text in (piece * 100_000, "p95 < " + piece * 100_000 + "!"):
        with pytest.raises(ValueError, match="characters") as error:
            read(text)
        assert max(map(len, str(error.value).splitlines())) < 500


@given(latencies, st.floats(1e-3, LONGEST))
def test_a_latency_exceeds_what_is_below_its_median(latency: Latency, most: float) -> None:
    median = latency.quantile(0.5)
    if not most * 0.999 < median < most * 1.001:
        assert latency.exceeds(most) == (median > most)
