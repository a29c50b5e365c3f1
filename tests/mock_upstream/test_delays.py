"""The ledger's record of delays."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from mock_upstream.ledger.histogram import DelayHistogram

SECONDS = st.floats(0, 3600)


def recorded(delays: list[float]) -> DelayHistogram:
    record = DelayHistogram()
    for delay in delays:
        record.record(delay)
    return record


@given(st.lists(SECONDS, min_size=1, max_size=300))
def test_quantiles_are_those_of_the_delays_to_a_thousandth_or_a_microsecond(
    delays: list[float],
) -> None:
    told, delays = recorded(delays).delays(), sorted(delays)
    assert (told.count, told.max) == (len(delays), delays[-1])
    assert abs(told.total - sum(delays)) < 1e-6
    for value, share in ((told.p50, 0.5), (told.p95, 0.95), (told.p99, 0.99)):
        exact = delays[ceil(share * len(delays)) - 1]
        assert value is not None
        assert exact <= value <= exact * 1.001 + 1.001e-6


def test_nothing_is_reported_without_delays() -> None:
    told = DelayHistogram().delays()
    assert (told.count, told.p50, told.max) == (0, None, None)


@given(st.lists(SECONDS, min_size=1), st.lists(SECONDS, min_size=1))
def test_a_copy_stays_as_it_was(before: list[float], after: list[float]) -> None:
    record = recorded(before)
    copy = record.copy()
    told = record.delays()
    for delay in after:
        record.record(delay)
    assert copy.delays() == told
    assert record.delays() == recorded([*before, *after]).delays()
