"""The chaos campaign (tests/benchmarks/chaos.py), as short as it can be.

What is asked of a trial holds at any moment of a run. So it does not matter that a busy machine
moves the moment from one phase of the run to another.
"""

import pytest

from tests.support.chaos_checks import judge
from tests.support.chaos_play import Disturbance, Played, play
from tests.support.chaos_trials import ACTS, COMMANDS, FOLDER, Trial, drawn, undisturbed

LIFE = 6.0  # seconds that these commands take on a machine with nothing else to do

TRIALS = [
    Trial(0, 0, "run", "kill", "controller", 0.5),
    Trial(0, 1, "run", "stop", "child", 0.5, 1.5),
    Trial(0, 2, "run", "disk", FOLDER, 0.6, float("inf")),
    Trial(0, 3, "workers", "kill", "worker", 0.6),
    Trial(0, 4, "locust", "term", "mock", 0.5),
]


def test_every_pair_of_command_and_act_is_drawn_once_in_36_trials():
    pairs = {(trial.command, trial.act) for trial in (drawn(5, number) for number in range(36))}
    assert pairs == {(command, act) for command in COMMANDS for act in ACTS}


def test_the_same_seed_draws_the_same_trial():
    assert drawn(5, 3) == drawn(5, 3)
    assert [drawn(5, number) for number in range(9)] != [drawn(6, number) for number in range(9)]


@pytest.mark.parametrize(
    ("trial", "disturbance", "code", "good"),
    [
        (undisturbed("run"), None, 0, False),
        (undisturbed("ui"), None, 0, False),
        (Trial(0, 0, "run", "clock", "engine", 0.1), Disturbance("engine", 1.0, 2.0), 0, False),
        (Trial(0, 0, "ui", "clock", "engine", 0.1), Disturbance("engine", 1.0, 2.0), 0, True),
        (Trial(0, 0, "run", "kill", "controller", 0.1), Disturbance("controller", 1, 1), -9, True),
        (Trial(0, 0, "run", "kill", "mock", 0.5), Disturbance("mock", 1, 1, (0,)), 4, False),
    ],
)
def test_only_a_disturbed_command_ends_without_a_run_and_says_so(
    trial, disturbance, code, good, tmp_path
):
    played = Played(trial, tmp_path, code, "SIGKILL", 1.0, disturbance, [], [], [])
    assert judge(played).good is good


@pytest.mark.processes
@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: f"{trial.command}-{trial.described}")
def test_nothing_that_was_measured_is_lost_and_nothing_is_left_behind(trial, tmp_path):
    played = play(trial, tmp_path, LIFE)
    assert played.disturbance, "the command ended before its moment"
    assert judge(played).failures == []
