"""What is known of disturbances is taken out of the blocks of a comparison."""

import math
import random
from dataclasses import replace

import pytest

from loadtests.analysis.verdicts import blocks
from loadtests.analysis.verdicts.covariates import adjusted, of_block, stalls
from loadtests.analysis.verdicts.interleaved import verdict
from loadtests.recording.messages import ProcessUsage, Taken, Usage
from tests.support.blocks import block, contested, terms
from tests.support.simulated_engine import SimulatedEngine, exponential, record, stage, threads

COST = 0.5  # of the log of a response time, for a core that others had all the time


def disturbed(change=1.0, seed=1, known=True, worst=0.4):
    """Blocks of which head's are `change` times as slow, and all are slowed down by other work."""
    draw = random.Random(seed)

    def made(step, number):
        taken = worst * draw.random()
        slow = math.exp(COST * taken + draw.gauss(0, 0.01))
        one = block(step.deployment, times=slow * (change if step.deployment == "head" else 1.0))
        return replace(one, disturbances={"cores 1": taken} if known else {})

    return made


def judged(made, **changed):
    said = terms(**changed)
    return verdict(contested(said, made), said)


def test_quarters_after_a_disturbance_are_left_out() -> None:
    draw = random.Random(3)
    sides = [
        [(0.1 * place + COST * x, {"cores 1": x, "mock": 0.0}) for x in map(draw.uniform, *limits)]
        for place, limits in enumerate(((0, 0, 0, 0), (1, 1, 1, 1)) for _ in range(8))
    ]
    values, coefficients = adjusted(sides)
    assert coefficients == 1, "the mock was never late"
    for place, side in enumerate(values):
        assert side == pytest.approx([side[0]] * 4)
        assert side[0] - values[0][0] == pytest.approx(0.1 * place)


def test_a_disturbance_that_changes_nothing_is_left_in() -> None:
    draw = random.Random(4)
    sides = [[(draw.gauss(0, 1), {"mock": draw.random()}) for _ in range(4)] for _ in range(40)]
    values, _ = adjusted(sides)
    changes = [a - b for side, new in zip(sides, values, strict=True)
               for (a, _), b in zip(side, new, strict=True)]  # fmt: skip
    assert max(map(abs, changes)) < 0.2


@pytest.mark.parametrize("known", [{}, {"cores 1": 0.2}])
def test_unknown_blocks_are_not_corrected(known) -> None:
    sides = [[(float(value), known) for value in range(4)] for _ in range(8)]
    assert adjusted(sides) == ([[0.0, 1.0, 2.0, 3.0]] * 8, 0)
    assert adjusted([]) == ([], 0)


def test_a_single_round_is_too_little_to_know_what_a_disturbance_does() -> None:
    sides = [[(float(value), {"mock": value / 10}) for value in range(4)] for _ in range(2)]
    assert adjusted(sides)[1] == 0


def test_a_slower_head_is_found_in_noise_that_is_known_and_not_in_other_noise() -> None:
    found = judged(disturbed(1.05), within=120)
    assert found.verdict == "WORSE"
    assert found.ratio.low < 1.05 < found.ratio.high
    other = judged(disturbed(1.05, known=False), within=120)
    assert other.verdict == "UNRESOLVED"
    assert found.minimum_detectable_change < other.minimum_detectable_change


def test_equals_in_known_noise_are_not_called_different() -> None:
    """The short form of `verdicts.py noisy`: one of a hundred at most, so none of these."""
    for seed in range(8):
        found = judged(disturbed(seed=seed), within=100, margin=0.001)
        assert found.verdict not in ("BETTER", "WORSE")


def test_swapping_a_and_b_changes_nothing_in_known_noise() -> None:
    said = terms()
    played = contested(said, disturbed(1.03, seed=5))
    found, other = verdict(played, said), verdict(played, terms(a="head", b="base"))
    assert other.ratio.value == pytest.approx(1 / found.ratio.value)


def used(cpu, **more):
    return Usage(
        stage=0,
        seconds=6.0,
        processes={"app": {1: ProcessUsage(role="python", cpu=cpu, busiest=cpu)}},
        taken=(
            Taken(cores=(0,), others=0.1, stolen=0.0),
            Taken(cores=(1,), others=0.3, stolen=0.05),
        ),
        **more,
    )


def test_a_block_knows_what_others_took_and_who_was_late() -> None:
    played = record(SimulatedEngine({"app": threads(40, exponential(0.05))}), stage(0, "app", 20))
    assert of_block(played) == {"generator": 0.0005}
    played.usage = used(1.0, late=0.002)
    asked = {"generator": 0.0005, "mock": 0.002, "cores 0": 0.1, "cores 1": pytest.approx(0.35)}
    assert of_block(played) == asked
    assert blocks.block(played, []).disturbances == asked


def test_cpu_of_a_remote_service_is_not_taken_by_others() -> None:
    played = record(SimulatedEngine({"app": threads(40, exponential(0.05))}), stage(0, "app", 20))
    played.usage = used(0.0)
    assert of_block(played) == {"generator": 0.0005, "cores 0": 0.0, "cores 1": 0.05}


PLAYED = record(SimulatedEngine({"app": threads(40, exponential(0.05))}), stage(0, "app", 20))
BEGIN, END = PLAYED.window


def sampled(**more):
    return [{"at": BEGIN - 1}, {"at": END + 1, **more}]


@pytest.mark.parametrize(
    ("more", "stalled"),
    [
        ({}, []),
        ({"stopped": {"app": [[BEGIN + 1.05, BEGIN + 1.15]]}}, [3, 4, 5]),
        ({"stopped": {"mock": [[BEGIN - 0.2, BEGIN - 0.1]]}}, [0]),
        ({"stopped": {"another": [[BEGIN + 1.05, BEGIN + 1.15]]}}, []),
        ({"quarters": [{"at": BEGIN + 1.25, "stolen": [0.0, 0.5]}]}, [3, 4, 5]),
        ({"quarters": [{"at": BEGIN + 1.25, "stolen": [0.0, 0.1, 0.9]}]}, []),
        ({"quarters": [{"at": "soon"}, {"stolen": 3}, {"at": BEGIN + 1, "stolen": ["a"]}]}, []),
        ({"quarters": "none"}, []),
    ],
)
def test_quarter_seconds_in_which_something_stood_still_are_known(more, stalled) -> None:
    played = replace(PLAYED, usage=used(1.0))
    assert stalls(played, sampled(**more)) == stalled


def test_a_block_is_measured_where_nothing_stood_still() -> None:
    """The times are those of the other quarter seconds, whatever the stop made of its own."""
    whole = blocks.block(PLAYED, [])
    spells = [[BEGIN + second, BEGIN + second + 0.2] for second in range(5)]
    found = blocks.block(PLAYED, sampled(stopped={"app": spells}))
    assert found.values["p95"] != whole.values["p95"]
    assert found.values["errors"] == whole.values["errors"]
    assert not found.spoilt
    still = blocks.block(PLAYED, sampled(stopped={"app": [[BEGIN, BEGIN + 9]]}))
    assert still.spoilt
    assert still.values["p95"] == whole.values["p95"]


def bursts(step_taken):
    """Blocks with a disturbance of their own, by the number of the block."""
    count = iter(range(10**6))

    def made(step, number):
        taken = step_taken(next(count))
        one = block(step.deployment, times=math.exp(2.0 * taken) * (1 + 0.001 * number))
        return replace(one, disturbances={"cores 1": taken})

    return made


def test_a_block_without_information_is_left_out_with_its_share() -> None:
    found = judged(bursts(lambda count: 0.9 if count == 9 else 0.1 + 0.01 * (count % 3)))
    assert found.verdict == "EQUIVALENT"
    assert [one.usable for one in found.blocks].index(False) == 9
    assert found.rounds == 4
    taken, left_out = found.problems
    assert "took 13.5 % of core 1 (up to 90 % in a block)" in taken
    assert left_out.startswith("1 block is left out of 32: ")


def test_a_round_without_enough_blocks_is_replaced_by_another() -> None:
    found = judged(bursts(lambda count: 0.9 if 9 <= count < 15 else 0.1 + 0.01 * (count % 3)))
    assert found.verdict == "EQUIVALENT"
    assert found.rounds == 4
    assert len(found.blocks) == 5 * 8
    assert {one.ratio for one in found.blocks if one.round == 2} == {None}


def test_a_machine_that_is_as_busy_all_the_time_leaves_out_nothing() -> None:
    found = judged(bursts(lambda count: 0.7 + 0.01 * (count % 3)))
    assert found.verdict == "EQUIVALENT"
    assert all(one.usable for one in found.blocks)
