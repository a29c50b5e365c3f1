"""Whether samples were taken while a level was measured: without them a disturbance is not seen."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loadtests.analysis.checks.generator import Validity
from loadtests.analysis.inputs.records import Record, StageRecord
from loadtests.analysis.numbers import percent

Sample = Mapping[str, Any]

LONGEST = 2.0
"""
Seconds that a sample covers at most. It is taken once a second, and later on a busy machine. So
much after the last one is not missed: the next one may still come.
"""
LEAST = 0.5  # of the windows: the part that must have been sampled


def expected(record: Record) -> Sequence[Sample]:
    """
    Return the samples of a run, or an empty one from before it where Linux should have given some.
    """
    linux = str(record.header.environment.get("system", "")).startswith("Linux")
    return [{"at": -math.inf}] if linux and not record.samples else record.samples


def of_windows(records: Sequence[StageRecord], samples: Sequence[Sample]) -> Validity:
    """
    Judge how much of the windows of one (deployment, level) was sampled.

    Without any sample nothing is judged: other systems and other versions may have none.
    """
    windows = [record.window for record in records if record.window is not None]
    length = sum(end - start for start, end in windows)
    if not samples or not length:
        return Validity()
    known = sum(_overlap(window, spell) for spell in _spells(samples) for window in windows)
    if known >= LEAST * length:
        return Validity()
    return Validity(
        valid=False,
        problems=(
            f"the machine was sampled in {percent(known / length)} of the window only: what "
            "disturbed it is not known",
        ),
    )


def _spells(samples: Sequence[Sample]) -> Iterator[tuple[float, float]]:
    """The intervals of time that samples cover, in monotonic seconds."""
    before = -math.inf
    for sample in samples:
        yield max(before, sample["at"] - LONGEST), sample["at"]
        before = sample["at"]
    yield before, before + LONGEST


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    return max(min(one[1], other[1]) - max(one[0], other[0]), 0.0)
