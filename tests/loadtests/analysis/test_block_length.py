"""How long the blocks of a comparison are, as the first ones show that it takes."""

import math

import pytest

from loadtests.analysis.verdicts.block_length import following, too_short, trials
from loadtests.analysis.verdicts.blocks import block
from loadtests.analysis.verdicts.config import FIRST, ComparisonConfig
from loadtests.analysis.verdicts.interleaved import verdict
from loadtests.schedules import Played
from loadtests.schedules.interleaved import Interleaved
from tests.support.blocks import block as made_block
from tests.support.simulated_engine import (
    SimulatedEngine,
    Station,
    System,
    exponential,
    record,
    stage,
)


def near(seconds):
    return System([Station(lambda rng: max(rng.gauss(seconds, 0.01 * seconds), 0.001))])


def terms(metric="throughput", level=40, **more):
    return ComparisonConfig(
        a="A", b="B", metric=metric, at=(level,), **{"round_seconds": 14.5, **more}
    )


def played(said, systems, most=200):
    """The blocks of a whole comparison, by the real schedule on simulated engines."""
    engines = {name: SimulatedEngine({name: one}, seed=ord(name)) for name, one in systems.items()}
    schedule, so_far = Interleaved(said), []
    while (step := schedule.next_stage(None, so_far)) is not None and len(so_far) < most:
        settle, measure = step.settle or said.settle, step.measure or said.measure
        asked = stage(
            len(so_far),
            step.deployment,
            step.level,
            settle=settle,
            measure=measure,
            model=said.model,
            arrivals="even",
        )
        made = block(record(engines[step.deployment], asked), [])
        seconds = settle + measure + (made.cycle or 0.0) + 0.15
        so_far.append(Played(step, None, 0.0, block=made, seconds=seconds))
    return [one.block for one in so_far]


@pytest.mark.parametrize(
    ("a", "b"), [(0.05, 0.052), (0.49, 0.50), (0.505, 0.68), (0.8, 1.2), (2.0, 1.9)]
)
def test_throughput_is_the_true_ratio_however_long_an_answer_takes(a, b) -> None:
    said = terms()
    blocks = played(said, {"A": near(a), "B": near(b)})
    found = verdict(blocks, said)
    assert found.ratio.value == pytest.approx(a / b, rel=0.01)
    assert found.ratio.low < a / b < found.ratio.high
    change = abs(math.log(a / b))
    assert found.verdict == ("EQUIVALENT" if change < 0.04 else "BETTER" if a > b else "WORSE")


def test_the_first_block_shows_how_long_the_others_have_to_be() -> None:
    """A block of 1.25 s at two users has some fifty requests, and p95 takes 72."""
    said = terms("p95", level=2)
    blocks = played(said, {"A": near(0.05), "B": near(0.05)})
    assert blocks[0].requests < 72
    assert trials(blocks) == 1
    assert all(one.requests > 94 for one in blocks[1:])
    assert len(blocks) == 1 + FIRST * said.size
    assert verdict(blocks, said).verdict == "EQUIVALENT"


def test_blocks_that_are_long_enough_stay_as_they_are() -> None:
    said = terms("p95")
    blocks = played(said, {"A": near(0.05), "B": near(0.05)})
    assert trials(blocks) == 0
    assert {one.length for one in blocks} == {(0.25, 1.25)}


def test_blocks_that_were_made_for_a_slow_upstream_are_shorter_where_the_service_is_fast() -> None:
    """Such as one that keeps the upstream's answers: its blocks need no more than any others."""
    said = terms("p95", settle=4.0, measure=6.0, round_seconds=83.2)
    blocks = played(said, {"A": near(0.05), "B": near(0.05)})
    assert trials(blocks) == 2
    assert {one.length for one in blocks[2:]} == {(0.25, 1.25)}
    assert len(blocks) == 2 + FIRST * said.size
    assert verdict(blocks, said).verdict == "EQUIVALENT"
    fixed = terms("p95", settle=4.0, measure=6.0, round_seconds=83.2, fixed=True)
    assert following(fixed, blocks[:2]) == (4.0, 6.0)


def test_blocks_stay_long_where_one_side_needs_it() -> None:
    said = terms("p95", settle=4.0, measure=6.0, round_seconds=83.2)
    blocks = played(said, {"A": near(0.05), "B": near(1.9)}, most=4)
    assert {one.length for one in blocks} == {(4.0, 6.0)}


def test_as_many_rounds_as_a_first_look_takes_fit_into_the_time() -> None:
    said = terms(within=360)
    blocks = played(said, {"A": near(2.0), "B": near(2.0)})
    seconds = sum(sum(one.length) + 2.0 + 0.15 for one in blocks)
    assert len(blocks) - trials(blocks) == FIRST * said.size
    assert seconds < 360 * 1.05


def test_blocks_of_a_fixed_length_keep_it_and_get_a_hint_at_once() -> None:
    said = terms("p95", level=2, fixed=True)
    blocks = played(said, {"A": near(0.05), "B": near(0.05)})
    assert len(blocks) == 2
    found = verdict(blocks, said)
    assert found.verdict == "INVALID"
    assert "requests, too few for p95, which takes 72: measure for longer (--measure 3s)" in (
        found.sentence
    )


def test_impossible_block_lengths_are_reported_after_the_first_blocks() -> None:
    said = terms("p99", level=1, within=60)
    blocks = played(said, {"A": near(0.5), "B": near(0.5)})
    assert len(blocks) <= 4
    found = verdict(blocks, said)
    assert found.verdict == "INVALID"
    assert "too few for p99, which takes 368: give it more time (--within " in found.sentence


def test_an_impractically_long_block_suggests_more_users() -> None:
    said = terms("p99", level=1, fixed=True)
    found = played(said, {"A": near(1.0), "B": near(1.0)})
    assert "measure for longer (--measure " in verdict(found, said).sentence
    changed = {"requests": 1, "length": (0.25, 5.0)}
    slow = [type(each)(**{**_fields(each), **changed}) for each in found]
    assert (too_short(said, slow) or "").endswith(
        "which takes 368: more users (--at) or a lower quantile (--metric p50)"
    )


def test_a_failing_block_does_not_suggest_a_longer_one() -> None:
    hangs = made_block("A", errors=1.0)
    hangs = type(hangs)(**{**_fields(hangs), "cycle": 10.0, "rate": 4.0, "length": (0.25, 1.25)})
    assert following(terms("p95"), [hangs]) == (0.25, 1.25)
    assert too_short(terms("p95"), [hangs]) is None


def test_a_service_with_a_queue_is_given_time_to_settle() -> None:
    """400 users on 40 threads of 50 ms wait half a second."""
    queue = System([Station(exponential(0.05), servers=40)])
    blocks = played(terms("p95", level=400), {"A": queue, "B": queue}, most=4)
    settle, measure = blocks[-1].length
    assert settle >= 0.75
    assert measure >= 1.25


def _fields(one):
    return {name: getattr(one, name) for name in one.__slots__}
