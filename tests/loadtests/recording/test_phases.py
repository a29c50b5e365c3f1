"""Sums of phases: adding loses nothing, and a line of text carries them."""

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.recording.phases import NAMES, PhaseSums, merged

responses = st.lists(
    st.tuples(
        st.floats(0, 600),
        st.lists(st.floats(0, 60), min_size=len(NAMES), max_size=len(NAMES)),
    ),
    max_size=40,
)


def summed(told):
    sums = PhaseSums()
    for seconds, parts in told:
        sums.record(seconds, parts)
    return sums


@given(responses)
def test_bins_hold_the_responses_of_their_latency_and_all_of_their_seconds(told):
    bins = list(summed(told).bins())
    assert sum(one.count for one in bins) == len(told)
    assert sum(one.total for one in bins) == pytest.approx(sum(seconds for seconds, _ in told))
    for index in range(len(NAMES)):
        exact = sum(parts[index] for _, parts in told)
        assert sum(one.phases[index] for one in bins) == pytest.approx(exact)
    for one in bins:
        assert max(one.low, 0) <= max(one.total / one.count, 1e-6) * (1 + 1e-9)
        assert one.total / one.count <= one.high * (1 + 1e-9)


@given(responses, responses)
def test_adding_equals_recording_in_one(told, more):
    added, other = summed(told), summed(more)
    added.add(other)
    whole = list(summed([*told, *more]).bins())
    assert [(one.low, one.count) for one in added.bins()] == [(one.low, one.count) for one in whole]
    for mine, exact in zip(added.bins(), whole, strict=True):
        assert mine.phases == pytest.approx(exact.phases)
    assert other == summed(more)
    many = merged([summed(told), other, PhaseSums()])
    assert list(many.bins()) == list(added.bins())


@given(responses)
def test_phases_are_read_back_to_the_microsecond(told):
    sums = summed(told)
    again = PhaseSums.decode(sums.encode())
    assert again == sums
    for one, exact in zip(again.bins(), sums.bins(), strict=True):
        assert one.count == exact.count
        assert one.phases == pytest.approx(exact.phases, abs=1e-6)


def packed(*columns):
    """Columns of one bin each, as they are written."""
    planes = b"".join(
        bytes([column >> 8 * weight & 255 for column in columns]) for weight in range(8)
    )
    return "2:" + base64.b64encode(zlib.compress(planes)).decode()


def test_the_text_holds_the_place_the_count_and_microseconds():
    (one,) = PhaseSums.decode(packed(5, 2, 3, *range(300, 308))).bins()
    assert (one.count, one.total) == (2, 3e-6)
    assert one.phases == tuple(number / 1e6 for number in range(300, 308))


def test_files_of_an_earlier_version_are_read_without_a_body_phase():
    (one,) = PhaseSums.decode(packed(5, 2, 3, *range(300, 307)).removeprefix("2:")).bins()
    assert (one.count, one.total) == (2, 3e-6)
    assert one.phases == (*(number / 1e6 for number in range(300, 307)), 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "é",
        packed(5, 1, 2),
        packed(*[5] * 12),
        packed(5000, *[1] * 10),
        packed(*[5] * 11)[:-8],
        packed(*[5] * 11).removeprefix("2:"),
        base64.b64encode(zlib.compress(b"123")).decode(),
    ],
)
def test_text_without_sums_of_phases_is_a_value_error(text):
    with pytest.raises(ValueError, match="not sums of phases"):
        PhaseSums.decode(text)
