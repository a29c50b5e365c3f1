"""anyio's capacity limiters and semaphores, with which a service bounds its own work.

Only those that several requests use: what one request makes for itself bounds this request alone.
The limiter of the worker threads is told by `threads`. FastAPI's Depends(max_concurrency=...) has
such a semaphore, made by the first request that needs it.
"""

from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import anyio.to_thread

from ..passing import passing
from ..process import PROCESS, Use
from ..tracing import TRACK, RequestTrace, Turn
from . import replace

_FIRST: WeakKeyDictionary[Any, int | None] = WeakKeyDictionary()
"""By limiter: which request was seen to use it first; None once there were two."""
_SIZES: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
"""By semaphore: its places."""


def observe(library: Any) -> None:
    backend = import_module(f"{library.__name__}._backends._asyncio")
    replace(getattr(backend, "CapacityLimiter", None), "acquire_on_behalf_of", borrowing)
    semaphore = getattr(backend, "Semaphore", None)
    replace(semaphore, "__init__", constructing)
    replace(semaphore, "acquire", acquiring)


def shared(limiter: Any, visit: RequestTrace) -> bool:
    if limiter not in _FIRST:
        _FIRST[limiter] = id(visit)
    elif _FIRST[limiter] != id(visit):
        _FIRST[limiter] = None
    return _FIRST[limiter] is None


def borrowing(original: Any) -> Any:
    async def acquire(self: Any, borrower: Any) -> Any:
        track = TRACK.get()
        if track is None or track.visit.over or not shared(self, track.visit):
            return await original(self, borrower)
        if self is anyio.to_thread.current_default_thread_limiter():
            return await original(self, borrower)
        PROCESS.saw(self, "anyio.CapacityLimiter", use)
        if self.available_tokens > 0 and not self._wait_queue:
            return await original(self, borrower)
        return await waited(track, original(self, borrower))

    return passing(original, TRACK, acquire)


def constructing(original: Any) -> Any:
    def __init__(self: Any, initial_value: int, **options: Any) -> None:
        original(self, initial_value, **options)
        _SIZES[self] = initial_value

    return __init__


def acquiring(original: Any) -> Any:
    async def acquire(self: Any) -> Any:
        track = TRACK.get()
        if track is None or track.visit.over or not shared(self, track.visit):
            return await original(self)
        if self not in _SIZES:  # older than this module, and not in use yet
            _SIZES[self] = self._value
        PROCESS.saw(self, "anyio.Semaphore", use_of_semaphore)
        if self._value > 0:
            return await original(self)
        return await waited(track, original(self))

    return passing(original, TRACK, acquire)


async def waited(track: Any, turn: Any) -> Any:
    span = Turn()
    track.spans.append(span)
    try:
        return await turn
    finally:
        span.ends()


def use(limiter: Any) -> Use:
    total = limiter.total_tokens
    used = limiter.borrowed_tokens
    limit = int(total) if total < float("inf") else None
    return Use(limit, used, used, len(limiter._wait_queue))


def use_of_semaphore(semaphore: Any) -> Use:
    size = _SIZES[semaphore]
    used = max(0, size - semaphore._value)
    return Use(size, used, used, len(semaphore._waiters))
