"""The order in which two deployments take turns, and when it is over."""

from collections import Counter

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
    """Everything was started, which took a minute, before the first block."""
    said = terms(within=100, margin=1e-6)
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
