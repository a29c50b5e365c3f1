"""Which hosts may be loaded: this machine, and those that were named on purpose."""

import os
import re
import socket
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

import psutil

from loadtests.plans.errors import PlanError

VARIABLE = "BROWNOUT_ALLOW_HOSTS"
_LOCAL = {"localhost", "localhost.localdomain"}


def parts_of(url: str) -> SplitResult:
    """
    The parts of a target's URL.

    Raises:
        PlanError: not the plain http(s) URL of a service. User names and backslashes are among
            what is refused: programs disagree about which host such a URL means.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or re.search(r"[\s\\@?#\x00-\x1f]", url):
        raise PlanError(
            f"{url!r:.100} is not the URL of a service; write it as http://127.0.0.1:9000, "
            "without user name, query or fragment"
        )
    return parts


def check_host(url: str, allow_hosts: Collection[str]) -> None:
    """
    Check that the URL's host is this machine, or is allowed by the plan or the environment.

    Raises:
        PlanError: it is neither, or cannot be found: a typo cannot load-test someone else's host.
    """
    parts = parts_of(url)
    host = parts.hostname or ""
    if host in allowed(allow_hosts):
        return
    try:
        found = socket.getaddrinfo(host, parts.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise PlanError(f"{url}: the host {host!r} cannot be found ({why})") from None
    addresses = {address_of(str(entry[4][0])) for entry in found}
    if any(address.is_unspecified for address in addresses):
        raise PlanError(f"{url}: {host} is where a server listens, not a target; use 127.0.0.1")
    strangers = sorted(str(a) for a in addresses - _own() if not a.is_loopback)
    if strangers:
        where = "" if strangers == [host] else f" ({', '.join(strangers)})"
        raise PlanError(f"{url}: {host}{where} is not this machine. {how_to_allow(host)}")


def is_local(host: str) -> bool:
    """Return whether only this machine can reach a server on that address."""
    name = host.strip("[]").lower()
    try:
        return name in _LOCAL or address_of(name).is_loopback
    except ValueError:
        return False


def is_own(address: str) -> bool:
    """Return whether an address is one of this machine."""
    found = address_of(address)
    return found.is_loopback or found in _own()


def allowed(allow_hosts: Iterable[str]) -> set[str]:
    """Return the hosts that the plan (`allow_hosts`) or the environment names."""
    from_environment = os.environ.get(VARIABLE, "").split(",")
    names = (name.strip().lower() for name in (*allow_hosts, *from_environment))
    return {name for name in names if name}


def how_to_allow(host: str) -> str:
    """Return the sentence about what makes a host one that may be loaded."""
    return (
        f'If it is yours to load, name it: allow_hosts = ["{host}"] in the plan, '
        f"or {VARIABLE}={host} in the environment"
    )


def _own() -> set[IPv4Address | IPv6Address]:
    families = (socket.AF_INET, socket.AF_INET6)
    interfaces = psutil.net_if_addrs().values()
    return {address_of(a.address) for found in interfaces for a in found if a.family in families}


def address_of(text: str) -> IPv4Address | IPv6Address:
    """
    Return the address, without a zone; an IPv4 address that is written as an IPv6 one is the IPv4
    address. Raises ValueError when the text is a name.
    """
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
