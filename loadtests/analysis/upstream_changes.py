"""What becomes of a run's points when somebody changes the upstream on the way."""

import json
from collections.abc import Iterable, Sequence

from loadtests.analysis.inputs.records import Record, StageRecord
from loadtests.recording.messages import UpstreamChanged
from loadtests.results import Point, UpstreamChange


def of_record(record: Record) -> list[UpstreamChange]:
    """Each change with the stage that was measured then, or that came next."""
    return [_placed(change, record) for change in record.changes]


def marked(points: Iterable[Point], record: Record) -> list[Point]:
    """
    The points; those in whose window, or between whose repeats, the upstream was changed are of no
    upstream: not valid.
    """
    found = []
    for point in points:
        stages = _stages(record, point)
        texts = [
            change.text
            for one in stages
            for change in record.changes
            if (window := one.window) and window[0] < change.at < window[1]
        ]
        problem = ""
        if texts:
            problem = f"the upstream was changed while it was measured: {'; '.join(texts)}"
        elif len(_upstreams(record, stages)) > 1:
            problem = "the upstream was changed between its repeats"
        if problem:
            update = {"valid": False, "problems": [*point.problems, problem]}
            point = point.model_copy(update=update)
        found.append(point)
    return found


def mixed(points: Iterable[Point], record: Record) -> set[str]:
    """
    The deployments whose valid points are of more than one upstream: no line leads through them,
    and a knee or a ceiling would be of neither.
    """
    seen: dict[str, set[str]] = {}
    for point in points:
        if point.valid:
            played = _upstreams(record, _stages(record, point))
            seen.setdefault(point.deployment, set()).update(played)
    return {name for name, played in seen.items() if len(played) > 1}


def problems(record: Record, mixed: Iterable[str]) -> list[str]:
    """What a reader must know of it; empty when nothing was changed."""
    if not record.changes:
        return []
    times = "once" if len(record.changes) == 1 else f"{len(record.changes)} times"
    names = sorted(mixed)
    without = f" Without a knee for that: {', '.join(names)}." if names else ""
    return [f"The upstream was changed {times} while this ran.{without}"]


def _stages(record: Record, point: Point) -> list[StageRecord]:
    place = point.deployment, point.level
    return [one for one in record.stages if (one.stage.deployment, one.stage.level) == place]


def _upstreams(record: Record, stages: Iterable[StageRecord]) -> set[str]:
    """The profiles that were played as the windows of these stages began; empty: the plan's."""
    return {_played(record.changes, one.window[0]) for one in stages if one.window}


def _played(changes: Sequence[UpstreamChanged], at: float) -> str:
    before = [change for change in changes if change.at <= at]
    last = before[-1].profile if before else None
    return "" if last is None else json.dumps(last, sort_keys=True)


def _placed(change: UpstreamChanged, record: Record) -> UpstreamChange:
    then = next((s for s in record.stages if s.window and change.at < s.window[1]), None)
    start = record.header.origin
    if start is None:
        start = next((s.begun.at for s in record.stages if s.begun), change.at)
    return UpstreamChange(
        at=round(max(change.at - start, 0.0), 3),
        text=change.text,
        deployment=then.stage.deployment if then else None,
        level=then.stage.level if then else None,
    )
