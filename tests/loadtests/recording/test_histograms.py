"""Histograms against the sorted durations themselves, and against the HdrHistogram library."""

import base64
import math
import zlib
from contextlib import suppress

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.recording import histograms
from loadtests.recording.histograms import LONGEST, Histogram, merged

durations = st.lists(st.floats(1e-6, 60.0), min_size=1, max_size=200)


def histogram(seconds: list[float]) -> Histogram:
    made = Histogram()
    for one in seconds:
        made.record(one)
    return made


@given(st.lists(durations, max_size=5))
def test_merging_histograms_equals_recording_everything_in_one(parts):
    whole = histogram([one for part in parts for one in part])
    assert merged(map(histogram, parts)) == whole
    assert whole.count == sum(map(len, parts))


@given(durations, st.floats(0, 1))
def test_a_quantile_is_the_order_statistic_to_half_a_bucket(seconds, q):
    exact = sorted(seconds)[max(math.ceil(round(q * len(seconds), 9)), 1) - 1]
    # Half a bucket is 0.05 %; half a microsecond is lost where the clock's ticks are counted.
    assert histogram(seconds).quantile(q) == pytest.approx(exact, rel=0.0005, abs=0.6e-6)


@given(durations)
def test_decoding_gives_back_what_was_encoded(seconds):
    assert Histogram.decode(histogram(seconds).encode()) == histogram(seconds)


@settings(max_examples=25)  # the library walks through all of its counters in Python
@given(durations)
def test_the_library_reads_the_same_buckets_from_the_encoding(seconds):
    ours = histogram(seconds)
    library = HdrHistogram.decode(ours.encode().encode())
    counted = [
        (item.value_iterated_to, item.count_at_value_iterated_to)
        for item in library.get_recorded_iterator()
    ]
    buckets = ours.recorded()
    assert [count for _, count in counted] == [count for _, count in buckets]
    for (value, _), (middle, _) in zip(counted, buckets, strict=True):
        low = library.get_lowest_equivalent_value(value)
        high = library.get_highest_equivalent_value(value)
        assert middle == (low + high) / 2 / 1e6


@given(durations)
def test_the_mean_is_that_of_the_durations(seconds):
    exact = sum(seconds) / len(seconds)
    assert histogram(seconds).mean() == pytest.approx(exact, rel=0.0005, abs=0.6e-6)


@given(durations, st.integers(1, 200))
def test_at_least_as_many_durations_as_the_rank_are_up_to_it(seconds, rank):
    made = histogram(seconds)
    at = made.at_rank(rank)
    assert made.up_to(at) >= min(rank, made.count)
    assert made.up_to(at) == sum(count for value, count in made.recorded() if value <= at)


def test_values_outside_the_range_count_at_its_border():
    made = histogram([-1.0, 0.0, 10 * LONGEST])
    assert made.count == 3
    assert made.at_rank(2) == 1e-6
    assert made.at_rank(3) == pytest.approx(LONGEST, rel=0.0005)


def test_an_empty_histogram_survives_the_way_through_text_and_has_no_quantile():
    assert Histogram.decode(Histogram().encode()) == Histogram()
    with pytest.raises(ValueError, match="no quantiles"):
        Histogram().quantile(0.5)


@pytest.mark.parametrize("text", ["", "HISTFAAAA", "not base64 at all", "é"])
def test_text_without_a_histogram_is_a_value_error(text):
    with pytest.raises(ValueError, match="not an encoded histogram"):
        Histogram.decode(text)


def test_a_histogram_of_two_digits_is_refused_rather_than_misread():
    coarse = HdrHistogram(1, 600_000_000, 2)
    coarse.record_value(50_000)
    with pytest.raises(ValueError, match="another resolution"):
        Histogram.decode(coarse.encode().decode())


@settings(max_examples=25)
@given(durations)
def test_histograms_of_the_library_are_read(seconds):
    library = HdrHistogram(1, 600_000_000, 3)
    for one in seconds:
        library.record_value(min(max(int(one * 1e6 + 0.5), 1), 600_000_000))
    assert Histogram.decode(library.encode().decode()) == histogram(seconds)


@given(durations.flatmap(lambda one: st.tuples(st.just(one), st.integers(0, 80), st.binary())))
def test_a_broken_encoding_is_a_value_error_or_another_histogram(case):
    seconds, place, noise = case
    data = bytearray(base64.b64decode(histogram(seconds).encode()))
    data[place : place + len(noise)] = noise
    with suppress(ValueError):
        Histogram.decode(base64.b64encode(data).decode())


def test_a_number_of_too_many_bits_is_refused():
    data = b"\xff" * 10_000 + b"\x00"
    header = histograms._HEADER.pack(histograms._COOKIE, len(data), 0, 3, 1, 1, 1.0)
    packed = zlib.compress(header + data)
    wrapper = histograms._WRAPPER.pack(histograms._COMPRESSED, len(packed))
    with pytest.raises(ValueError, match="too many bits"):
        Histogram.decode(base64.b64encode(wrapper + packed).decode())
