"""Each module here watches the library whose name it has, once that was imported.

HTTP clients, and what else requests wait for: semaphores, limiters, executors, databases.

It is complete with `observe(library)`, which replaces methods of the library's classes, so that
clients which exist already are watched too. A name that another version of the library lacks
leaves out what would have been seen by it, and breaks nothing.
"""

import sys
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from importlib import import_module
from pkgutil import iter_modules
from time import thread_time
from typing import Any

from ..passing import passing
from ..process import PROCESS
from ..tracing import TRACK, trace_child_task

_NAMES = [module.name for module in iter_modules(__path__)]
_WATCHED: set[str] = set()


def observe() -> None:
    """Observe the client libraries that were imported since the last call."""
    for name in _NAMES:
        if name in sys.modules and name not in _WATCHED:
            _WATCHED.add(name)
            import_module(f"{__name__}.{name}").observe(sys.modules[name])


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Puts `make(method)` in the place of a method that the class itself defines."""
    original = vars(owner).get(name) if owner is not None else None
    if original is not None:
        setattr(owner, name, wraps(original)(make(original)))


def constructed(original: Any) -> Any:
    """Wrap `__init__` of a client, so that its calls are counted and their CPU is measured."""
    made = part_of_a_client(original)

    def __init__(self: Any, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        PROCESS.counts.clients += PROCESS.ready

    return __init__


def part_of_a_client(original: Any) -> Any:
    """Wrap what making a client calls, within its `__init__` or before, to measure its CPU."""

    def made(*args: Any, **options: Any) -> Any:
        if not PROCESS.ready or _MAKING.get():
            return original(*args, **options)
        token = _MAKING.set(True)
        began = thread_time()
        try:
            return original(*args, **options)
        finally:
            PROCESS.counts.client_seconds += thread_time() - began
            _MAKING.reset(token)

    return made


_MAKING: ContextVar[bool] = ContextVar("making", default=False)
"""Whether the CPU of what is called is measured already."""


def in_branches(original: Any) -> Any:
    """Wrap a coroutine function of a client; its CPU counts in whichever task it runs."""

    def traced(*args: Any, **options: Any) -> Any:
        track = TRACK.get()
        assert track is not None
        if track.step >= 0.0:  # metered as it is
            return original(*args, **options)
        return trace_child_task(original(*args, **options), track)

    return passing(original, TRACK, traced)
