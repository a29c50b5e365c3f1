"""The law that knees, causes and ceilings share, on points made of plain arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.analysis.law import ClosedLaw, OpenLaw, law, usable
from loadtests.results import Errors, Estimate, Point

LEVELS = (1, 5, 10, 20, 40, 80, 160)


def point(level, throughput, *, noise=0.01, rate=0.0, model="closed", came=None, **more):
    ends = (throughput * (1 - noise), throughput * (1 + noise)) if noise else (None, None)
    times = {"mean": Estimate(value=0.05), "p95": None}
    requests = round(5 * (came if came is not None else throughput / (1 - rate)))
    return Point(
        deployment="a",
        request="all",
        model=model,
        level=level,
        requests=requests,
        seconds=5.0,
        throughput=Estimate(value=throughput, low=ends[0], high=ends[1]),
        response_time=times,
        service_time=times,
        errors=Errors(rate=rate),
        **more,
    )


def hockey_stick(cycle, most, levels=LEVELS):
    return [point(level, min(level / cycle, most)) for level in levels]


@given(cycle=st.floats(0.005, 5.0), knee=st.floats(1.5, 100.0))
def test_the_interval_holds_the_knee_and_the_cycle_of_two_straight_lines(cycle, knee):
    found = law(hockey_stick(cycle, knee / cycle))
    assert isinstance(found, ClosedLaw)
    assert found.cycle.low < cycle * 1.0001
    assert found.cycle.high > cycle * 0.9999
    assert found.low is None or found.low <= knee * 1.0001
    assert found.high is None or found.high >= knee * 0.9999


@given(
    levels=st.lists(st.integers(1, 500), min_size=1, max_size=8, unique=True),
    rates=st.lists(st.floats(0.0, 5000.0), min_size=8, max_size=8),
    noise=st.sampled_from([0.0, 0.001, 0.05, 1.0]),
)
def test_any_levels_have_bounds_in_order(levels, rates, noise):
    seen = [point(n, x, noise=noise) for n, x in zip(sorted(levels), rates, strict=False)]
    found = law(seen)
    if found is None:
        assert not any(one.throughput.value for one in seen)
        return
    assert (found.cycle.low or 0.0) <= found.cycle.value <= found.cycle.high
    assert 0 <= (found.low or 0.0) <= (found.high or float("inf"))
    assert found.low is None or found.high is None or found.low < found.high


def test_think_time_and_failures_are_in_the_cycle():
    """A fifth of the requests fails and users think for a second: 1.05 s / 0.8."""
    seen = [point(n, n * 0.8 / 1.05, rate=0.2) for n in LEVELS]
    found = law(seen)
    assert found.cycle.value == pytest.approx(1.05 / 0.8)
    assert all(found.follows(one) for one in seen)


def test_a_lowest_level_beyond_the_knee_leaves_the_cycle_open_below():
    found = law([point(n, 800.0) for n in (80, 160, 320)])
    assert found.saturated
    assert found.cycle.low is None
    assert found.cycle.high == pytest.approx(0.1, rel=0.03)
    assert found.expected(point(160, 800.0)) is None
    assert not any(found.follows(point(n, 800.0)) for n in (80, 160, 320))


def test_a_single_user_always_follows():
    seen = [point(n, 20.0) for n in (1, 2, 5)]
    found = law(seen)
    assert [found.follows(one) for one in seen] == [True, False, False]


def test_levels_within_the_noise_follow_and_others_do_not():
    def last(noise, throughput=640.0):
        seen = [*hockey_stick(0.05, 1e9, (1, 5, 10, 20)), point(40, throughput, noise=noise)]
        return law(seen).follows(seen[-1])

    assert not last(0.05)
    assert last(0.25)
    assert last(0.01, 730.0)  # certain, and too little to matter


def test_an_interval_of_few_batches_allows_no_load_that_is_far_away():
    """93/s (up to 320) are not the 620/s that the load would give."""
    ends = Estimate(value=93.0, low=0.0, high=320.0)
    wide = point(31, 93.0).model_copy(update={"throughput": ends})
    seen = [*hockey_stick(0.05, 1e9, (1, 5, 10)), wide]
    assert not law(seen).follows(wide)


def test_a_rate_that_grows_unstable_does_not_follow_however_unsure_it_is():
    ends = Estimate(value=171.0, low=0.0, high=801.0)
    wide = point(622, 171.0, model="open", came=622, steady="over-saturated")
    wide = wide.model_copy(update={"throughput": ends})
    seen = [
        point(269, 158.0, model="open", came=269, steady="over-saturated"),
        point(415, 187.0, model="open", came=415, steady="over-saturated"),
        wide,
    ]
    assert not law(seen).follows(wide)


def test_a_lowest_level_may_follow_where_the_knee_may_lie_far_above_it():
    rates = {2: 43.0, 10: 100.0, 30: 110.0, 60: 105.0}
    seen = [point(level, rate, noise=0.6) for level, rate in rates.items()]
    found = law(seen)
    assert found.saturated
    assert found.high > 4
    assert found.follows(seen[0])


def test_a_low_level_without_a_rare_timeout_is_less_certain_than_it_looks():
    """Intervals at 5 users and more allow for timeouts that one user has not met."""
    seen = [point(1, 20.0, noise=0.01)]
    seen += [point(n, 14.0 * n, noise=0.45 / n**0.5) for n in (5, 10, 20, 40, 80)]
    found = law(seen)
    assert all(found.follows(one) for one in seen)


def test_users_who_wait_long_for_their_turn_do_not_hide_a_queue():
    """A blocked loop serves some callers often and others late: 10 of 20 in a short window."""
    low, high = point(1, 23.7, noise=0), point(20, 24.0, noise=0, in_flight=20.0)
    high.response_time["mean"] = Estimate(value=0.4)
    found = law([low, high])
    assert not found.follows(high)


def test_a_level_without_any_success_is_a_collapse():
    seen = [*hockey_stick(0.05, 1e9, (1, 5, 10)), point(40, 0.0, noise=0)]
    found = law(seen)
    assert found.falls
    assert not found.follows(seen[-1])
    assert usable([point(1, 0.0), point(5, 0.0)]) == []


def test_windows_too_short_for_an_interval_still_show_large_effects():
    seen = [point(n, min(20.0 * n, 200.0), noise=0) for n in (1, 5, 10, 80)]
    assert [law(seen).follows(one) for one in seen] == [True, True, True, False]


def rated(level, throughput, stay=0.05, **more):
    return point(level, throughput, model="open", came=level, in_flight=stay * level, **more)


def test_answers_that_are_under_way_when_the_window_ends_are_not_missing():
    """Answers of 3 s, a settling phase of 2 s: a fifth of the answers comes after the window."""
    seen = [rated(n, 0.8 * n, stay=2.7) for n in (5, 10, 20)]
    found = law(seen)
    assert isinstance(found, OpenLaw)
    assert all(found.follows(one) for one in seen)
    waiting = rated(40, 20.0, stay=4.5)
    assert not law([*seen, waiting]).follows(waiting)


def test_requests_that_are_turned_away_do_not_follow_although_none_waits():
    seen = [rated(100, 100.0), rated(200, 200.0), rated(400, 250.0, rate=0.375)]
    assert [law(seen).follows(one) for one in seen] == [True, True, False]


def test_a_rate_that_is_answered_in_full_follows_although_its_window_looks_unstable():
    seen = [rated(100, 100.0), rated(200, 200.0, steady="over-saturated")]
    assert law(seen).follows(seen[-1])


def test_a_highest_level_of_which_little_is_known_does_not_hide_that_throughput_rises():
    """Throughput of 32/s at 8 users and 64/s at 16 says that the lowest is not beyond the knee."""
    seen = [
        point(8, 32.1),
        point(16, 63.7),
        point(32, 118.9, noise=0.04),
        point(64, 119, noise=0.8),
    ]
    found = law(seen)
    assert not found.saturated
    assert found.follows(seen[0])


def test_failures_that_begin_before_throughput_stops_leave_the_knee_between_two_levels():
    found = law([point(4, 16.0), point(16, 57.0, rate=0.13), point(64, 72.0, rate=0.76)])
    assert (found.low, found.high) == (4.0, 16.0)
    assert found.low < found.knee <= found.high
