"""Whether the users of a locustfile were there, as its generators counted them."""

import math
from collections.abc import Sequence

from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.numbers import users as counted
from loadtests.recording.messages import UserCounts
from loadtests.results import Users

MISSING = 0.02  # of a level's users: with more, the level was not held
NOT_HELD = "the level was not held"
PARALLEL = 1.2  # requests in flight for each user in a task: with more, it sends several at a time
ENOUGH = 30  # looks at users in a task, which number differs from look to look


def of_level(records: Sequence[StageRecord]) -> Users | None:
    """How many users there were, and what they did; means over the stages of one level."""
    stages = [found for record in records if (found := _of_stage(record))]
    if not stages:
        return None
    level = records[0].stage.level

    def mean(name: str) -> float:
        return math.fsum(getattr(one, name) for one in stages) / len(stages)

    there = {name: mean(name) for name in ("running", "waiting", "starting")}
    classes = {name for one in stages for name in one.classes}
    return Users(
        **there,
        stopped=max(level - math.fsum(there.values()), 0.0),
        classes={
            name: math.fsum(one.classes.get(name, 0.0) for one in stages) / len(stages)
            for name in sorted(classes)
        },
    )


def not_held(record: StageRecord) -> str | None:
    """Why there was not the load of this level; None: there was, or that was not counted."""
    found, level = _of_stage(record), record.stage.level
    if found is None:
        return None
    if found.least < level - MISSING * level:
        starting = round(found.starting)
        stopped = max(level - found.least - starting, 0)
        where = [
            f"{starting} still in on_start" if starting else "",
            f"{stopped} had stopped" if stopped else "",
        ]
        where_all = f": {' and '.join(filter(None, where))}" if any(where) else ""
        return f"{NOT_HELD}: {found.least} of {counted(level)} ran{where_all}"
    if found.without > MISSING * level:
        return (
            "the locustfile ran out of something that each user takes in on_start, such as "
            f"accounts: {found.without} of {level} users sent nothing in it, though all before "
            "them had (each stage starts its users again)"
        )
    return None


def parallel(records: Sequence[StageRecord], in_flight: float) -> str | None:
    """
    A sentence if users send several requests at a time; else None.

    By Little's law the requests in flight are throughput times response time, however many users
    there are; a user that waits for each answer has one of them while it is in a task.
    """
    found = of_level(records)
    looks = sum(record.stage.measure for record in records) * 4
    if found is None or found.running * looks < ENOUGH:
        return None
    each = in_flight / found.running
    if each <= PARALLEL:
        return None
    return f"users send several requests at a time: {each:.1f} are in flight for each in a task"


def _of_stage(record: StageRecord) -> UserCounts | None:
    """The counts of all generators together."""
    counts = [done.users for done in record.dones.values() if done.users is not None]
    if not counts or not record.stage.own_tasks:
        return None
    names = {name for one in counts for name in one.classes}
    return UserCounts(
        running=math.fsum(one.running for one in counts),
        waiting=math.fsum(one.waiting for one in counts),
        starting=math.fsum(one.starting for one in counts),
        least=sum(one.least for one in counts),
        without=sum(one.without for one in counts),
        classes={name: math.fsum(one.classes.get(name, 0.0) for one in counts) for name in names},
    )
