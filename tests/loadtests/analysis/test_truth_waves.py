"""Throughput of answers that come in waves, as all users of a stage start together."""

import random

import pytest

from loadtests.analysis.points import points
from loadtests.analysis.verdicts.blocks import block
from loadtests.analysis.verdicts.config import ComparisonConfig
from loadtests.analysis.verdicts.interleaved import verdict
from tests.support.recorded import Request, analysed, of_all, recorded, stage, users


def constant(seconds, variation):
    return lambda rng: max(rng.gauss(seconds, variation * seconds), 0.001)


def compared(a, b, variation, *, think=0.0, metric="throughput", seed=0, level=40, rounds=6):
    """The verdict of a comparison that ends when it knows, as the command does."""
    rng = random.Random(seed)
    terms = ComparisonConfig(a="A", b="B", metric=metric, at=(level,), round_seconds=15.0)
    blocks = []
    for number in range(8 * rounds):
        name = "ABBABAAB"[number % 8]
        one = stage(number, name, level, settle=0.25, measure=1.25, think_time=think)
        draw = constant(a if name == "A" else b, variation)
        blocks.append(block(recorded(one, users(one, draw, rng)), []))
        if len(blocks) % 8 == 0 and len(blocks) >= 32:
            found = verdict(blocks, terms)
            if found.verdict != "UNRESOLVED":
                return found
    return verdict(blocks, terms)


@pytest.mark.parametrize(
    ("a", "b", "variation"),
    [
        (0.505, 0.68, 0.01),
        (0.8, 1.2, 0.01),
        (0.49, 0.50, 0.01),
        (0.49, 0.50, 0.03),
        (0.40, 0.41, 0.01),
        (0.60, 0.62, 0.02),
        (0.41, 0.42, 0.01),
        (0.62, 0.63, 0.01),
        (0.05, 0.0515, 0.1),
        (1.2, 1.2, 0.02),
        (0.3, 0.33, 0.2),
    ],
)
def test_the_ratio_of_throughputs_is_right_within_a_hundredth(a, b, variation):
    found = compared(a, b, variation)
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(a / b, rel=0.01)
    if found.ratio.low is not None:
        assert found.ratio.low < a / b < found.ratio.high
    assert found.verdict != "BETTER"
    if b / a > 1.06:
        assert found.verdict == "WORSE"
    if a == b:
        assert found.verdict == "EQUIVALENT"


@pytest.mark.parametrize(("a", "b"), [(0.505, 0.68), (0.49, 0.50), (0.4, 0.4)])
def test_no_change_of_nothing_would_have_been_seen(a, b):
    found = compared(a, b, 0.0)
    assert found.minimum_detectable_change is None or found.minimum_detectable_change > 0.0005
    assert "A change of 0 %" not in found.sentence
    assert found.ratio.low is None or found.ratio.low < found.ratio.high
    assert found.ratio.value == pytest.approx(a / b, rel=0.01)


SLOW = (1.2, 1.4, 1.6, 1.8, 2.0, 2.3, 2.6, 3.0, 3.4, 3.8)


@pytest.mark.parametrize("seconds", SLOW)
def test_throughput_of_slow_answers_is_unbiased(seconds):
    found = []
    for seed in range(8):
        one = stage(0, "a", 20)
        sent = users(one, constant(seconds, 0.05), random.Random(seed))
        found.append(of_all(analysed([recorded(one, sent)]))[0])
    truth = 20 / seconds
    assert sum(point.throughput.value for point in found) / 8 == pytest.approx(truth, rel=0.01)
    known = [p.throughput for p in found if p.throughput.low is not None]
    assert sum(one.low <= truth <= one.high for one in known) >= 0.7 * len(known)
    for estimate in known:
        assert (estimate.high - estimate.low) / 2 < 0.2 * truth


@pytest.mark.parametrize("think", [0.5, 1.0, 2.0, 3.0, 4.0, 5.0])
def test_throughput_of_users_who_think_for_a_constant_time_is_unbiased(think):
    found = []
    for seed in range(8):
        one = stage(0, "a", 40, think_time=think)
        sent = users(one, lambda g: g.uniform(0.03, 0.07), random.Random(seed))
        found.append(of_all(analysed([recorded(one, sent)]))[0])
    truth = 40 / (think + 0.05)
    valid = [point.throughput for point in found if point.valid]
    assert len(valid) == len(found)
    assert sum(one.value for one in valid) / len(valid) == pytest.approx(truth, rel=0.01)
    known = [one for one in valid if one.low is not None]
    assert sum(one.low <= truth <= one.high for one in known) >= 0.7 * len(known)


def test_users_that_wait_since_before_the_window_are_not_taken_for_quick_ones():
    """Eight of 16 users wait for 2.6 s, and the others overtake them: none of it is 64/s."""
    played = stage(0, "a", 16, settle=1.0, measure=2.0)
    waiting = [Request(0.0, 2.6)] * 8
    quick = [Request(0.25 * n, 0.25 * (n + 1)) for n in range(16) for _ in range(8)]
    after = [Request(2.6 + 0.25 * n, 2.85 + 0.25 * n) for n in range(3) for _ in range(8)]
    [point] = [
        p for p in points([recorded(played, [*waiting, *quick, *after])]) if p.request == "all"
    ]
    counted = point.throughput
    assert counted.value == pytest.approx(
        sum(1 < r.end <= 3 for r in [*waiting, *quick, *after]) / 2
    )
    assert set(point.response_time.values()) == {None}
    assert any(text.startswith("no response times: for ") for text in point.problems)
