"""The order in which two deployments take turns, and when it is over."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.schedules import Played
from loadtests.schedules.interleaved import Interleaved
from tests.support.blocks import block, contested, terms


@given(seed=st.integers(0, 10**6), levels=st.sampled_from([(40,), (40, 10, 80)]))
def test_order_is_balanced_in_each_round_and_over_each_two(seed, levels) -> None:
    schedule = Interleaved(terms(seed=seed, at=levels))
    rounds = [schedule.round(number) for number in range(8)]
    for steps in rounds:
        names = [step.deployment for step in steps][:: len(levels)]
        order = "".join(name[0] for name in names)
        assert order in ("bhhbhbbh", "hbbhbhhb")
        assert Counter(step.level for step in steps) == dict.fromkeys(levels, 8)
    for one, other in zip(rounds[::2], rounds[1::2], strict=True):
        assert one[0].deployment != other[0].deployment


def test_the_order_is_drawn_from_the_seed() -> None:
    orders = {
        tuple(Interleaved(terms(seed=seed)).round(number)[0].deployment for number in range(10))
        for seed in range(20)
    }
    assert len(orders) > 10


def test_both_restart_before_each_round_but_the_first() -> None:
    schedule = Interleaved(terms())
    restarts = [[step.restart for step in schedule.round(number)] for number in range(3)]
    assert restarts == [[False] * 8, [True, *[False] * 7], [True, *[False] * 7]]
    running = Interleaved(terms(restarts=False))
    assert not any(step.restart for number in range(3) for step in running.round(number))


def test_it_ends_at_the_time_limit_with_a_whole_round() -> None:
    said = terms(within=100, margin=1e-6)
    values = iter(range(10**6))

    def made(step, number):
        return block(step.deployment, times=1 + 0.1 * (next(values) % 7))

    blocks = contested(said, made)
    assert len(blocks) == said.size * int(100 // said.round_seconds)
    slower = contested(said, made, seconds=2 * said.round_seconds / said.size)
    assert len(slower) == said.size * int(100 // (2 * said.round_seconds))


def test_the_time_limit_counts_from_the_start_of_the_command() -> None:
    """
    Everything was started, which took a minute, before the first block. The second round begins
    with such a start, for which there is no time.
    """
    said = terms(within=100, margin=1e-6)
    schedule, so_far, begun = Interleaved(said), [], 60.0
    while (step := schedule.next_stage(None, so_far)) is not None:
        begun += 1.8
        made = block(step.deployment, times=1 + 0.1 * (len(so_far) % 7))
        so_far.append(Played(step, None, 0.0, block=made, seconds=1.8, since=begun))
    assert len(so_far) == said.size


def test_without_new_starts_the_first_one_is_the_only_one() -> None:
    said = terms(within=100, margin=1e-6, restarts=False)
    schedule, so_far, begun = Interleaved(said), [], 60.0
    while (step := schedule.next_stage(None, so_far)) is not None:
        begun += 1.8
        made = block(step.deployment, times=1 + 0.1 * (len(so_far) % 7))
        so_far.append(Played(step, None, 0.0, block=made, seconds=1.8, since=begun))
    assert len(so_far) == 2 * said.size


def test_it_ends_when_a_deployment_has_died() -> None:
    schedule = Interleaved(terms())
    [first, second, *_] = schedule.round(0)
    so_far = [
        Played(first, None, 0.0, block=block("base")),
        Played(second, None, 0.0, alive=False, block=block("head")),
    ]
    assert schedule.next_stage(None, so_far) is None


def test_a_dry_run_knows_how_long_it_may_take() -> None:
    said = terms(within=90)
    assert len(Interleaved(said).expected(None)) == said.total * said.size
    assert Interleaved(said).remaining(None, []) == said.total * said.size


def with_slow_starts(starting, within):
    """A comparison of equals whose services take that long to start: its end, its remarks."""
    said = terms(within=within, round_seconds=16.0)
    schedule, so_far, now, remarks = Interleaved(said), [], starting, []
    while (step := schedule.next_stage(None, so_far)) is not None:
        took = 1.8 + (starting if step.restart else 0.0)
        now += took
        made = block(step.deployment, times=1 + 0.1 * (len(so_far) % 7))
        so_far.append(Played(step, None, 0.0, block=made, seconds=took, since=now))
        remarks += [text for text in [schedule.remark(so_far)] if text]
    return now, remarks, len(so_far) // said.size


@pytest.mark.parametrize("starting", [2.0, 40.0, 100.0])
def test_a_comparison_of_services_that_start_slowly_ends_in_time(starting):
    ended, _, rounds = with_slow_starts(starting, 360.0)
    assert rounds >= 1
    assert ended <= 360.0


def test_slow_starts_are_reported_at_the_first_one():
    _, remarks, rounds = with_slow_starts(100.0, 360.0)
    assert rounds == 3
    assert remarks == [
        "Starting took 100 s, and every round begins with a new start: 3 rounds of the 4 that a "
        "verdict takes fit into 360 s. --within 8m would do."
    ]
    assert with_slow_starts(2.0, 360.0)[1] == []


@pytest.mark.parametrize("starting", [18.0, 20.0, 30.0])
def test_the_time_that_would_do_is_more_than_there_was(starting):
    [remark] = with_slow_starts(starting, 120.0)[1]
    assert int(re.search(r"--within (\d+)m would do", remark)[1]) * 60 > 120


def test_the_time_that_is_left_counts_the_starts():
    schedule = Interleaved(terms(within=360.0, round_seconds=16.0))
    step = schedule.round(0)[0]
    slow = [Played(step, None, 0.0, block=block(step.deployment), seconds=1.8, since=41.8)]
    size = schedule.terms.size
    assert schedule.remaining(None, slow) == 6 * size - 1
    assert schedule.restarts_in(schedule.remaining(None, slow)) == 5
