"""Slow spells come by the clock and the seed, whatever is asked."""

from itertools import groupby

import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mock_upstream.latency.parser import parse
from mock_upstream.latency.spells import Chain, Spells
from mock_upstream.units.durations import LONGEST

SPELLS = Spells(good="300ms", bad="100ms", factor=3)
moments = st.floats(-10, 5000)


@settings(max_examples=30)
@given(st.lists(moments, min_size=1, max_size=8), st.integers(0, 3))
def test_the_spell_at_a_time_does_not_depend_on_earlier_queries(
    times: list[float], seed: int
) -> None:
    chain = Chain(SPELLS, seed)
    asked_in_this_order = [chain.bad(t) for t in times]
    assert asked_in_this_order == [Chain(SPELLS, seed).bad(t) for t in times]


def test_another_seed_or_name_has_other_spells() -> None:
    def states(seed: int, name: str) -> list[bool]:
        chain = Chain(SPELLS, seed, name)
        return [chain.bad(t / 10) for t in range(200)]

    assert states(1, "a") == states(1, "a")
    assert states(1, "a") != states(2, "a")
    assert states(1, "a") != states(1, "b")


def test_bad_spells_take_their_share_of_the_time() -> None:
    chain = Chain(SPELLS, 1)
    seen = [chain.bad(t * 0.05) for t in range(40_000)]  # 5000 pairs of spells
    assert sum(seen) / len(seen) == pytest.approx(SPELLS.share, abs=0.02)


def test_at_any_one_time_the_share_is_that_of_all_time() -> None:
    for t in (0.0, 0.05, 1.7, 409.6):
        bad = sum(Chain(SPELLS, seed).bad(t) for seed in range(2000))
        assert scipy.stats.binomtest(bad, 2000, SPELLS.share).pvalue > 1e-4


def test_spells_last_exponential_times_of_their_means() -> None:
    chain, tick = Chain(SPELLS, 5), 0.001
    runs = groupby(range(400_000), lambda n: chain.bad(n * tick))
    lengths: dict[bool, list[float]] = {True: [], False: []}
    for state, run in runs:
        lengths[state].append(sum(1 for _ in run) * tick)
    for state, mean in ((True, SPELLS.bad), (False, SPELLS.good)):
        sample = lengths[state][1:-1]
        assert len(sample) > 700
        # The tick hides spells shorter than itself and joins their neighbours: a percent.
        assert scipy.stats.kstest(sample, "expon", args=(0, mean)).statistic < 0.06


def test_a_jump_in_time_takes_no_memory_for_the_time_between() -> None:
    chain = Chain(Spells(good="1ms", bad="1ms", factor=2), 0)
    for t in (0.0, 1e9, 3.0, 1e9):
        chain.bad(t)
        assert len(chain._ends) < 4 * 1024


def test_a_factor_multiplies_the_usual_delay_up_to_an_hour() -> None:
    usual = parse("uniform(10ms,30ms)")
    assert SPELLS.delay(0.5, usual) == pytest.approx(0.06)
    assert Spells(good="1s", bad="1s", factor=1e6).delay(0.5, usual) == LONGEST


def test_a_latency_takes_the_place_of_the_usual_one() -> None:
    spells = Spells.model_validate({"good": "1s", "bad": "1s", "latency": "2s"})
    assert spells.delay(0.5, parse("1ms")) == 2


@given(st.floats(0, 100), st.floats(0.01, 0.99))
def test_a_delay_is_that_of_the_spell_at_its_time(t: float, u: float) -> None:
    chain, usual = Chain(SPELLS, 3), parse("uniform(10ms,30ms)")
    assert chain.delay(t, u, usual) == usual.quantile(u) * (3 if chain.bad(t) else 1)


def test_settings_read_back_as_written() -> None:
    spells = Spells.model_validate({"good": "30s", "bad": "5s", "latency": "p50=1s p99=5s"})
    assert Spells.model_validate_json(spells.model_dump_json()) == spells


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"good": "1s", "bad": "1s"}, "needs a factor or a latency"),
        ({"good": "1s", "bad": "1s", "factor": 2, "latency": "1s"}, "one of the two"),
        ({"good": "0s", "bad": "1s", "factor": 2}, "1ms at least"),
        ({"good": "1s", "bad": "-1s", "factor": 2}, "is negative"),
        ({"good": 1, "bad": "1s", "factor": 2}, "is not text"),
        ({"good": "1s", "bad": "1s", "factor": 0}, "greater than 0"),
        ({"good": "1s", "bad": "1s", "factor": float("nan")}, "finite number"),
        ({"good": "1s", "bad": "1s", "factor": float("inf")}, "finite number"),
        ({"good": "1s", "bad": "1s", "latency": "p50=2s p95=1s"}, "p95=1s is below p50=2s"),
        ({"good": "1s", "bad": "1s", "factor": 2, "worse": 1}, "Extra inputs"),
    ],
)
def test_invalid_spells_are_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Spells.model_validate(values)
