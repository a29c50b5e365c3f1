"""The event loop, and the open sockets that it may have."""

import asyncio
import os
import sys
from contextlib import ExitStack, suppress

_NEEDED = 16  # descriptors of a loop, and of what its server opens at the start


def new_event_loop() -> asyncio.AbstractEventLoop:
    """
    uvloop's, where there is one.

    Raises:
        OSError: there are not enough descriptors, for which libuv would abort the process.
    """
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    _check_descriptors()
    import uvloop

    return uvloop.new_event_loop()


def _check_descriptors() -> None:
    with open(os.devnull, "rb") as file, ExitStack() as opened:
        for _ in range(_NEEDED):
            opened.callback(os.close, os.dup(file.fileno()))


def allow_connections() -> None:
    """Raise the limit of open sockets as far as allowed; the default of 1024 is too low."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        # macOS reports "unlimited" and then refuses it.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
