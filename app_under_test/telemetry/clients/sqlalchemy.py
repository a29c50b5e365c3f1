"""SQLAlchemy: the pools of its engines, blocking and asynchronous. A connection is a checkout."""

from importlib import import_module
from typing import Any

from ..passing import passing
from ..process import PROCESS, Use
from ..tracing import TRACK, Turn
from . import replace


def observe(library: Any) -> None:
    pools = import_module(f"{library.__name__}.pool")
    replace(getattr(pools, "QueuePool", None), "_do_get", getting)


def getting(original: Any) -> Any:
    def get(self: Any) -> Any:
        track = TRACK.get()
        assert track is not None
        PROCESS.saw(self, "sqlalchemy", use)
        limit = limit_of(self)
        if track.visit.over or limit is None or self.checkedout() < limit:
            return original(self)
        turn = Turn()
        track.spans.append(turn)
        try:
            return original(self)
        finally:
            turn.ends()

    return passing(original, TRACK, get)


def limit_of(pool: Any) -> int | None:
    """The most connections at a time; None: there is no such limit."""
    size, overflow = pool.size(), pool._max_overflow
    return None if overflow < 0 or not size else int(size + overflow)


def use(pool: Any) -> Use:
    used = max(0, pool.checkedout())
    queue = vars(pool._pool)
    if "not_empty" in queue:
        waiting = len(queue["not_empty"]._waiters)
    else:
        inner = queue.get("_queue")  # of the asynchronous pool, made by its first wait
        waiting = 0 if inner is None else sum(not one.done() for one in list(inner._getters))
    return Use(limit_of(pool), used + pool.checkedin(), used, waiting)
