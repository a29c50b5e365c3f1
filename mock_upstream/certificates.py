"""
Certificates for a mock that speaks TLS: of an authority of its own, for as long as it runs.

Files are readable by their owner alone, in a folder of the system's temporary ones, and removed at
the end. The authority's key is never written.
"""

import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_NAMES = ("127.0.0.1", "localhost", "::1")


class NoTrustme(RuntimeError):
    """The library that makes certificates is not installed; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Certificates:
    authority: Path
    """The authority's certificate: what a client has to trust."""
    bundle: Path
    """That and the authorities that are trusted already, as SSL_CERT_FILE replaces all of them."""
    server: Path
    """The server's key, and its certificate."""


@contextmanager
def issued(*hosts: str) -> Iterator[Certificates]:
    """
    Make certificates for this machine and the hosts, for the length of the block.

    Raises:
        NoTrustme: the library is missing.
    """
    try:
        import trustme
    except ModuleNotFoundError:
        raise NoTrustme(
            "TLS needs the library trustme; install it with `pip install 'brownout[tls]'`"
        ) from None

    authority = trustme.CA(organization_name="mock_upstream")
    names = {*_NAMES, socket.gethostname(), *hosts} - {"", "0.0.0.0", "::"}
    server = authority.issue_cert(*sorted(names))
    with tempfile.TemporaryDirectory(prefix="mock_upstream-tls-") as folder:
        found = Certificates(
            *(Path(folder) / f"{name}.pem" for name in ("authority", "bundle", "server"))
        )
        own = authority.cert_pem.bytes()
        _write(found.authority, own)
        _write(found.bundle, b"\n".join([_trusted(), own]))
        _write(found.server, server.private_key_and_cert_chain_pem.bytes())
        yield found


def _trusted() -> bytes:
    """The certificates of the authorities that clients here trust without being told."""
    place = ssl.get_default_verify_paths().cafile
    if place is None:
        try:
            import certifi
        except ModuleNotFoundError:
            return b""
        place = certifi.where()
    return Path(place).read_bytes()


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
