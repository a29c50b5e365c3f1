"""Where the load generator may connect: to the hosts of the plan, and to nothing else.

A locustfile follows redirects, and its libraries connect where they like. Python raises an audit
event for each connection and each look-up of a name, whichever library asks for it; the hook that
is installed here refuses those that lead elsewhere before a packet is sent. It sees neither the
processes that a locustfile starts nor libraries that open sockets in C (such as libpq).
"""

import os
import socket
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from ipaddress import ip_address
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import gevent

from loadtests.plans import hosts

MOST = 50  # hosts that are named, and counted one by one
OTHERS = "other hosts"
LONGEST = 100  # characters of a host that are shown
_LOCAL = ("localhost", "127.0.0.1", "::1")  # the controller, the mock and what brownout starts
_WITHIN = {  # families of sockets that lead to no other machine
    getattr(socket, name) for name in ("AF_UNIX", "AF_NETLINK", "AF_ALG") if hasattr(socket, name)
}


class HostNotAllowed(OSError):
    """A connection that was refused; `kind` is what its request counts as."""

    def __init__(self, host: str, kind: str) -> None:
        super().__init__(f"host not allowed: {host}. {hosts.how_to_allow(host)}")
        self.kind = kind


class Egress:
    """
    Knows the allowed hosts, and counts what was refused.

    A host that is allowed by its name is allowed at the addresses that a look-up of the name
    returned.

    Args:
        allowed: names and addresses of hosts.
        local: names that were this machine's when the plan was read; another address that they
            have later is not allowed.
    """

    def __init__(self, allowed: Collection[str], local: Iterable[str] = ()) -> None:
        self._local = {_normal(host) for host in local} - {_normal(host) for host in allowed}
        self._names = {_normal(host) for host in (*_LOCAL, *allowed)} | self._local
        self._addresses: set[str] = set()  # of allowed names
        # No more than looked up; a web server looks its own machine up.
        self._looked_up = {_normal(socket.gethostname())}
        self._refused: dict[str, int] = {}
        self._checks: dict[str, Callable[[tuple[Any, ...]], None]] = {
            "socket.connect": self._check_connection,
            "socket.sendto": self._check_connection,
            "socket.sendmsg": self._check_connection,
            "socket.getaddrinfo": self._check_lookup,
            "socket.gethostbyname": self._check_lookup,
            "socket.gethostbyaddr": self._check_reverse_lookup,
            "socket.getnameinfo": lambda args: self._check_reverse_lookup(args[0]),
        }

    def allow(self, host: str | None) -> None:
        """Allow connections to one more host."""
        if host:
            self._names.add(_normal(host))

    def allow_lookup(self, url: str) -> None:
        """Allow look-ups, and no more, of the name in a URL."""
        with suppress(ValueError):  # it is no URL
            self._looked_up.add(_normal(urlsplit(url).hostname))

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """
        Check an audit event of the interpreter.

        Raises:
            HostNotAllowed: it is a connection to another host, or a look-up of its name.
        """
        check = self._checks.get(event)
        if check is not None:
            check(args)

    def check_name(self, host: Any) -> None:
        """Raises HostNotAllowed when a host may not be looked up. Numbers need no look-up."""
        name = _normal(host)
        known = name in self._names or name in self._looked_up
        if name and not known and not _is_address(name):
            raise self._refusal(name)

    def learn(self, host: Any, addresses: Iterable[str]) -> None:
        """Allow the addresses that the look-up of an allowed name returned."""
        name = _normal(host)
        if name in self._names:
            found = map(_normal, addresses)
            self._addresses.update(
                one for one in found if name not in self._local or hosts.is_own(one)
            )

    def drain(self) -> dict[str, int]:
        """Return how often each host was refused since the last call."""
        refused, self._refused = self._refused, {}
        return refused

    def _check_connection(self, args: tuple[Any, ...]) -> None:
        family, address = args[0].family, args[1]
        if family in _WITHIN or address is None:
            return
        host = _normal(address[0] if isinstance(address, tuple) else address)
        if host not in self._addresses and host not in self._names:
            raise self._refusal(host)

    def _check_lookup(self, args: tuple[Any, ...]) -> None:
        self.check_name(args[0])

    def _check_reverse_lookup(self, args: tuple[Any, ...]) -> None:
        """The name of an address is asked for, which takes a packet, too."""
        host = _normal(args[0])
        if host and host not in self._addresses | self._names | self._looked_up:
            raise self._refusal(host)

    def _refusal(self, host: str) -> HostNotAllowed:
        # It can come from a redirect, and gets into terminals and reports.
        plain = (letter if letter.isalnum() or letter in "-._:" else "?" for letter in host)
        shown = "".join(islice(plain, LONGEST))
        known = shown in self._refused or len(self._refused) < MOST
        counted = shown if known else OTHERS
        self._refused[counted] = self._refused.get(counted, 0) + 1
        return HostNotAllowed(shown, f"host not allowed: {counted}")


def install(allow_hosts: Iterable[str], urls: Iterable[str]) -> Egress:
    """
    Guard this process and all that are forked from it.

    Args:
        allow_hosts: those of the plan; those of the environment are added.
        urls: of the plan's deployments.
    """
    targets = [hosts.parts_of(url).hostname or "" for url in urls]
    egress = Egress(hosts.allowed(allow_hosts), targets)
    _watch_lookups(egress)
    sys.addaudithook(egress.audit)
    return egress


def _watch_lookups(egress: Egress) -> None:
    """Have the guard learn from gevent's look-ups, which all of Locust's clients use."""
    kind: Any = gevent.config.resolver

    class Resolver(kind):  # type: ignore[misc]
        def getaddrinfo(self, host: Any, *args: Any, **kw: Any) -> Any:
            egress.check_name(host)  # here, since a thread looks it up
            found = super().getaddrinfo(host, *args, **kw)
            egress.learn(host, (str(entry[4][0]) for entry in found))
            return found

        def gethostbyname(self, host: Any, *args: Any) -> Any:
            egress.check_name(host)
            found = super().gethostbyname(host, *args)
            egress.learn(host, [found])
            return found

        def gethostbyname_ex(self, host: Any, *args: Any) -> Any:
            egress.check_name(host)
            found = super().gethostbyname_ex(host, *args)
            egress.learn(host, found[2])
            return found

    gevent.config.resolver = Resolver
    del gevent.get_hub().resolver  # it makes another when it needs one


def _normal(host: Any) -> str:
    """Return the one spelling in which a name or address is compared."""
    if host is None:
        return ""
    text = os.fsdecode(bytes(host)) if isinstance(host, bytes | bytearray) else str(host)
    text = text.lower().rstrip(".")
    try:
        return str(hosts.address_of(text))
    except ValueError:
        return text


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
