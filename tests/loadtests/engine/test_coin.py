"""A few requests a second are stamped, at any rate, and whatever is answered."""

import itertools

import pytest

from loadtests.engine.arrivals import GeneratorShare
from loadtests.engine.coin import TARGET, Coin
from loadtests.recording.messages import Stage
from loadtests.recording.slices import LENGTH


def coin(seed=1, share=GeneratorShare(), at=100.0):  # noqa: B008  # frozen
    made = Coin(
        Stage(
            number=0, deployment="a", target="http://a", level=1, think_time=0, settle=2,
            measure=10, requests=(), seed=seed,
        ),
        share,
    )  # fmt: skip
    made.begin(at)
    return made


def stamped(made, moments):
    return [moment for moment in moments if made.toss(moment)]


def evenly(rate, begin=100.0, seconds=10.0):
    return [begin + number / rate for number in range(round(rate * seconds))]


@pytest.mark.parametrize("rate", [0.5, 5, 25])
def test_all_requests_are_stamped_at_low_rates(rate):
    moments = evenly(rate)
    assert stamped(coin(), moments) == moments


@pytest.mark.parametrize("rate", [100, 600, 3000, 20_000])
def test_a_few_a_second_are_stamped_at_any_rate(rate):
    found = stamped(coin(), evenly(rate))
    assert len([one for one in found if one >= 101]) == pytest.approx(9 * TARGET, rel=0.2)
    assert len([one for one in found if one < 101]) < 4 * TARGET + 0.01 * rate


def test_generators_share_them():
    shares = [GeneratorShare(index, 3) for index in range(3)]
    found = [stamped(coin(share=one), evenly(500)) for one in shares]
    assert sum(map(len, found)) == pytest.approx(10 * TARGET, rel=0.25)


def test_the_chance_changes_with_the_quarter_seconds_alone():
    made = coin()
    chances = {}
    for moment in [*evenly(100, 100, 5), *evenly(900, 105, 5)]:
        made.toss(moment)
        if moment >= 101:
            chances.setdefault(int((moment - 100) / LENGTH + 1e-9), set()).add(made.share)
    assert all(len(one) == 1 for one in chances.values())
    assert max(chances[39]) == pytest.approx(TARGET / 900, rel=0.05)


def test_requests_after_a_pause_are_stamped_at_their_own_rate():
    made = coin()
    stamped(made, evenly(1000, 100, 5))
    before = made.share
    made.toss(110.0)
    assert made.share <= 2 * before


def test_the_same_seed_stamps_the_same_requests():
    first, again, other = (stamped(coin(seed), evenly(400)) for seed in (1, 1, 2))
    assert first == again != other


def test_stamping_does_not_depend_on_the_position_of_a_request():
    """Every tenth request is a slow one: a tenth of those that are stamped are."""
    moments = evenly(1000, seconds=100)
    slow = set(itertools.islice(moments, 0, None, 10))
    found = stamped(coin(), moments)
    assert len(slow.intersection(found)) / len(found) == pytest.approx(0.1, abs=0.025)
