"""When the mock says that it did not keep up: seconds of it, without a clock."""

import random

import pytest

from mock_upstream.ledger.fidelity import Fidelity, Punctuality
from mock_upstream.ledger.ledger import Ledger


def bad_seconds(seconds):
    """How many of these seconds have a reason, each as (answers, how many of them were late)."""
    punctuality = Punctuality()
    return sum(bool(punctuality.late(answers, late)) for answers, late in seconds)


def drawn(rate, share, seconds, seed):
    draw = random.Random(seed)
    for _ in range(seconds):
        yield rate, sum(draw.random() < share for _ in range(rate))


@pytest.mark.parametrize("rate", [5, 18, 90, 400])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.005])
def test_few_late_responses_invalidate_no_second(rate, share):
    """A late one of 90 in each fifth second, which is 0.2 %, was a reason five times a minute."""
    assert bad_seconds(drawn(rate, share, 1000, seed=rate)) <= 2


@pytest.mark.parametrize("rate", [5, 18, 90, 400])
def test_lasting_lateness_is_found_although_no_single_second_shows_it(rate):
    late = round(max(rate * 0.06, 1))
    assert bad_seconds([(rate, late)] * 60) > 30


def test_a_second_in_which_most_are_late_is_seen_and_those_after_it_are_left_alone():
    quiet = [(90, 0)] * 5
    assert bad_seconds([*quiet, (90, 50), *quiet, (90, 1), *quiet]) == 1


@pytest.mark.parametrize(
    ("answers", "late", "bad"), [(0, 0, 0), (1, 1, 0), (2, 2, 1), (400, 4, 0), (400, 20, 1)]
)
def test_random_lateness_is_not_a_reason(answers, late, bad):
    assert bad_seconds([(answers, late)]) == bad


def test_the_ledger_counts_how_late_answers_were():
    ledger = Ledger()
    for late in (0.0, 0.0005, 0.0015, 0.003, 0.003, 0.25, 30.0):
        ledger.delivered(0.1 + late, late, None)
    account = ledger.read(
        reset_peak=False,
        version=1,
        phase=None,
        queue=None,
        limits=[],
        fidelity=Fidelity([], 0.0, 0.0, 0),
    )()
    assert account.delivered.count == 7
    assert account.overdue == {
        0.001: 5,
        0.002: 4,
        **dict.fromkeys((0.005, 0.01, 0.02, 0.05, 0.1, 0.2), 2),
        **dict.fromkeys((0.5, 1.0, 2.0, 5.0), 1),
    }
