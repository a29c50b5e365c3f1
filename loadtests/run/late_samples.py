"""Samples that come after the stage of which they tell."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import monotonic, sleep
from typing import Any

from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.verdicts.blocks import block
from loadtests.plans import Plan
from loadtests.recording.slices import LENGTH
from loadtests.schedules import Played, Schedule, Step
from loadtests.schedules.interleaved import Interleaved

_LONGEST = 2.0  # seconds after which a sample has come, if one does at all
_LOOK = 0.05  # seconds between two looks for it


class LateSamples:
    """
    Makes the blocks of a comparison again once all samples of their time are there.

    A sample comes once a second and covers the time before it: of what stood still in a block,
    too, which may have been judged already.
    """

    def __init__(self, samples: Sequence[Mapping[str, Any]]) -> None:
        self.records: list[StageRecord] = []
        """Of all stages so far."""
        self._samples = samples
        self._known = 0  # stages that were sampled to their end

    def next_stage(self, schedule: Schedule, plan: Plan, so_far: list[Played]) -> Step | None:
        """What the schedule plays next; before a comparison ends, all of it was sampled."""
        if not isinstance(schedule, Interleaved):
            return schedule.next_stage(plan, so_far)
        self._refresh(so_far)
        step = schedule.next_stage(plan, so_far)
        if step is None and self._wait():
            self._refresh(so_far)
            step = schedule.next_stage(plan, so_far)
        return step

    def _refresh(self, so_far: list[Played]) -> None:
        while self._known < len(self.records) and self._sampled(self.records[self._known]):
            if (before := so_far[self._known]).block is not None:
                made = block(self.records[self._known], self._samples)
                so_far[self._known] = replace(before, block=made)
            self._known += 1

    def _sampled(self, record: StageRecord) -> bool:
        if record.window is None:
            return True
        return bool(self._samples) and self._samples[-1]["at"] >= record.window[1] + LENGTH

    def _wait(self) -> bool:
        """Whether there is something to refresh now."""
        if self._known == len(self.records) or not self._samples:
            return False
        deadline = monotonic() + _LONGEST
        while not self._sampled(self.records[-1]) and monotonic() < deadline:
            sleep(_LOOK)
        return True
