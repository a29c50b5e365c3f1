"""The event loop of a server."""

import asyncio
import os
from contextlib import ExitStack

import uvloop

_NEEDED = 16  # descriptors of a loop, and of what its server opens at the start


def new_event_loop() -> asyncio.AbstractEventLoop:
    """
    One of uvloop.

    Raises:
        OSError: there are not enough descriptors, for which libuv would abort the process.
    """
    with open(os.devnull, "rb") as file, ExitStack() as opened:
        for _ in range(_NEEDED):
            opened.callback(os.close, os.dup(file.fileno()))
    return uvloop.new_event_loop()
