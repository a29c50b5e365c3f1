"""CPU of a deployment, read at the barriers: of a request, in a window, and what limits it.

What a stage used is divided by all of its requests, those outside its window included, so that
neither samples nor edges come in. Cores in a window are that times the requests of the window.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum

from loadtests.analysis.inputs.records import StageRecord
from loadtests.recording.messages import ProcessUsage
from loadtests.recording.slices import LENGTH

RESTED = 0.25  # seconds without load, at least, that tell what a deployment uses then
WORKS = 0.05  # of the CPU of the busiest process of its role: one that uses less does not work
MOST_CORES = 1024  # of a machine of which that is not known
MATTERS = 0.05  # of a deployment's CPU: roles that use less do not limit it


def resting(name: str, records: Iterable[StageRecord]) -> float | None:
    """Cores that a deployment uses without load; None where it did not rest for long enough."""
    seen = [
        rest
        for record in records
        if record.usage and (rest := record.usage.rest.get(name)) and rest.seconds >= RESTED
    ]
    longest = max(seen, key=lambda rest: rest.seconds, default=None)
    return longest.cpu / longest.seconds if longest else None


def per_request(name: str, records: Sequence[StageRecord], rest: float) -> float | None:
    """
    Seconds of CPU that one request takes, all processes together, without `rest` (cores).

    None where it was not read, or nothing was asked.
    """
    read = [(one.usage, requests(one)) for one in records if one.usage]
    used = [
        max(
            fsum(process.cpu for process in usage.processes[name].values()) - rest * usage.seconds,
            0,
        )
        for usage, _ in read
        if usage.processes.get(name)
    ]
    count = sum(count for usage, count in read if usage.processes.get(name))
    return fsum(used) / count if count else None


def requests(record: StageRecord) -> int:
    """All requests of a stage, with those that held the load after its end."""
    recorded = sum(part.started for part in record.slices)
    given_up = sum(done.unfinished for done in record.dones.values() if record.stage.own_tasks)
    return recorded + given_up + sum(done.beyond for done in record.dones.values())


def calls_per_request(records: Sequence[StageRecord]) -> float | None:
    """Calls of the upstream for each request; None where they were not counted."""
    read = [
        (one.usage.calls, requests(one))
        for one in records
        if one.usage and one.usage.calls is not None
    ]
    count = sum(count for _, count in read)
    return sum(calls for calls, _ in read) / count if count else None


def in_window(records: Iterable[StageRecord]) -> float:
    """Requests that ended in the windows, per second."""
    ended, seconds = 0, 0.0
    for record in records:
        first = round(record.stage.settle / LENGTH)
        last = first + round(record.stage.measure / LENGTH)
        ended += sum(part.ended for part in record.slices if first <= part.index < last)
        seconds += record.stage.measure
    return ended / seconds if seconds else 0.0


def cores(name: str, records: Sequence[StageRecord], rest: float | None = None) -> float | None:
    """
    Cores that the processes of this name used in the windows; None where it was not read.

    None, too, where no request ended in a window: then requests do not tell what was used in it.
    """
    rest = (resting(name, records) or 0.0) if rest is None else rest
    each, rate = per_request(name, records, rest), in_window(records)
    return None if each is None or not rate else rest + each * rate


@dataclass(frozen=True, slots=True)
class Processors:
    """
    What a deployment's processes make of its cores.

    `usable`: the cores that they can use together before the first of them is full. `busiest`:
    the part of its CPU that ran on one core, by stage number.
    """

    usable: float
    busiest: dict[int, float]


def processors(
    name: str, records: Iterable[StageRecord], available: int | None
) -> Processors | None:
    """
    Judge each process by itself, and those of one role (the workers of a server) together.

    A process that shares its work among threads which run at the same time can use as many cores
    as its busiest thread leaves to the others; one whose interpreter runs a thread at a time uses
    one. As connections spread over more workers, and work over more threads, with rising load, the
    widest spread that was seen counts.

    Args:
        available: the cores that the deployment was given; None: not known.
    """
    most = float(available or MOST_CORES)
    spread: dict[str, float] = defaultdict(float)
    used: dict[str, float] = defaultdict(float)
    busiest = {}
    for record in records:
        found = record.usage.processes.get(name) if record.usage else None
        total = fsum(one.cpu for one in found.values()) if found else 0.0
        if not found or not total:
            continue
        busiest[record.stage.number] = max(one.busiest for one in found.values()) / total
        roles = defaultdict(list)
        for one in found.values():
            roles[one.role].append(one)
        for role, processes in roles.items():
            share = WORKS * max(one.cpu for one in processes)
            working = [one for one in processes if one.cpu and one.cpu >= share]
            spread[role] = max(spread[role], fsum(_cores_of(one, most) for one in working))
            used[role] += fsum(one.cpu for one in processes)
    total = fsum(used.values())
    if not total:
        return None
    parts = {role: cpu / total for role, cpu in used.items()}
    limits = [spread[role] / part for role, part in parts.items() if part >= MATTERS]
    return Processors(min([*limits, most]), busiest)


def _cores_of(process: ProcessUsage, most: float) -> float:
    """The cores that a process can use before its busiest thread is full."""
    return process.cpu / process.busiest if process.busiest * most > process.cpu else most
