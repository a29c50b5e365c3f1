"""The event loop, and the open sockets that it may have."""

import asyncio
import sys
from contextlib import suppress


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, where there is one."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def allow_connections() -> None:
    """As many open sockets as the system allows; its default is often 1024, too few to wait on."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        # macOS reports "unlimited" and then refuses it.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
