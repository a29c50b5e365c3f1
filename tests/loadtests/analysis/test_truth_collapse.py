"""What hangs, fails or takes very long is never green, and the worse it is the less so."""

import math
import random
from functools import cache

import pytest

from loadtests import plans
from loadtests.analysis.summary import sentence
from loadtests.analysis.verdicts.blocks import block
from loadtests.analysis.verdicts.config import ComparisonConfig
from loadtests.analysis.verdicts.interleaved import verdict
from loadtests.exit_codes import FAILED, FINE
from loadtests.outcomes import endings_of, exit_code
from loadtests.results import Run
from loadtests.schedules import Played, Step
from loadtests.schedules import ladder as schedule
from tests.support.blocks import block as made_block
from tests.support.blocks import contested, terms
from tests.support.recorded import Request, analysed, hung, of_all, outcome, recorded, stage, users
from tests.support.simulated_engine import (
    SimulatedEngine,
    Station,
    System,
    constant,
    ladder,
    threads,
    uniform,
)

FAST = uniform(0.03, 0.07)
QUICK = uniform(0.002, 0.006)


def exit_codes(run):
    """The exit code of the run, and that with `--unresolved pass`."""
    return exit_code(endings_of(run)), exit_code(endings_of(run), "pass")


def judged(found):
    return exit_codes(Run(id="", name="", started="", verdicts=[found]))


@cache
def answering(settle, measure):
    """A ladder of an unlimited service."""
    engine = SimulatedEngine({"a": System([Station(FAST)])})
    return ladder(engine, "a", (1, 5, 10, 20, 40), settle=settle, measure=measure)


def collapsing(*hanging, settle=2.0, measure=5.0, slos=()):
    """A ladder of an unlimited service that answers nothing at the `hanging` levels."""
    records = [*answering(settle, measure)]
    for level in hanging:
        one = stage(len(records), "a", level, settle=settle, measure=measure)
        records.append(hung(one, random.Random(level)))
    return analysed(records, dict(slos))


SLOS = {
    "slow": "p95 < 250ms at 80",
    "failed": "errors < 1%",
    "rate": "throughput > 100/s at 80",
    "median": "p50 < 4s at 80",
}


def test_a_level_that_hangs_is_a_valid_point_without_throughput():
    run = collapsing(80, 160, slos=SLOS)
    point = next(point for point in of_all(run) if point.level == 80)
    assert point.valid
    assert point.throughput.value == 0
    assert point.errors.rate > 0.9
    assert point.in_flight == pytest.approx(80)


def test_a_service_that_hangs_misses_its_slos():
    run = collapsing(80, 160, slos=SLOS)
    assert {one.name: one.status for one in run.slos} == dict.fromkeys(SLOS, "missed")
    assert exit_codes(run) == (FAILED, FAILED)


def test_a_service_that_hangs_is_said_to_fail_from_there_on():
    run = collapsing(80, 160)
    text = sentence(run, "a")
    assert "every request fails from 80 users on (timeout)" in text


@pytest.mark.parametrize("moment", [1.0, 4.0])
def test_a_service_that_hangs_for_some_users_misses_its_share_of_errors(moment):
    def sent(user, rng):
        now = rng.uniform(0, 1)
        while now < 7.0:
            hangs = user < 29 and now >= moment
            yield Request(now, end := now + (10.0 if hangs else rng.uniform(0.03, 0.07)), hangs)
            now = end

    one = stage(9, "a", 80, settle=2.0, measure=5.0)
    hanging = recorded(one, (r for user in range(80) for r in sent(user, random.Random(user))))
    low = ladder(SimulatedEngine({"a": System([Station(FAST)])}), "a", (1, 10))
    run = analysed([*low, hanging], {"everywhere": "errors < 1%", "here": "errors < 5% at 80"})
    assert [one.status for one in run.slos] == ["missed", "missed"]
    assert all("29 of 80 users waited in vain" in one.why for one in run.slos)
    assert exit_codes(run) == (FAILED, FAILED)


def test_a_comparison_with_a_service_that_hangs_is_worse():
    asked = ComparisonConfig(a="A", b="B", at=(40,), round_seconds=15.0)
    blocks = []
    for number in range(32):
        name = "ABBABAAB"[number % 8]
        one = stage(number, name, 40, settle=0.25, measure=1.25)
        rng = random.Random(number)
        record = recorded(one, users(one, FAST, rng)) if name == "A" else hung(one, rng)
        blocks.append(block(record, []))
    found = verdict(blocks, asked)
    assert found.verdict == "WORSE"
    assert judged(found) == (FAILED, FAILED)


def failing_blocks(share_a, share_b):
    def made(step, _):
        share = share_b if step.deployment == "head" else share_a
        share *= 1 + 0.002 * rng.random()
        share = min(share, 1.0)

        def at(q, value):
            return math.inf if share > 1 - q else value * (1 + rng.gauss(0, 0.01))

        return made_block(
            step.deployment,
            errors=share,
            p50=at(0.5, 0.05),
            p95=at(0.95, 0.08),
            p99=at(0.99, 0.15),
            throughput=700.0 * (1 - share),
            kinds={"500": round(1700 * share)} if share else {},
        )

    rng = random.Random(1)
    return verdict(contested(terms(), made), terms())


@pytest.mark.parametrize("share", [0.1, 0.3, 0.49, 0.5, 0.51, 0.6, 0.9, 1.0])
def test_the_more_of_its_requests_a_head_fails_the_worse(share):
    found = failing_blocks(0.0, share)
    assert found.verdict == "WORSE"
    assert judged(found) == (FAILED, FAILED)
    assert "fail" in found.sentence
    assert "give it more time" not in found.sentence


@pytest.mark.parametrize("share", [0.6, 1.0])
def test_a_comparison_in_which_nothing_can_be_compared_is_not_passed(share):
    both, alone = failing_blocks(share, share), failing_blocks(share, 0.0)
    assert both.verdict == "INVALID"
    assert alone.verdict == "INVALID"
    for found in (both, alone):
        assert FINE not in judged(found)
        assert "fail" in found.sentence


def test_failures_on_both_sides_are_the_reason_that_is_given():
    found = failing_blocks(0.1, 0.1)
    assert "fail" in found.sentence
    assert "too few" not in found.sentence


def test_a_level_skipped_after_a_collapse_misses_what_the_lower_one_missed():
    records = ladder(
        SimulatedEngine({"a": threads(1, constant(0.06))}),
        "a",
        (1, 5, 10, 20, 40),
        measure=10.0,
    )
    run = analysed(
        records,
        {"slow": "p95 < 250ms at 80", "failed": "errors < 1%"},
        plan={"load": {"levels": [1, 5, 10, 20, 40, 80]}},
    )
    slow = outcome(run, "slow")
    assert slow.status == "missed"
    assert "40 users" in slow.why
    assert exit_codes(run) == (FAILED, FAILED)


def planned(levels, latency="50ms", slos=None):
    return plans.Plan.model_validate(
        {
            "name": "p",
            "upstream": {"latency": latency},
            "deployments": {"x": {"variant": "async-aiohttp"}},
            "requests": [{"path": "/external-data"}],
            "load": {"levels": levels},
            "slos": slos or {},
        }
    )


@pytest.mark.parametrize(("latency", "p95"), [("2s", 2.05), ("3s", 3.05), ("10s", 10.2)])
def test_a_slow_upstream_does_not_end_the_ladder(latency, p95):
    plan = planned([1, 5, 10, 20, 40], latency)
    so_far = [Played(Step("x", 1), p95, 0.0)]
    for level in (5, 10, 20, 40):
        step = schedule.next_stage(plan, so_far)
        assert step is not None
        assert step.level == level
        so_far.append(Played(step, p95 * (1 + level / 100), 0.0))


def test_levels_that_slos_name_are_played_after_a_collapse():
    plan = planned([1, 5, 40, 80, 160], slos={"slow": "p95 < 250ms at 80"})
    so_far, played = [], []
    while (step := schedule.next_stage(plan, so_far)) is not None:
        played.append(step.level)
        so_far.append(Played(step, 0.05 if step.level < 40 else 30.0, 0.0))
    assert played == [1, 5, 40, 80]


@cache
def always_failing():
    """Three levels, each with what its users send."""
    rng = random.Random(1)
    stages = [stage(number, "a", level) for number, level in enumerate((1, 10, 40))]
    return [(one, users(one, QUICK, rng, fails_at=lambda start: True)) for one in stages]


@pytest.mark.parametrize("status", ["404", "307", "500"])
def test_a_path_that_always_fails_misses_every_slo_and_says_so_first(status):
    records = [recorded(one, sent, status) for one, sent in always_failing()]
    run = analysed(
        records,
        {"slow": "p95 < 250ms at 40", "failed": "errors < 1%", "rate": "throughput > 1/s at 40"},
    )
    assert [one.status for one in run.slos] == ["missed"] * 3
    text = sentence(run, "a")
    assert text.startswith("a: every request failed")
    assert status in text
    assert exit_codes(run) == (FAILED, FAILED)


def test_failures_are_said_before_a_bottleneck_of_the_generator():
    engine = SimulatedEngine({"a": System([Station(QUICK)], failing=lambda n: 1.0)}, cpu=0.97)
    run = analysed(
        ladder(engine, "a", (1, 10, 40)), {"slow": "p95 < 250ms at 40", "failed": "errors < 1%"}
    )
    assert sentence(run, "a").startswith("a: every request failed")
    assert {one.status for one in run.slos} == {"missed"}
    assert exit_codes(run) == (FAILED, FAILED)


def test_a_run_in_which_nothing_is_answered_does_not_end_well_without_slos():
    records = ladder(
        SimulatedEngine({"a": System([Station(FAST)], failing=lambda n: 1.0)}), "a", (1, 5)
    )
    run = analysed(records)
    code, passed = exit_codes(run)
    assert FINE not in (code, passed)


def test_a_mean_far_beyond_the_threshold_decides_with_few_requests():
    one = stage(0, "a", 8, settle=2.0, measure=5.0)
    rng = random.Random(4)
    record = recorded(one, users(one, lambda g: g.uniform(0.6, 1.1), rng))
    run = analysed([record], {"slow": "p95 < 500ms at 8", "tail": "p99 < 500ms at 8"})
    assert 30 < of_all(run)[0].requests < 75
    assert {name.name: name.status for name in run.slos} == {"slow": "missed", "tail": "missed"}


def test_undecided_slos_propose_a_measure():
    one = stage(0, "a", 4, settle=2.0, measure=5.0)
    record = recorded(one, users(one, lambda g: g.uniform(0.3, 0.49), random.Random(4)))
    run = analysed([record], {"tail": "p99 < 500ms at 4"})
    found = outcome(run, "tail")
    assert found.status == "unresolved"
    assert "measure = " in found.why
