"""Shares of failures of few requests: when they differ by more than chance."""

import random

import numpy as np
import pytest
import scipy

from loadtests.analysis.points import points
from loadtests.analysis.stats import failure_shares
from loadtests.analysis.verdicts import stored
from loadtests.analysis.verdicts.blocks import Block, block
from loadtests.analysis.verdicts.interleaved import verdict
from loadtests.schedules import Played
from loadtests.schedules.interleaved import Interleaved
from tests.support.blocks import terms
from tests.support.recorded import arrivals, recorded, stage, users


@pytest.mark.parametrize(
    ("failed", "size"), [((0, 7), (12, 12)), ((3, 9), (16, 14)), ((0, 20), (40, 40))]
)
def test_the_p_value_is_that_of_the_exact_unconditional_test(failed, size) -> None:
    found = failure_shares.p_value(
        (failed[0] / size[0], size[0]),
        (failed[1] / size[1], size[1]),
    )
    table = [[*failed], [size[0] - failed[0], size[1] - failed[1]]]
    assert found == pytest.approx(scipy.stats.barnard_exact(table).pvalue, rel=0.15)


def test_sides_without_a_difference_or_without_requests_have_a_p_value_of_one() -> None:
    assert failure_shares.p_value((0.4, 10), (0.4, 10)) == 1.0
    assert failure_shares.p_value((0.0, 0.5), (1.0, 10)) == 1.0
    assert failure_shares.p_value((0.0, 12), (0.6, 12)) == failure_shares.p_value(
        (0.6, 12), (0.0, 12)
    )


def test_blocks_that_fail_wholly_or_not_at_all_are_worth_one_request_each_at_most() -> None:
    whole = [[(6.0, 6), (0.0, 6), (6.0, 6), (0.0, 6)] for _ in range(2)]
    assert failure_shares.design_effect(whole) >= 6
    even = [[(3.0, 6)] * 4] * 2
    assert failure_shares.design_effect(even) == 1.0


def test_starts_of_which_each_fails_in_its_own_way_are_no_proof_by_their_blocks() -> None:
    starts = [[(6.0, 6)] * 4, [(0.0, 6)] * 4, [(6.0, 6)] * 4]
    assert failure_shares.design_effect(starts) >= 24


@pytest.mark.parametrize("dependence", [0.0, 0.3, 0.9])
def test_equals_with_few_requests_are_hardly_ever_told_apart_by_their_failures(dependence) -> None:
    rng = np.random.default_rng(8)
    alarms = 0
    for _ in range(200):
        sides = []
        for _ in range(2):
            shares = np.full(12, 0.5)
            if dependence:
                shares = rng.beta(*[0.5 * (1 / dependence - 1)] * 2, 12)
            failed = rng.binomial(6, np.clip(shares, 1e-9, 1 - 1e-9))
            sides.append([[(float(count), 6) for count in failed[i : i + 4]] for i in (0, 4, 8)])
        alarms += failure_shares.apart(*sides)
    assert alarms <= 1


def fast(rng):
    return rng.uniform(0.04, 0.06)


def sent_by(one, share, rng, timeout):
    if one.model == "open":
        return arrivals(one, fast, rng, lambda: rng.random() >= share)
    return users(one, fast, rng, failing=lambda g: timeout if g.random() < share else None)


def compared(share, *, seed=1, timeout=10.0, **asked):
    """The verdict of a comparison of 5 users, or 5 requests a second, of which head's fail."""
    said, so_far, rng = terms(at=(5,), **asked), [], random.Random(seed)
    schedule = Interleaved(said)
    while (step := schedule.next_stage(None, so_far)) is not None:
        settle, measure = step.settle or said.settle, step.measure or said.measure
        one = stage(
            len(so_far), step.deployment, 5, settle=settle, measure=measure, model=said.model
        )
        failed = share if step.deployment == "head" else 0.0
        made = block(recorded(one, sent_by(one, failed, rng, timeout)), [])
        so_far.append(Played(step, None, 0.0, block=made, seconds=settle + measure))
    return verdict([one.block for one in so_far], said)


@pytest.mark.parametrize("model", ["open", "closed"])
@pytest.mark.parametrize("metric", ["p50", "p99", "throughput"])
def test_a_head_that_mostly_fails_is_worse_however_few_requests_a_block_has(model, metric) -> None:
    found = compared(0.6, model=model, metric=metric)
    assert found.verdict == "WORSE"
    assert "more of the requests fail" in found.sentence.split("WORSE.")[1][:40]
    assert "too few" not in found.sentence
    assert "was not measured" not in found.sentence


def test_too_few_requests_on_both_sides_are_still_invalid_after_a_few_blocks() -> None:
    found = compared(0.0, model="open", metric="p99")
    assert found.verdict == "INVALID"
    assert "too few for p99" in found.sentence
    assert "fail" not in found.sentence


@pytest.mark.parametrize(("rounds", "kind"), [(2, "UNRESOLVED"), (4, "INVALID")])
def test_failures_that_can_be_chance_are_named_before_a_lack_of_requests(rounds, kind) -> None:
    names = ["base", "head", "head", "base", "head", "base", "base", "head"]
    blocks = [
        Block(name, 40, 0.0, 4, {"errors": 0.5 if name == "head" and number % 2 else 0.0})
        for number, name in enumerate(names * rounds)
    ]
    found = verdict(blocks, terms(fixed=True))
    assert found.verdict == kind
    start = f"head against base: {kind}. 25 % more of the requests fail: 25 % of those to head"
    assert found.sentence.startswith(start)
    assert ("too few for p95" in found.sentence) == (kind == "INVALID")


def stored_point(share, seed):
    one = stage(0, "a", 5, settle=2.0, measure=6.5, model="open")
    record = recorded(one, sent_by(one, share, random.Random(seed), 10.0))
    return [point for point in points([record]) if point.request == "all"]


def test_saved_runs_of_thirty_requests_of_which_the_newer_mostly_fail_are_mostly_worse() -> None:
    found = [
        stored.verdict(("a", "a"), stored_point(0.0, 2 * n), stored_point(0.59, 2 * n + 1))
        for n in range(20)
    ]
    assert all("requests" in one.sentence and "fail" in one.sentence for one in found)
    assert sum(one.verdict == "WORSE" for one in found) >= 18
    assert not any(one.verdict in ("BETTER", "EQUIVALENT") for one in found)
