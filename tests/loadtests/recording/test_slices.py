"""Slices: what they add up to, against the requests that they were made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.recording.slices import LENGTH, Slice, merged, seconds_in_flight

COUNT = 20  # quarter seconds looked at

requests = st.lists(
    st.tuples(st.floats(0, COUNT * LENGTH * 0.999), st.floats(1e-6, 8.0), st.sampled_from("ab")),
    max_size=40,
)


def recorded(spans: list[tuple[float, float, str]]) -> list[Slice]:
    """A part for each start and each end, as slow answers give them."""
    parts = []
    for start, seconds, name in spans:
        first, last = int(start / LENGTH), int((start + seconds) / LENGTH)
        part = Slice(
            stage=1,
            index=first,
            request=name,
            started=1,
            start_lead=(first + 1) * LENGTH - start,
        )
        part.ok.record(seconds)
        parts.append(part)
        parts.append(
            Slice(
                stage=1,
                index=last,
                request=name,
                ended=1,
                end_lead=(last + 1) * LENGTH - start - seconds,
                succeeded=1,
            )
        )
    return parts


@given(requests)
def test_the_seconds_in_flight_are_those_of_every_request_in_every_quarter(spans):
    flight = seconds_in_flight(recorded(spans), COUNT)
    for index, seconds in enumerate(flight):
        low, high = index * LENGTH, (index + 1) * LENGTH
        exact = sum(max(min(s + d, high) - max(s, low), 0.0) for s, d, _ in spans)
        assert seconds == pytest.approx(exact, abs=1e-9)


@given(requests, st.randoms())
def test_merging_does_not_depend_on_order_or_grouping(spans, random):
    parts = recorded(spans)
    whole = merged(parts)
    shuffled = sorted(parts, key=lambda _: random.random())
    again = merged([*merged(shuffled[::2]), *merged(shuffled[1::2])])
    assert [(p.index, p.request, p.started, p.ended, p.ok) for p in again] == [
        (p.index, p.request, p.started, p.ended, p.ok) for p in whole
    ]
    assert seconds_in_flight(again, COUNT) == pytest.approx(seconds_in_flight(parts, COUNT))


@given(requests)
def test_started_requests_equal_ended_ones(spans):
    whole = merged(recorded(spans))
    assert sum(p.started for p in whole) == sum(p.ended for p in whole) == len(spans)


def test_merging_leaves_the_parts_as_they_were_and_adds_the_kinds_of_failures():
    parts = [
        Slice(stage=1, index=0, request="a", kinds={"503": 1}),
        Slice(stage=1, index=0, request="a", kinds={"503": 2, "timeout": 1}),
    ]
    assert merged(parts)[0].kinds == {"503": 3, "timeout": 1}
    assert parts[0].kinds == {"503": 1}
