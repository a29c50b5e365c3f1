"""The way of `def` routes, and of whatever else goes there, to anyio's worker threads."""

from collections.abc import Callable
from functools import wraps
from time import monotonic
from typing import Any

import anyio.to_thread

from .tracing import TRACK, Held, ThreadOffload

_WATCHED = "_brownout"


def observe() -> None:
    """Starlette and FastAPI look `anyio.to_thread.run_sync` up at each call."""
    original: Any = anyio.to_thread.run_sync
    if hasattr(original, _WATCHED):
        return

    @wraps(original)
    def run_sync(func: Callable[..., Any], *args: Any, **options: Any) -> Any:
        track = TRACK.get()
        if track is None:
            return original(func, *args, **options)
        if track.visit.over:
            return original(Held(func), *args, **options)
        return hopping(ThreadOffload(track, func), args, options)

    async def hopping(hop: ThreadOffload, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        try:
            return await original(hop, *args, **options)
        finally:
            hop.end = monotonic()

    setattr(run_sync, _WATCHED, True)
    anyio.to_thread.run_sync = run_sync  # type: ignore[assignment]
