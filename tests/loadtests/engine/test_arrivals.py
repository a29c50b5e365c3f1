"""Intended starts: repeatable, and all generators together make the stream that was asked for."""

import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.engine.arrivals import GeneratorShare, arrivals, first_starts
from loadtests.recording.messages import Stage


def stage(rate, come, *, seconds=10.0, seed=0, number=0):
    return Stage(
        number=number, deployment="a", target="http://127.0.0.1:1", model="open", arrivals=come,
        level=rate, think_time=0, settle=0.5, measure=seconds, requests=(), seed=seed,
    )  # fmt: skip


def union(one, generators):
    shares = [GeneratorShare(index, generators) for index in range(generators)]
    return sorted(moment for share in shares for moment in arrivals(one, share))


rates = st.integers(1, 500)
generators = st.integers(1, 9)
kinds = st.sampled_from(["poisson", "even"])


@given(rates, generators, kinds, st.integers(0, 2**40), st.integers(0, 999))
def test_the_same_stage_and_share_give_the_same_rising_moments_inside_the_stage(
    rate, of, come, seed, number
):
    one = stage(rate, come, seconds=1.0, seed=seed, number=number)
    share = GeneratorShare(of - 1, of)
    moments = list(arrivals(one, share))
    assert moments == list(arrivals(one, share))
    assert moments == sorted(moments)
    assert all(0 <= moment < 1.5 for moment in moments)


@given(rates, generators)
def test_even_arrivals_of_all_generators_are_evenly_spaced_at_the_rate(rate, of):
    moments = union(stage(rate, "even", seconds=1.5), of)
    assert len(moments) == 2 * rate
    assert moments[0] == 0
    assert all(after - before == pytest.approx(1 / rate) for before, after in pairwise(moments))


@given(generators, st.integers(0, 2**40))
def test_random_arrivals_of_all_generators_are_a_poisson_process_of_the_rate(of, seed):
    moments = union(stage(200, "poisson", seconds=19.5, seed=seed), of)
    assert abs(len(moments) - 4000) < 6 * 4000**0.5
    gaps = [after - before for before, after in pairwise(moments)]
    # Exponential gaps are as wide as they are long, and nearly independent of each other.
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.15)
    assert abs(statistics.correlation(gaps[:-1], gaps[1:])) < 6 / len(gaps) ** 0.5


@given(generators)
def test_generators_stages_and_seeds_draw_apart(of):
    drawn = [list(arrivals(stage(50, "poisson"), GeneratorShare(index, of))) for index in range(of)]
    drawn.append(list(arrivals(stage(50, "poisson", number=1), GeneratorShare(0, of))))
    drawn.append(list(arrivals(stage(50, "poisson", seed=1), GeneratorShare(0, of))))
    assert len({tuple(moments) for moments in drawn}) == of + 2


def closed(settle, think_time=0.0):
    return Stage(
        number=0, deployment="a", target="http://127.0.0.1:1", level=9, think_time=think_time,
        settle=settle, measure=5.0, requests=(), seed=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settle", "think_time", "answer", "spread"),
    [
        (2.0, 0.0, None, 1.0),  # nothing is known
        (2.0, 10.0, None, 10.0),
        (2.0, 0.0, 0.3, 0.9),  # three cycles in half of the settling time
        (2.0, 0.0, 1.5, 1.5),
        (2.0, 0.0, 4.0, 2.0),  # all are under way when the window begins
        (2.0, 10.0, 0.5, 10.5),
        (0.0, 0.0, 4.0, 0.0),
        (0.0, 3.0, 4.0, 3.0),
    ],
)
def test_first_starts_are_spread_over_whole_cycles(settle, think_time, answer, spread):
    assert first_starts(closed(settle, think_time), answer) == pytest.approx(spread)


@given(st.floats(0, 60), st.floats(0, 60), st.none() | st.floats(0, 600))
def test_only_users_that_pause_start_after_the_settling_time(settle, think_time, answer):
    assert 0 <= first_starts(closed(settle, think_time), answer) <= settle + think_time + 1e-9


def test_arrivals_go_on_beyond_the_stage_as_they_were_in_it():
    one = stage(50, "poisson", seconds=1.5)
    longer = list(arrivals(one, GeneratorShare(), beyond=2.0))
    assert [moment for moment in longer if moment < 2] == list(arrivals(one, GeneratorShare()))
    assert 3 < longer[-1] < 4
