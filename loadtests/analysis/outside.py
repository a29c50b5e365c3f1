"""What the threads of a service did at one level, as a process saw that looked from outside.

See watcher. A process serves with an event loop where its main thread waited for events at any time
of the run: while it is blocked it hardly ever does.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import NonNegativeInt, ValidationError

from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.sample_parts import Sample, SamplePart
from loadtests.analysis.numbers import load, percent, rounded
from loadtests.recording.slices import LENGTH
from loadtests.results import Outside, Point
from loadtests.watcher.states import (
    ACCEPT,
    BUSY,
    COMPUTES,
    EVENTS,
    LOCK,
    OTHER,
    POLL,
    SLEEPS,
    SOCKET,
)

GONE = 4  # quarter seconds of a stage without a sign of a process: it has ended
IDLE = 0.5  # busy threads, in the mean: with fewer nothing is said of them
LEAST = 3  # looks in which a main thread waits for events: then it is an event loop's
DOES = {
    COMPUTES: "computes",
    EVENTS: "waits for events",
    SLEEPS: "sleeps (as time.sleep does)",
    SOCKET: "waits at a socket (as a blocking client does)",
    POLL: "waits in poll or select (as a blocking client with a timeout does)",
    LOCK: "waits for a lock",
    ACCEPT: "waits for a connection",
    OTHER: "does something else",
}


class _WatchedThreads(SamplePart):
    main: dict[str, NonNegativeInt]
    sweeps: NonNegativeInt = 0
    others: Mapping[str, NonNegativeInt] = {}
    most: NonNegativeInt = 0


class _Quarter(SamplePart):
    processes: dict[str, _WatchedThreads]


@dataclass(frozen=True, slots=True)
class _ThreadStates:
    main: Counter[str]
    others: Counter[str]
    sweeps: int
    most: int


def of_level(records: Sequence[StageRecord], samples: Sequence[Sample]) -> Outside | None:
    """What was seen in the windows of one (deployment, level); None: nothing."""
    windows = [record.window for record in records if record.window]
    if not windows:
        return None
    loops: Counter[str] = Counter()
    within: dict[str, list[_WatchedThreads]] = defaultdict(list)
    for quarter in _quarters(records[0].stage.deployment, samples):
        with suppress(ValidationError, KeyError, TypeError, AttributeError):
            for pid, process in quarter["processes"].items():
                loops[pid] += process["main"].get(EVENTS, 0)
            middle = quarter["at"] - LENGTH / 2
            if any(start <= middle < end for start, end in windows):
                for pid, one in _Quarter.model_validate(quarter).processes.items():
                    within[pid].append(one)
    seen = {pid: _together(parts) for pid, parts in within.items()}
    serving = [one for pid, one in seen.items() if loops[pid] >= LEAST]
    main = sum((one.main for one in serving or seen.values()), Counter[str]())
    if not main.total() or main[OTHER] == main.total():  # the kernel tells nothing of them
        return None
    swept = [one for one in seen.values() if one.sweeps]
    return Outside(
        looks=main.total(),
        loops=len(serving),
        main={state: count / main.total() for state, count in main.most_common()},
        threads=sum(one.others.total() / one.sweeps for one in swept),
        busy=sum(sum(one.others[state] for state in BUSY) / one.sweeps for one in swept),
        most=sum(one.most for one in swept),
    )


def _together(parts: Sequence[_WatchedThreads]) -> _ThreadStates:
    main, others = Counter[str](), Counter[str]()
    for one in parts:
        main.update(one.main)
        others.update(one.others)
    return _ThreadStates(main, others, sum(p.sweeps for p in parts), max(p.most for p in parts))


def _quarters(name: str, samples: Sequence[Sample]) -> Iterator[dict[str, Any]]:
    """The quarter seconds of one deployment; files of other versions may hold anything."""
    for sample in samples:
        found = sample.get("threads")
        for one in found if isinstance(found, list) else ():
            if isinstance(one, dict) and one.get("deployment") == name:
                yield one


def ended(records: Sequence[StageRecord], samples: Sequence[Sample]) -> list[str]:
    """A sentence for each deployment of which processes with an event loop ended in a stage."""
    stages: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for record in records:
        if record.window and not record.died:
            start, end = record.window
            stages[record.stage.deployment].append((start - record.stage.settle, end))
    texts = []
    for name, of_one in stages.items():
        loops: Counter[str] = Counter()
        last: dict[str, float] = {}
        moments: list[float] = []
        for quarter in _quarters(name, samples):
            with suppress(KeyError, TypeError, AttributeError):
                moments.append(quarter["at"])
                for pid, process in quarter["processes"].items():
                    loops[pid] += process["main"].get(EVENTS, 0)
                    if process["main"].keys() - {OTHER}:  # one that has ended does nothing
                        last[pid] = quarter["at"]
        gone = [
            pid
            for pid, at in last.items()
            if loops[pid] >= LEAST
            for start, end in of_one
            if start <= at and sum(at < moment < end for moment in moments) >= GONE
        ]
        if gone:
            count = "1 process" if len(gone) == 1 else f"{len(gone)} processes"
            texts.append(
                f"{name}: {count} that served requests ended during a level. Requests that were "
                "in them got no answer, and starting others takes CPU; see the service's log."
            )
    return texts


def denied(samples: Sequence[Sample], points: Sequence[Point]) -> list[str]:
    """A sentence where the kernel does not let anything of the threads be read; else none."""
    if any(point.outside for point in points):
        return []
    for sample in samples:
        found = sample.get("denied")
        for one in found if isinstance(found, list) else ():
            if isinstance(one, dict):
                return [
                    "What the threads of the services wait for was not seen from outside: "
                    f"{one.get('denied')}."
                ]
    return []


def said(point: Point) -> str:
    """One sentence; empty where nothing was seen."""
    if (seen := point.outside) is None:
        return ""
    who = "the event loop's thread" if seen.loops else "the main thread"
    does = [
        f"{DOES.get(state, DOES[OTHER])} in {percent(share)}"
        for state, share in seen.main.items()
        if share >= 0.02
    ]
    text = f"{who} {', '.join(does)} of {seen.looks:,} looks"
    if seen.threads >= 0.5 and seen.busy >= IDLE:
        text += (
            f"; of {rounded(seen.threads, 3)} other threads {rounded(seen.busy, 3)} are busy, "
            f"{seen.most} at most"
        )
    return text


def line(points: Sequence[Point]) -> str:
    """
    What was seen of one deployment: at the lowest level at which something limits it, or else at
    the highest. Empty where nothing was seen.
    """
    seen = [point for point in points if point.outside]
    limited = [point for point in seen if point.limit]
    if not seen:
        return ""
    point = (limited or seen[-1:])[0]
    return f"Seen from outside at {load(point.level, point.model)}: {said(point)}."
