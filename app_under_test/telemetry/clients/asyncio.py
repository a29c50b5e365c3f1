"""asyncio's semaphores, with which a service bounds its own calls: a pool by another name.

Only those that were not made by a request: one that was bounds this request alone, and what its
calls wait for is the calls before them.
"""

from typing import Any

from ..passing import passing
from ..process import PROCESS, Use
from ..tracing import TRACK, Turn
from . import replace

_SIZE = "_brownout_size"
"""The attribute of a semaphore that was seen: its places, 0 for one of a request's own."""


def observe(library: Any) -> None:
    semaphore = getattr(library, "Semaphore", None)
    replace(semaphore, "__init__", constructing)
    replace(semaphore, "acquire", acquiring)


def constructing(original: Any) -> Any:
    def __init__(self: Any, value: int = 1) -> None:
        original(self, value)
        setattr(self, _SIZE, value if TRACK.get() is None else 0)

    return __init__


def acquiring(original: Any) -> Any:
    async def acquire(self: Any) -> Any:
        track = TRACK.get()
        if track is None or track.visit.over:
            return await original(self)
        if not hasattr(self, _SIZE):  # older than this module, and not in use yet
            setattr(self, _SIZE, self._value)
        if not getattr(self, _SIZE):
            return await original(self)
        PROCESS.saw(self, "semaphore", use)
        if not self.locked():
            return await original(self)
        turn = Turn()
        track.spans.append(turn)
        try:
            return await original(self)
        finally:
            turn.ends()

    return passing(original, TRACK, acquire)


def use(semaphore: Any) -> Use:
    size = getattr(semaphore, _SIZE)
    used = max(0, size - semaphore._value)
    return Use(limit=size, open=used, used=used, waiting=len(semaphore._waiters or ()))
