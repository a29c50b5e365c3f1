"""Thread pools of concurrent.futures, asyncio's default executor among them."""

from contextlib import suppress
from importlib import import_module
from typing import Any

from ..passing import passing
from ..process import PROCESS, Use
from ..tracing import TRACK, Turn
from . import replace

_DEFAULTS = ("asyncio", "uvloop")


def observe(library: Any) -> None:
    futures = import_module(f"{library.__name__}.futures")
    replace(futures.ThreadPoolExecutor, "submit", submitting)


def submitting(original: Any) -> Any:
    def submit(self: Any, fn: Any, /, *args: Any, **options: Any) -> Any:
        track = TRACK.get()
        assert track is not None
        PROCESS.saw(self, named(self), use)
        if track.visit.over:
            return original(self, fn, *args, **options)
        turn = Turn(thread=True)

        def run(*args: Any, **options: Any) -> Any:
            turn.ends()
            return fn(*args, **options)

        future = original(self, run, *args, **options)
        track.spans.append(turn)
        return future

    return passing(original, TRACK, submit)


def named(executor: Any) -> str:
    """Return "asyncio" for the default executor of an event loop, by the name of its threads."""
    return "asyncio" if executor._thread_name_prefix in _DEFAULTS else "executor"


def use(executor: Any) -> Use:
    waiting = executor._work_queue.qsize()
    threads = len(executor._threads)
    idle = 0
    with suppress(AttributeError):
        idle = executor._idle_semaphore._value
    return Use(executor._max_workers, threads, max(0, threads - idle), waiting)
