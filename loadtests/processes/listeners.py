"""Finds the process that takes the connections to a port of this machine."""

import os
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from loadtests.processes.pids import described

_LISTEN = "0A"  # <net/tcp_states.h>
_UNSEEN = "no process that brownout can see"


def stranger(host: str, port: int, own: Iterable[int]) -> str | None:
    """
    Return the process that takes the connections to an address, in words; None: only `own` do.

    On Linux every socket that listens there must be open in one of them; where a sandbox does not
    show sockets, nothing can be said. On other systems one of them must listen on the port.

    Args:
        host: an IP address of this machine.
        own: process ids.
    """
    if sys.platform != "linux":
        return None if any(_listens(pid, port) for pid in own) else _UNSEEN
    sockets = _listening(host, port)
    others = sockets.difference(*map(open_sockets, own))
    if (sockets and not others) or not _shown():
        return None
    for name in os.listdir("/proc"):
        if name.isdecimal() and others & open_sockets(int(name)):
            return f"process {described(int(name))}"
    return _UNSEEN


def open_sockets(pid: int) -> set[str]:
    """Return the inodes of the sockets that a process has open, as far as it may be looked at."""
    found = set()
    with suppress(OSError):
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                target = os.readlink(descriptor.path)
                if target.startswith("socket:["):
                    found.add(target[len("socket:[") : -1])
    return found


def _listens(pid: int, port: int) -> bool:
    with suppress(psutil.Error):
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for connection in psutil.Process(pid).net_connections("tcp")
        )
    return False


def _listening(host: str, port: int) -> set[str]:
    """
    Return the inodes of the sockets that take a connection to the address.

    The kernel prefers a socket that is bound to that address to one that is bound to all.
    """
    found: dict[str, set[str]] = {}
    for table in ("tcp", "tcp6"):
        with suppress(OSError):  # there is no IPv6
            for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
                _, local, _, state, *_, inode = line.split()[:10]
                address, number = local.split(":")
                if state == _LISTEN and int(number, 16) == port:
                    found.setdefault(_address(address), set()).add(inode)
    every = ("0.0.0.0", "::") if ":" not in host else ("::",)
    return next((found[one] for one in (host, *every) if one in found), set())


def _shown() -> bool:
    """Return whether the system shows a listening socket of this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return bool(_listening(*listener.getsockname()) & open_sockets(os.getpid()))


def _address(text: str) -> str:
    """Return an address of /proc/net: 32 bit words in hexadecimal digits, in the host's order."""
    words = [int(text[place : place + 8], 16) for place in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, packed).removeprefix("::ffff:")
