"""Blocks are judged with all samples of their time."""

from loadtests.analysis.verdicts.blocks import block
from loadtests.run import late_samples
from loadtests.run.late_samples import LateSamples
from loadtests.schedules import Played, Step
from loadtests.schedules.interleaved import Interleaved
from tests.support.blocks import terms
from tests.support.simulated_engine import SimulatedEngine, exponential, record, stage, threads

PLAYED = record(SimulatedEngine({"base": threads(40, exponential(0.05))}), stage(0, "base", 20))
BEGIN, END = PLAYED.window
STOPPED = {"at": END + 0.5, "stopped": {"base": [[BEGIN, END]]}}


class Ends(Interleaved):
    """A comparison that is over."""

    def next_stage(self, plan, so_far):
        return None


def test_a_block_is_computed_again_after_its_last_sample() -> None:
    samples = [{"at": BEGIN - 1}]
    late, so_far = LateSamples(samples), [played(samples)]
    late.records.append(PLAYED)
    assert late.next_stage(Interleaved(terms()), None, so_far) is not None
    assert not so_far[0].block.spoilt
    samples.append(STOPPED)
    late.next_stage(Interleaved(terms()), None, so_far)
    assert so_far[0].block.spoilt


def test_a_comparison_does_not_end_before_the_last_sample(monkeypatch) -> None:
    samples = [{"at": BEGIN - 1}]
    late, so_far = LateSamples(samples), [played(samples)]
    late.records.append(PLAYED)
    monkeypatch.setattr(late_samples, "sleep", lambda _: samples.append(STOPPED))
    assert late.next_stage(Ends(terms()), None, so_far) is None
    assert so_far[0].block.spoilt


def test_other_schedules_wait_for_no_sample(monkeypatch) -> None:
    monkeypatch.setattr(late_samples, "sleep", None)
    late, so_far = LateSamples([{"at": BEGIN - 1}]), [played([])]
    late.records.append(PLAYED)
    before = so_far[0].block

    class Ladder:
        next_stage = staticmethod(lambda plan, so_far: None)

    assert late.next_stage(Ladder(), None, so_far) is None
    assert so_far[0].block is before


def played(samples):
    return Played(Step("base", 20), None, 0.0, block=block(PLAYED, samples))
