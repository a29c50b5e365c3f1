"""What is taken from ours: found by quarter second, left out, never more than was used."""

import pytest

from loadtests.analysis.checks import disturbances
from loadtests.analysis.inputs.windows import window
from loadtests.analysis.points import points
from loadtests.recording.messages import Lateness
from tests.support.disturbed import samples
from tests.support.simulated_engine import (
    SimulatedEngine,
    constant,
    exponential,
    record,
    stage,
    threads,
)

ANSWER = 0.05


def played(level=20, measure=5.0, **options):
    engine = SimulatedEngine({"a": threads(40, exponential(ANSWER))}, **options)
    return record(engine, stage(0, "a", level, measure=measure))


def bursts(*moments, host=0.0, others=0.8):
    """Large disturbances in the quarter seconds that end at these moments of the window."""
    ends = {round(1002.0 + moment, 2) for moment in moments}
    return lambda end: (host, others) if round(end, 2) in ends else (0.0, 0.0)


def test_a_disturbed_quarter_is_left_out_with_those_that_it_delayed():
    made = played()
    assert disturbances.cut(made, samples([made], bursts(2.0))) == (6, 7, 8)
    assert disturbances.cut(made, samples([made], bursts(2.0, others=0.1))) == ()
    slow = SimulatedEngine({"a": threads(40, constant(0.6))})
    slow = record(slow, stage(0, "a", 20))
    assert disturbances.cut(slow, samples([slow], bursts(2.0))) == (2, 3, 4, 5, 6, 7, 8)


def test_nothing_is_left_out_where_too_little_would_be_left():
    made = played()
    many = samples([made], bursts(0.5, 1.5, 2.5, 3.5, 4.5))
    assert disturbances.cut(made, many) == ()
    short = played(measure=2.0)
    assert disturbances.cut(short, samples([short], bursts(1.0))) == ()


def test_samples_of_whole_seconds_leave_nothing_out():
    made = played()
    taken = samples([made], bursts(2.0))
    assert (
        disturbances.cut(made, [{k: v for k, v in s.items() if k != "quarters"} for s in taken])
        == ()
    )


def test_a_generator_that_was_late_has_its_quarters_left_out():
    made = played()
    quiet = samples([made], lambda end: (0.0, 0.0))
    (done,) = made.dones.values()
    late = Lateness(index=8 + 10, late=0.2, worst=0.2)
    made.dones[done.generator] = done.model_copy(update={"lateness": (late,)})
    assert disturbances.cut(made, quiet) == (9, 10, 11, 12)


def test_left_out_quarters_are_in_no_number_and_are_reported():
    made = played()
    found = next(p for p in points([made], samples([made], bursts(2.0))) if p.request == "all")
    assert found.left_out == 0.75
    assert found.seconds == 4.25
    assert window(made).stretches == 2
    assert found.valid
    assert found.noise == {}
    assert found.in_flight == pytest.approx(20, rel=0.01)


def test_others_take_no_more_than_the_process_waited_for_nor_than_they_used():
    look = disturbances.Look(
        0.0,
        0.25,
        worked=(0.2, 0.9),
        stolen=(0.0, 0.1),
        used={"a": 0.4},
        waited={"a": 0.02},
        affinity={"a": frozenset({1})},
    )
    assert look.taken("a").host == pytest.approx(0.025)
    assert look.taken("a").others == pytest.approx(0.005)
    waits = disturbances.Look(**{**vars(look), "waited": {"a": 3.0}})
    assert waits.taken("a").others == pytest.approx((0.9 - 0.4 - 0.04) * 0.25)
    assert look.taken("unknown").seconds == 0
    hidden = disturbances.Look(**{**vars(waits), "hidden": frozenset({1})})
    assert hidden.taken("a").others == 0


def test_a_niced_process_takes_a_tenth_of_what_it_uses_however_many_threads_of_ours_wait():
    look = disturbances.Look(
        0.0,
        0.25,
        worked=(0.2, 1.0),
        stolen=(0.0, 0.0),
        used={"a": 0.3},
        waited={"a": 5.0},  # its threads wait for one another
        affinity={"a": frozenset({1})},
        niced=(0.0, 0.66),
    )
    assert look.taken("a").others == pytest.approx((0.7 - 0.9 * 0.66 - 0.04) * 0.25)
    system = disturbances.Look(**{**vars(look), "niced": (), "gave_way": (0.0, 1.0)})
    assert system.taken("a").others == pytest.approx((0.07 - 0.04) * 0.25)


@pytest.mark.parametrize("seed", range(3))
def test_left_out_quarters_do_not_depend_on_response_times(seed):
    fast, slow = (
        record(SimulatedEngine({"a": threads(40, exponential(mean))}, seed=seed), stage(0, "a", 20))
        for mean in (0.05, 0.1)
    )
    assert len({disturbances.cut(one, samples([one], bursts(3.0))) for one in (fast, slow)}) == 1
