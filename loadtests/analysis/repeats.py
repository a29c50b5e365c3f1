"""Which stages of one (deployment, level) count: what the machine disturbed is left out.

That is decided by what disturbed a stage and by nothing else, never by its response times.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.points import ALL, Samples, points
from loadtests.results import Point

Level = tuple[str, int]  # deployment and level


@dataclass(frozen=True, slots=True)
class Counted:
    """The stages that count, in their order, and why others of their level do not."""

    stages: Sequence[StageRecord]
    notes: Mapping[Level, str]


def counted(
    stages: Sequence[StageRecord], samples: Samples, found: Sequence[Point]
) -> Counted | None:
    """
    The stages that count: of a level that was played again the last valid one; of a level whose
    stages together are not valid the valid ones. None: all stages count.

    Args:
        found: the points of all stages.
    """
    valid = {(one.deployment, one.level) for one in found if one.request == ALL and one.valid}
    levels: dict[Level, list[StageRecord]] = defaultdict(list)
    for record in stages:
        if record.complete:
            levels[record.stage.deployment, record.stage.level].append(record)
    left_out: set[int] = set()
    notes = {}
    for level, repeats in levels.items():
        again = any(record.stage.again for record in repeats)
        if len(repeats) < 2 or (level in valid and not again):
            continue
        reasons = {record.stage.number: _invalid(record, samples) for record in repeats}
        sound = [record for record in repeats if reasons[record.stage.number] is None]
        kept = [record for record in sound if record.stage.again][-1:] or sound
        gone = [record for record in repeats if record not in kept]
        if not kept or not gone:
            continue
        left_out |= {record.stage.number for record in gone}
        why = next(filter(None, (reasons[record.stage.number] for record in gone)), None)
        if why:
            count = f"{len(gone)} of {len(repeats)} stages"
            notes[level] = f"{count} left out, since the machine disturbed them: {why}"
    if not left_out:
        return None
    return Counted([one for one in stages if one.stage.number not in left_out], notes)


def marked(found: Sequence[Point], notes: Mapping[Level, str]) -> list[Point]:
    """The points; those of all requests of a level say which of its stages were left out."""
    return [
        point.model_copy(update={"problems": [*point.problems, note]})
        if point.request == ALL and (note := notes.get((point.deployment, point.level)))
        else point
        for point in found
    ]


def _invalid(record: StageRecord, samples: Samples) -> str | None:
    """Why the stage by itself is not valid; None: it is."""
    point = next((one for one in points([record], samples) if one.request == ALL), None)
    if point is None:
        return "nothing came back"
    return None if point.valid else next(iter(point.problems), "no reason is known")
