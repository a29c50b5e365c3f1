"""A window in which a process was stopped by a signal counts as far as that cannot have worked."""

from collections import Counter
from dataclasses import replace

import pytest

from loadtests.analysis.points import points
from loadtests.analysis.verdicts.blocks import block
from loadtests.recording.messages import Usage
from tests.support.simulated_engine import SimulatedEngine, exponential, record, stage, threads

MADE = record(SimulatedEngine({"app": threads(40, exponential(0.05))}), stage(0, "app", 20))
FAILED = record(
    SimulatedEngine({"app": replace(threads(40, exponential(0.05)), failing=lambda _: 1.0)}),
    stage(0, "app", 20),
)
SOME = record(
    SimulatedEngine({"app": replace(threads(40, exponential(0.05)), failing=lambda _: 0.02)}),
    stage(0, "app", 20),
)
BEGIN, END = MADE.window


def sampled(**stopped):
    """Samples of which the last, taken after the window, has stops."""
    first = [{"at": BEGIN + second} for second in range(-1, round(END - BEGIN) + 2)]
    return [*first, {"at": END + 2, "stopped": stopped}]


def judged(**stopped):
    return next(p for p in points([MADE], sampled(**stopped)) if p.request == "all")


@pytest.mark.parametrize(
    ("name", "called"),
    [("app", "deployment"), ("mock", "mock upstream"), ("generator", "load generator")],
)
def test_a_stop_inside_the_window_is_named_and_makes_the_point_invalid(name, called):
    found = judged(**{name: [[BEGIN - 5, BEGIN + 0.25], [BEGIN + 1, BEGIN + 2.5]]})
    assert not found.valid
    assert (
        f"the {called} was stopped by a signal (SIGSTOP) for 1.75 s: throughput can be 53.8 % "
        "higher" in found.problems[0]
    )
    assert found.limit.resource == (name if name != "app" else "host")


def test_a_short_stop_widens_the_interval_and_is_reported():
    found = judged(app=[[BEGIN + 1, BEGIN + 1.2]])
    assert found.valid
    assert found.noise["throughput"] == pytest.approx(found.throughput.value * 0.04 / 0.96, rel=0.2)
    assert "the deployment was stopped by a signal (SIGSTOP) for 200 ms" in found.problems[0]


def test_a_block_of_a_comparison_is_disturbed_by_a_stop():
    found = block(MADE, sampled(app=[[BEGIN, BEGIN + 2]]))
    assert any("was stopped by a signal" in text for text in found.disturbed)


@pytest.mark.parametrize(("seconds", "valid"), [(0.0, True), (0.5, True), (4.0, False)])
def test_failures_alone_are_the_services_own_unless_it_was_stopped(seconds, valid):
    samples = sampled(app=[[BEGIN, BEGIN + seconds]])
    point, one = points([FAILED], samples)[0], block(FAILED, samples)
    told = f"was stopped by a signal (SIGSTOP) for 4 s, and {point.requests:,} requests failed"
    assert (point.valid, bool(one.wrong)) == (valid, not valid)
    assert all(told in " ".join(texts) for texts in (point.problems, one.wrong) if not valid)


@pytest.mark.parametrize(("kind", "counts"), [("timeout", False), ("503", True)])
def test_timeouts_in_a_stop_right_after_the_window_are_not_the_services(kind, counts):
    ended = Usage(stage=0, seconds=END + 10 - SOME.begun.at, processes={})
    slices = [replace(one, kinds=Counter({kind: one.failed.count})) for one in SOME.slices]
    seen = replace(SOME, slices=slices, usage=ended)
    point = points([seen], sampled(app=[[END - 0.05, END + 10]]))[0]
    assert point.errors.rate > 0
    assert point.counts is counts


@pytest.mark.parametrize(
    "stopped",
    [
        {"app": [[BEGIN - 2, BEGIN], [END, END + 1]]},
        {"another": [[BEGIN, END]]},
        {"app": "for a while"},
    ],
)
def test_stops_outside_the_window_of_others_or_unreadable_change_nothing(stopped):
    assert judged(**stopped) == judged()
