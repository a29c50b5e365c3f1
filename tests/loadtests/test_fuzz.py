"""The fuzzer finds each kind of fault, and the readers have none that a short play finds."""

import random
import time

import pytest

from tests.support import fuzzing
from tests.support.fuzz_planted import VALID, crashing, dying, greedy, hanging, stuck
from tests.support.fuzz_targets import TARGETS
from tests.support.fuzzing import Unfit, check_message, fuzz
from tests.support.mutator import LONGEST, Mutator


@pytest.mark.processes
@pytest.mark.parametrize(
    ("make", "inputs", "what"),
    [
        (crashing, 200, "KeyError"),
        (hanging, 2, "takes over 1 s"),
        (stuck, 1, "takes over 3 s"),
        (greedy, 1, "takes over 200 MB"),
        (dying, 2, "ends the process (9)"),
    ],
)
def test_a_fault_of_each_kind_is_found(make, inputs, what):
    outcome = fuzz(make, 1, inputs)
    assert outcome.inputs == inputs
    (wrong,) = outcome.wrong.values()
    assert wrong.what.startswith(what)
    assert wrong.data != VALID


@pytest.mark.processes
def test_a_failing_input_is_reduced():
    (wrong,) = fuzz(crashing, 1, 200).wrong.values()
    assert wrong.data == b""


@pytest.mark.processes
def test_no_file_is_left_when_a_process_ends_without_tidying_up(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzzing, "MEMORY", str(tmp_path))
    make, _ = TARGETS["plan reader"]
    assert fuzz(make, 1, 1).inputs == 1
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_makes_the_same_inputs():
    made = [
        [mutator.mutated() for _ in range(300)]
        for mutator in (Mutator(random.Random(seed), [b"p95 < 250ms at 40"]) for seed in (1, 1, 2))
    ]
    assert made[0] == made[1] != made[2]
    assert len(set(made[0])) > 250
    assert max(map(len, made[0])) <= LONGEST


def test_a_message_without_a_hint_is_a_fault():
    check_message("p95 is expected\n  p96 < 1s\n  ^")
    for message in ("", " ", "Traceback (most recent call last):", "x" * 5000, "x\n" * 200):
        with pytest.raises(Unfit):
            check_message(message)


@pytest.mark.processes
@pytest.mark.parametrize("name", TARGETS)
def test_a_short_play_finds_nothing(name):
    make, share = TARGETS[name]
    outcome = fuzz(make, time.time_ns() % 1000, 10 * share)
    assert {wrong.what: wrong.data for wrong in outcome.wrong.values()} == {}
    assert outcome.accepted


@pytest.mark.parametrize("data", [b"\t" * 2000, b"p95 < 1s at" + b"\n" * 150])
def test_blanks_in_an_slo_are_refused_in_a_short_message(data):
    assert not TARGETS["SLO grammar"][0]().play(data)
