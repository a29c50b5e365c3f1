"""What BROWNOUT_TELEMETRY asks for: which requests are traced, and where gauges go."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

VARIABLE = "BROWNOUT_TELEMETRY"
EVERY = "all"
"""Its value for tracing requests without a stamp as well."""


@dataclass(frozen=True, slots=True)
class Address:
    """`secret`: what each datagram must have in it; empty where the address has none."""

    host: str
    port: int
    deployment: str
    secret: str = ""


def asked(environment: Mapping[str, str]) -> bool:
    return bool(environment.get(VARIABLE))


def every(environment: Mapping[str, str]) -> bool:
    return environment.get(VARIABLE) == EVERY


def address(environment: Mapping[str, str]) -> Address | None:
    """
    The address that gauges are sent to; None: they are not sent.

    Raises:
        ValueError: the variable is neither 1 nor all nor HOST:PORT/NAME[/SECRET].
    """
    text = environment.get(VARIABLE, "")
    if text in ("", "1", EVERY):
        return None
    where, _, rest = text.partition("/")
    name, _, secret = rest.partition("/")
    host, _, port = where.rpartition(":")
    if not (host and name and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(
            f"{VARIABLE} is {text!r}; it is 1 for Server-Timing of stamped requests alone, all for "
            "that of every request, or 127.0.0.1:PORT/NAME or 127.0.0.1:PORT/NAME/SECRET for "
            "gauges too, with NAME percent-encoded"
        )
    return Address(host.strip("[]"), int(port), unquote(name), secret)
