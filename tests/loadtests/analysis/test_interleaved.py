"""Two deployments that took turns: what is said of them."""

import itertools
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.analysis.verdicts.config import FIRST
from loadtests.analysis.verdicts.interleaved import rounds_of, verdict
from loadtests.analysis.verdicts.metrics import METRICS
from tests.support.blocks import block, contested, terms
from tests.support.simulated_blocks import FAILING, Equals


def noise(seed, deviation):
    """The noise of a block, on the log scale; the same for the same block."""

    def draw(step, number):
        return random.Random(f"{seed}{step.deployment}{step.level}{number}").gauss(0, deviation)

    return draw


def times(change=1.0, deviation=0.01, seed=0, **values):
    """Blocks of which head's are `change` times as slow."""
    draw = noise(seed, deviation)

    def made(step, number):
        factor = change if step.deployment == "head" else 1.0
        return block(
            step.deployment, step.level, times=factor * math.exp(draw(step, number)), **values
        )

    return made


def judged(made, **changed):
    said = terms(**changed)
    return verdict(contested(said, made), said)


def test_no_larger_change_would_have_been_seen_than_the_one_that_was():
    found = [judged(times(1.08, 0.06, seed)) for seed in range(12)]
    smaller = [
        one
        for one in found
        if one.verdict == "WORSE" and one.ratio.value < 1 + one.minimum_detectable_change
    ]
    assert smaller
    assert not any("would have been seen" in one.sentence for one in smaller)
    others = [one for one in found if one not in smaller]
    assert all("would have been seen" in one.sentence for one in others)


def test_a_slower_one_is_worse_and_the_intervals_hold_the_change() -> None:
    found = judged(times(1.1))
    assert found.verdict == "WORSE"
    assert found.ratio.low < 1.1 < found.ratio.high
    assert found.rounds == FIRST
    assert found.sentence.startswith("head against base: WORSE. p95 at 40 users is +")
    assert found.minimum_detectable_change < 0.1
    assert [one.deployment for one in found.blocks].count("head") == 4 * FIRST


def test_a_faster_one_is_better() -> None:
    assert judged(times(0.9)).verdict == "BETTER"


def test_equal_ones_are_equivalent_within_the_margin_that_was_set() -> None:
    found = judged(times(1.0))
    assert found.verdict == "EQUIVALENT"
    assert "The margin is 5 %" in found.sentence
    assert judged(times(1.0), margin=0.0001).verdict == "UNRESOLVED"


def test_a_difference_within_the_margin_does_not_matter() -> None:
    assert judged(times(1.01, 0.001)).verdict == "EQUIVALENT"
    assert judged(times(1.01, 0.001), margin=0.005).verdict == "WORSE"


def test_for_throughput_more_is_better() -> None:
    def made(step, number):
        more = {"throughput": 770.0} if step.deployment == "head" else {}
        return block(step.deployment, times=1 + 0.001 * number, **more)

    assert judged(made, metric="throughput").verdict == "BETTER"
    assert judged(times(1.1), metric="cpu").verdict == "EQUIVALENT"


def test_too_much_noise_is_unresolved_and_says_how_much_longer() -> None:
    found = judged(times(1.06, 0.12, seed=3), within=120)
    assert found.verdict == "UNRESOLVED"
    assert found.seconds_needed is not None
    assert found.seconds_needed > 60
    assert "more would decide it" in found.sentence


def test_less_than_the_first_look_is_unresolved_without_an_interval() -> None:
    said = terms()
    blocks = contested(said, times(2.0))[: 3 * said.size]
    found = verdict(blocks, said)
    assert found.verdict == "UNRESOLVED"
    assert found.ratio.low is None
    assert verdict([], said).verdict == "UNRESOLVED"
    assert "was not measured in a whole round" in verdict([], said).sentence


def failing_in(name, share=1.0, other=0.0):
    """Blocks of which one side fails a share of its requests, the other side another."""

    def made(step, number):
        errors = share if step.deployment == name else other
        errors = min(max(errors + 0.001 * ((7 * number) % 5 - 2), 0.0), 1.0) if errors else 0.0
        return block(
            step.deployment,
            errors=errors,
            kinds={"503": round(1700 * errors)} if errors else {},
            p50=math.inf if errors >= 0.5 else 0.05,
            p95=math.inf if errors >= 0.05 else 0.08 * (1 + 0.01 * ((3 * number) % 4)),
            p99=math.inf if errors >= 0.01 else 0.15,
        )

    return made


@pytest.mark.parametrize("share", [0.3, 0.49, 0.51, 0.6, 1.0])
def test_head_is_worse_when_it_fails_and_base_does_not_however_much_it_fails(share) -> None:
    said = terms()
    blocks = contested(said, failing_in("head", share))
    found = verdict(blocks, said)
    assert found.verdict == "WORSE"
    assert "more of the requests fail" in found.sentence
    assert "of those to head at 40 users, mostly with 503, 0 % of those to base" in found.sentence
    assert "give it more time" not in found.sentence
    assert found.ratio is None
    if share > 0.5:
        assert len(blocks) == said.size, "one round shows it"


def test_head_is_better_when_base_fails_more_than_a_quantile_leaves_out() -> None:
    found = judged(failing_in("base", 0.3))
    assert found.verdict == "BETTER"
    assert "fewer of the requests fail: 0 % of those to head" in found.sentence
    assert "-" not in found.sentence
    assert found.ratio is None


def test_blocks_that_cannot_be_used_are_no_proof_of_failures() -> None:
    def made(step, number):
        errors = 1.0 if step.deployment == "head" else 0.0
        return block(step.deployment, errors=errors, wrong=("out of ports",))

    assert judged(made).verdict == "INVALID"


def test_a_rise_of_failures_that_may_be_chance_is_neither_equality_nor_better() -> None:
    def made(step, number):
        errors = 0.06 if step.deployment == "head" and number == 2 else 0.0
        return block(step.deployment, errors=errors, times=1 + 0.002 * number)

    said = terms()
    found = verdict(contested(said, made)[: FIRST * said.size], said)
    assert found.verdict == "UNRESOLVED"
    assert "1.5 % more of the requests fail" in found.sentence
    assert "That may be chance." in found.sentence


@pytest.mark.parametrize("other", [0.0, 0.9])
def test_nothing_is_compared_with_a_base_that_fails_mostly(other) -> None:
    found = judged(failing_in("base", 0.95, other))
    assert found.verdict == "INVALID"
    assert "95% of the requests to base failed, mostly with 503" in found.sentence


def test_equals_that_fail_every_second_request_are_not_told_apart() -> None:
    draw = random.Random(5)
    found = judged(
        lambda step, number: failing_in("both", other=0.5 + draw.uniform(-0.02, 0.02))(step, number)
    )
    assert found.verdict not in ("WORSE", "BETTER")


def test_a_quantile_beyond_what_fails_on_both_sides_is_said_to_have_no_value() -> None:
    found = judged(failing_in("none", other=0.1))
    assert found.verdict == "INVALID"
    assert "10 % of the requests to base fail, and 10 % of those to head" in found.sentence
    assert "more than the 5 % that are slower than p95" in found.sentence
    assert "too few" not in found.sentence


def test_a_deployment_that_fails_from_the_start_ends_it_after_the_first_round() -> None:
    def made(step, number):
        failing = step.deployment == "head"
        return block(
            step.deployment,
            errors=float(failing),
            kinds={"503": 9} if failing else {},
            p95=math.inf,
        )

    said = terms()
    blocks = contested(said, made)
    assert len(blocks) == said.size
    found = verdict(blocks, said)
    assert found.verdict == "WORSE"
    assert "100 % of those to head at 40 users, mostly with 503, 0 % of those to base" in (
        found.sentence
    )


def test_a_failure_is_infinitely_slow() -> None:
    """A tenth of head's requests fail, and fast: its p95 is not a number."""

    def made(step, number):
        if step.deployment == "base":
            return block("base", times=1 + 0.002 * number)
        return block("head", errors=0.1, kinds={"503": 170}, p95=math.inf, p50=0.01)

    found = judged(made)
    assert found.verdict == "WORSE"
    assert "what fails differs: nothing in base, 503 in head" in found.problems


def test_more_failures_make_it_worse_even_where_the_rest_is_faster() -> None:
    def made(step, number):
        head = step.deployment == "head"
        return block(
            step.deployment,
            times=(0.8 if head else 1.0) * (1 + 0.002 * number),
            errors=0.02 + 0.0005 * number if head else 0.0,
            kinds={"503": 34} if head else {},
        )

    found = judged(made)
    assert found.verdict == "WORSE"
    assert "more of the requests fail" in found.sentence


def test_rounds_with_a_block_that_cannot_be_used_are_left_out() -> None:
    draw = times(1.0)

    def made(step, number):
        if number == 1:
            return block(step.deployment, times=3.0, wrong=("the load generator was slow",))
        return draw(step, number)

    found = judged(made)
    assert found.verdict == "EQUIVALENT"
    assert found.rounds == FIRST
    assert "1 of 5 rounds could not be used: the load generator was slow" in found.problems
    assert sum(not one.usable for one in found.blocks) == 8


def test_most_rounds_must_be_usable_for_a_verdict() -> None:
    def made(step, number):
        return block(step.deployment, wrong=("the load generator was the bottleneck",))

    said = terms()
    blocks = contested(said, made)
    found = verdict(blocks, said)
    assert found.verdict == "INVALID"
    assert "the load generator was the bottleneck" in found.sentence
    assert len(rounds_of(blocks, said)) == FIRST


def test_too_few_requests_for_the_quantile_do_not_show_equality() -> None:
    def made(step, number):
        found = block(step.deployment)
        return type(found)(
            **{name: getattr(found, name) for name in ("deployment", "level", "at")},
            requests=40,
            values={"p50": 0.05},
        )

    found = judged(made)
    assert found.verdict == "INVALID"
    assert "40 requests, too few for p95" in found.sentence
    assert "--measure" in found.sentence


def test_a_deployment_that_died_is_named() -> None:
    said = terms()
    blocks = contested(said, times(1.0))[:6]
    found = verdict(blocks, said, {"head": "deployment 'head' was killed by SIGKILL.\nlast words"})
    assert found.verdict == "INVALID"
    assert "killed by SIGKILL" in found.sentence


def test_the_others_are_adjusted_for_their_number() -> None:
    """Equal pairs, thirteen other figures each: in one of a hundred one is told as changed."""

    def made(seed):
        draw = noise(seed, 0.02)

        def one(step, number):
            found = {
                name: value * math.exp(random.Random(f"{name}{draw(step, number)}").gauss(0, 0.02))
                for name, value in block("x").values.items()
            }
            return block(step.deployment, step.level, **found)

        return one

    alarms = 0
    for seed in range(30):
        found = judged(made(seed), at=(40, 10))
        assert len(found.changes) == 13
        alarms += any(one.changed for one in found.changes)
    assert alarms <= 2


@settings(max_examples=40)
@given(change=st.floats(0.5, 2.0), deviation=st.floats(0.001, 0.1), seed=st.integers(0, 999))
def test_swapping_a_and_b_mirrors_the_verdict(change, deviation, seed) -> None:
    made = times(change, deviation, seed)
    said = terms()
    blocks = contested(said, made)
    found = verdict(blocks, said)
    other = verdict(blocks, terms(a="head", b="base"))
    opposite = {"BETTER": "WORSE", "WORSE": "BETTER"}
    assert other.verdict == opposite.get(found.verdict, found.verdict)
    assert other.ratio.value == pytest.approx(1 / found.ratio.value)


def answering(**head):
    """Blocks of a head that is faster by 20 %, and answers in another way."""

    def made(step, number):
        other = head if step.deployment == "head" else {}
        found = block(
            step.deployment,
            times=(0.8 if step.deployment == "head" else 1.0) * (1 + 0.002 * number),
            size=other.get("size", 1200.0),
            calls=other.get("calls", 1.0),
        )
        return replace(found, statuses=other.get("statuses", {"200": 1700}))

    return made


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ({"statuses": {"204": 1700}}, "answers differ: 200 in base, 204 in head"),
        (
            {"statuses": {"200": 1530, "206": 170}},
            "answers differ: 200 in base, 200 (90 %) and 206 (10 %) in head",
        ),
        ({"size": 2.0}, "sizes differ: 1,200 bytes in base, 2 bytes in head"),
        ({"size": 0.0}, "sizes differ: 1,200 bytes in base, 0 bytes in head"),
        ({"calls": 0.0}, "calls of the upstream for each request differ: 1 in base, 0 in head"),
        ({"calls": 0.5}, "calls of the upstream for each request differ: 1 in base, 0.5 in head"),
    ],
)
def test_a_faster_head_that_does_other_work_is_not_better(head, told) -> None:
    found = judged(answering(**head))
    assert found.verdict == "INVALID"
    assert told in found.sentence
    assert told in found.problems
    assert "p95 at 40 users is -20 %" in found.sentence


def test_a_faster_head_that_answers_the_same_is_better() -> None:
    found = judged(answering(size=1204.0, calls=1.005))
    assert found.verdict == "BETTER"
    assert not found.problems


def test_a_slower_head_that_does_other_work_is_worse() -> None:
    def made(step, number):
        found = answering(statuses={"204": 1700})(step, number)
        slower = 1.0 if step.deployment == "base" else 2.0
        return replace(found, values={**found.values, "p95": found.values["p95"] * slower})

    found = judged(made)
    assert found.verdict == "WORSE"
    assert "answers differ: 200 in base, 204 in head" in found.problems


def test_blocks_without_any_spread_are_known_to_one_request_at_best() -> None:
    def made(step, number):
        return block(step.deployment, throughput=700.0 if step.deployment == "base" else 699.9)

    found = judged(made, metric="throughput", margin=1e-5)
    assert found.verdict == "UNRESOLVED"
    assert found.ratio.low < found.ratio.value < found.ratio.high
    assert found.minimum_detectable_change > 1e-4


def test_values_that_come_in_two_steps_decide_nothing_when_rounds_are_equal_by_chance() -> None:
    """One block of head in each round is slow and none of base: p95 is at the border of a mode."""

    numbers = itertools.count()

    def made(step, number):
        slow = step.deployment == "head" and next(numbers) % 4 == 1
        return block(step.deployment, p95=1.0 if slow else 0.05)

    said = terms()
    blocks = contested(said, made)[: FIRST * said.size]
    assert verdict(blocks, said).verdict == "UNRESOLVED"


def piling(step, growth, times=1.0):
    found = block(step.deployment, 120, times=times, throughput=120.0 * (1 - growth))
    return replace(found, growth=growth)


def test_rates_beyond_the_capacity_of_both_are_not_compared_by_response_times() -> None:
    said = terms(at=(120,), model="open")

    def made(step, number):
        both = {"base": (0.08, 0.14), "head": (0.16, 0.3)}
        growth, times = both[step.deployment]
        return piling(step, growth + 0.001 * (number % 3), times)

    found = judged(made, at=(120,), model="open")
    assert found.verdict == "INVALID"
    assert found.ratio is None
    assert "At 120/s requests pile up in every block: base answered 110/s and head answered" in (
        found.sentence
    )
    assert not any(one.metric in ("p50", "p99") for one in found.changes)
    throughput = judged(made, at=(120,), model="open", metric="throughput")
    assert throughput.verdict == "WORSE"
    assert said.model == "open"


@pytest.mark.parametrize(("overloaded", "kind"), [("head", "WORSE"), ("base", "BETTER")])
def test_a_rate_that_only_one_side_keeps_up_with_decides(overloaded, kind) -> None:
    def made(step, number):
        growth = 0.16 if step.deployment == overloaded else 0.0
        return piling(step, growth + 0.001 * (number % 3))

    found = judged(made, at=(120,), model="open")
    assert found.verdict == kind
    assert f"{overloaded} answered 101/s" in found.sentence or "101/s" in found.sentence


def test_failures_in_a_few_blocks_give_no_ratio_of_a_hundred() -> None:
    draw = random.Random(3)

    def made(step, number):
        bad = draw.random() < 0.3
        return block(
            step.deployment,
            errors=0.08 if bad else 0.0,
            p95=math.inf if bad else 0.08 * (1 + draw.uniform(-0.01, 0.01)),
            kinds={"503": 130} if bad else {},
        )

    found = judged(made)
    assert found.verdict == "UNRESOLVED"
    assert found.ratio is None
    assert found.interval_after_round == []
    assert "p95 at 40 users is infinite in" in found.sentence
    assert "--metric p50" in found.sentence
    assert "would have been seen" not in found.sentence


def test_equals_are_seldom_called_different_whatever_fails() -> None:
    """The thousands are in tests/benchmarks/false_alarms.py."""
    different = []
    for name, (share, bursts) in FAILING.items():
        for seed in range(2 * len(METRICS)):
            metric = METRICS[seed % len(METRICS)]
            said = terms(seed=seed, metric=metric, within=90, margin=0.001)
            found = verdict(contested(said, Equals(seed, share, bursts).made), said).verdict
            if found in ("BETTER", "WORSE"):
                different.append((name, metric, seed))
    # 1 % of them may: three of sixty are one in forty.
    assert len(different) <= 2, different


@pytest.mark.parametrize(("answered", "said"), [(700.0, False), (690.0, False), (350.0, True)])
def test_cpu_of_requests_that_came_at_other_rates_is_said_to_depend_on_them(answered, said) -> None:
    def made(step, number):
        head = step.deployment == "head"
        cpu = (0.00106 if head else 0.001) * (1 + 0.002 * (number % 3))
        return block(step.deployment, cpu=cpu, throughput=answered if head else 700.0)

    found = judged(made, metric="cpu")
    told = [text for text in found.problems if "each may take more CPU" in text]
    assert len(told) == said
    assert not said or told[0].startswith("head answered 350/s and base 700/s")
