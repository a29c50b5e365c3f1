"""The ways in which a request ends without its answer, or in the middle of it."""

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

if sys.platform == "linux":
    import fcntl

if TYPE_CHECKING:  # a profile is checked without what it takes to play it
    from mock_upstream.responses.exchange import Exchange

_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_SIOCOUTQNSD = 0x894B  # of linux/sockios.h
_TIMEOUT = 5.0  # seconds; for a client that does not read what it is to have before a reset


async def close(exchange: "Exchange") -> None:
    """FIN, after whatever was written."""
    exchange.ended = not exchange.connection.lost
    exchange.transport.close()
    await exchange.gone()


async def reset(exchange: "Exchange") -> None:
    """RST: the client sees ECONNRESET, once it has read what was written before."""
    await _flushed(exchange)
    if not exchange.connection.lost:
        exchange.ended = True
        with suppress(OSError):  # the client has reset it just now
            connected: socket.socket = exchange.transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        exchange.transport.abort()
    await exchange.gone()


async def hang(exchange: "Exchange", longest: float) -> None:
    """Send nothing more until the client goes away; after `seconds` the connection is closed."""
    # No deadline: it would be kept until it is due, long after the client has gone.
    with suppress(TimeoutError):
        async with asyncio.timeout(longest):
            await exchange.gone()
    await drop(exchange)


async def drop(exchange: "Exchange") -> None:
    """The connection is closed at once, whether or not what was written has left."""
    exchange.ended = not exchange.connection.lost
    exchange.transport.abort()
    await exchange.gone()


async def _flushed(exchange: "Exchange") -> None:
    """Wait until all that was written is on the network; a reset would discard the rest."""
    end = monotonic() + _TIMEOUT
    while _unsent(exchange.transport) and monotonic() < end:
        if not await exchange.until(monotonic() + 0.001):
            return


def _unsent(transport: asyncio.Transport) -> bool:
    if transport.get_write_buffer_size():
        return True
    if sys.platform != "linux":
        return False
    with suppress(OSError):  # the client has reset it just now
        connected: socket.socket = transport.get_extra_info("socket")
        unsent = fcntl.ioctl(connected.fileno(), _SIOCOUTQNSD, b"\0" * 4)
        return bool(int.from_bytes(unsent, sys.byteorder))
    return False
