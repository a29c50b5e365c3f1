"""CPU per request decides a comparison by what the services used, however fast they answer."""

import random
from collections import Counter

import pytest

from loadtests.analysis.verdicts.blocks import block
from loadtests.analysis.verdicts.config import ComparisonConfig
from loadtests.analysis.verdicts.interleaved import verdict
from loadtests.recording.messages import ProcessUsage, Rest, Usage
from tests.support.recorded import recorded, stage, users

IDLE = 0.004  # cores


def compared(each_a, each_b, answers_a, answers_b, seed, *, rounds=6, scatter=0.01, level=40):
    """
    The verdict of a comparison by CPU.

    Args:
        each_a, each_b: seconds of CPU that a request takes.
        scatter: by which that differs from stage to stage, as a share.
    """
    rng = random.Random(seed)
    terms = ComparisonConfig(a="A", b="B", metric="cpu", at=(level,), round_seconds=15.0)
    blocks = []
    for number in range(8 * rounds):
        name = "ABBABAAB"[number % 8]
        each, seconds = (each_a, answers_a) if name == "A" else (each_b, answers_b)
        one = stage(number, name, level, settle=0.25, measure=1.25)
        sent = users(one, lambda g, seconds=seconds: seconds * g.uniform(0.9, 1.1), rng)
        record = recorded(one, sent)
        used = len(sent) * each * (1 + rng.gauss(0, scatter)) + 2.0 * IDLE
        record.usage = Usage(
            stage=number,
            seconds=2.0,
            processes={name: {1: ProcessUsage(role="python/python", cpu=used, busiest=used)}},
            rss={name: 50_000_000},
            rest={name: Rest(seconds=10.0, cpu=10.0 * IDLE)},
        )
        blocks.append(block(record, []))
        if len(blocks) % 8 == 0 and len(blocks) >= 32:
            found = verdict(blocks, terms)
            if found.verdict != "UNRESOLVED":
                return found
    return verdict(blocks, terms)


@pytest.mark.parametrize("answers", [(0.08, 0.08), (0.08, 0.5), (0.5, 0.08), (0.05, 1.0)])
def test_equal_cpu_is_equal_however_fast_the_answers_are(answers):
    found = [compared(0.001, 0.001, *answers, seed=seed) for seed in range(6)]
    kinds = Counter(one.verdict for one in found)
    assert set(kinds) == {"EQUIVALENT"}, found[0].sentence
    mean = sum(one.ratio.value for one in found) / len(found)
    assert mean == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("answers", [(0.08, 0.08), (0.08, 0.5), (0.5, 0.08)])
def test_a_tenth_more_cpu_is_worse_however_fast_the_answers_are(answers):
    for seed in range(3):
        found = compared(0.001, 0.0011, *answers, seed=seed)
        assert found.verdict == "WORSE", found.sentence
        assert found.ratio.value == pytest.approx(1.1, rel=0.02)


def test_a_comparison_by_cpu_continues_until_it_can_decide():
    found = compared(0.001, 0.001, 0.08, 0.08, 1, rounds=4, scatter=0.3)
    assert found.verdict == "UNRESOLVED"
    assert found.rounds == 4
