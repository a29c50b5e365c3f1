"""A window that was hardly sampled is not valid: what disturbed it is not known."""

import pytest

from loadtests.analysis.inputs.records import Header, Record
from loadtests.analysis.points import points
from loadtests.analysis.runs import run_of
from loadtests.analysis.verdicts.blocks import block
from tests.support.simulated_engine import SimulatedEngine, exponential, record, stage, threads

PLAYED = stage(0, "app", 20)  # a window of 5 s
LINUX = {"system": "Linux-6.8.0-x86_64-with-glibc2.39"}


def played():
    return record(SimulatedEngine({"app": threads(40, exponential(0.05))}), PLAYED)


def at(*seconds):
    """Samples, by the second of the window in which they were taken."""
    start, _ = played().window
    return [{"type": "sample", "at": start + second} for second in seconds]


def all_of(found):
    return next(point for point in found if point.request == "all")


SAID = "of the window only: what disturbed it is not known"


@pytest.mark.parametrize(
    ("seconds", "share"),
    [
        ((-3, -2, -1), "20 %"),  # one second after the last sample is not due yet
        ((-2, -1, 0), "40 %"),
        ((-1, 6), "20 %"),  # a sample covers two seconds at most
        ((-9, -8), "0 %"),
        ((8,), "0 %"),
    ],
)
def test_a_window_that_was_sampled_for_less_than_half_is_not_valid(seconds, share):
    found = all_of(points([played()], at(*seconds)))
    assert not found.valid
    assert found.problems == [f"the machine was sampled in {share} {SAID}"]
    assert found.limit is None
    assert block(played(), at(*seconds)).disturbed == tuple(found.problems)


@pytest.mark.parametrize(
    "seconds",
    [
        (-1, 0, 1, 2, 3, 4, 5, 6),
        (-1, 0, 1),  # the stage before the last second that the next one will cover
        (-1, 0.9, 2.8, 4.7),  # late, on a busy machine
        (2, 3, 4, 5),  # the first ones are missing
        (),  # of a version, or a system, without samples
    ],
)
def test_a_window_that_was_sampled_for_half_is_judged_by_its_samples(seconds):
    found = all_of(points([played()], at(*seconds)))
    assert (found.valid, found.problems) == (True, [])


def test_repeats_are_judged_together():
    engine = SimulatedEngine({"app": threads(40, exponential(0.05))})
    one, other = record(engine, PLAYED), record(engine, stage(1, "app", 20))
    seen = at(0, 1, 2, 3, 4, 5)
    assert all_of(points([one, other], seen)).valid
    assert not all_of(points([other], seen)).valid


def test_a_run_on_linux_without_any_sample_has_no_valid_point():
    def run(system):
        header = Header(id="x", name="x", environment=system)
        return run_of(Record(header, stages=[played()]))

    assert {point.valid for point in run(LINUX).points} == {False}
    assert run(LINUX).points[0].problems == [f"the machine was sampled in 0 % {SAID}"]
    for other in ({"system": "macOS-15.1-arm64"}, {}):
        assert {point.valid for point in run(other).points} == {True}
