"""A service's telemetry is believed only where it can be true."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadtests.recording import server_timing
from loadtests.recording.phases import NAMES, TOLD
from loadtests.recording.server_timing import phases

TIMES = (0.412, 0.0, 0.031, 0.0, 50.112, 0.901, 0.854)  # milliseconds, as TOLD


def header(told=TIMES, before=True, total=None):
    """A Server-Timing header as brownout's middleware writes it."""
    total = sum(told[1:]) if total is None else total
    named = list(zip(TOLD, told, strict=True))[0 if before else 1 :]
    return ", ".join(f"{name};dur={value:.3f}" for name, value in [("total", total), *named])


def seconds(told=TIMES, body=0.0):
    return [*(value / 1000 for value in told), body]


durations = st.lists(st.integers(0, 10**7), min_size=len(TOLD), max_size=len(TOLD))


@given(durations, st.booleans())
def test_our_own_header_comes_back_as_phases(microseconds, before):
    told = [value / 1000 for value in microseconds]
    read = phases(header(told, before), sum(told) / 1000)
    expected = seconds(told) if before else [0.0, *seconds(told[1:])]
    assert read == pytest.approx(expected)


OTHERS = 'cache;desc="hit, dur=9; \\"x\\"", db;dur=53.2;desc=main, miss, edge;dur'


@pytest.mark.parametrize(
    "value",
    [
        f"{OTHERS}, {header()}",
        f"{header()},, {OTHERS} ,",
        f"{OTHERS}\t,\t{header()} , miss",
        [OTHERS, header()],
        [header(), OTHERS],
        ["total;dur=60.1, upstream;dur=9", header()],
    ],
)
def test_our_own_text_is_found_among_the_metrics_of_others(value):
    assert phases(value, 0.06) == pytest.approx(seconds())


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        [],
        OTHERS,
        "total;dur=52.310",
        header().replace(", connect;dur=0.000", ""),
        header().replace("connect;dur=0.000", "connect"),
        header().replace("dur=", "dur = "),
        header().replace("=0.031", '="0.031"'),
        ", ".join(reversed(header().split(", "))),
        f"sub{header()}",
        f"{header()}1",
        header().replace("connect;dur=0.000", "connect;dur"),
        header().replace("0.031", "-0.031"),
        header().replace("0.031", "nan"),
        header().replace("0.031", "inf"),
        header().replace("0.031", "1e999"),
        header().replace("0.031", "0_1"),
        header().replace("50.112", "9" * 400 + ".112"),
        header().replace("0.031", '"0.031'),
        header().replace("0.031", "٣.031"),
        [header(), header()],
        header() + "; =",
        header() + ", x" * server_timing.LONGEST,
        header(total=60.0),
        header(total=40.0),
    ],
)
def test_missing_or_contradictory_phases_are_unknown(value):
    assert phases(value, 0.06) is None


def test_the_body_phase_is_measured_by_the_client():
    assert phases(header(), 0.08, 0.02) == pytest.approx(seconds(body=0.02))


def test_phases_longer_than_the_response_are_ignored():
    whole = sum(TIMES) / 1000
    assert phases(header(), whole - 0.0009) is not None
    assert phases(header(), whole - 0.0015) is None
    longer = [100 * value for value in TIMES]
    assert phases(header(longer), 100 * whole * 0.985) is not None
    assert phases(header(longer), 100 * whole * 0.975) is None


parts = st.sampled_from(
    ["total", "own", "upstream", ";", "dur", "=", ",", '"', "\\", " ", "1.000", "-1", "nan", "ß"]
)


@given(
    st.one_of(
        st.binary(max_size=200).map(lambda one: one.decode("latin-1")),
        st.lists(parts, max_size=40).map("".join),
        st.lists(st.text(max_size=20), max_size=3),
    ),
    st.floats(0, 600),
)
@example('x;dur="' + "\\" * 5000, 1.0)
def test_no_header_at_all_raises(value, took):
    assert phases(value, took) is None


@given(st.integers(0, len(header())), parts | st.characters(max_codepoint=255), st.floats(0, 1))
def test_a_damaged_header_gives_possible_values_or_none(at, text, took):
    for damaged in (header()[:at] + text + header()[at:], header()[:at], header()[at:]):
        read = phases(damaged, took)
        if read is not None:
            assert len(read) == len(NAMES)
            assert all(math.isfinite(value) and value >= 0 for value in read)
            assert sum(read) <= took + max(0.001, 0.02 * took)
