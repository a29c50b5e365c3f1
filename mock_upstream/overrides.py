"""
What a single request asks for, in place of what the profile has for it.

    header            query            means
    X-Mock-Latency    mock_latency     a latency, such as 200ms or uniform(20ms,80ms)
    X-Mock-Status     mock_status      a status, such as 503
    X-Mock-Fault      mock_fault       a fault by its name, such as reset-mid-body
    X-Mock-Size       mock_size        the size of the body, such as 10kB
    X-Mock-Key        mock_key         the same key draws the same, whatever else is asked meanwhile

A name that is not among them is an error and not ignored: it is nearly always a typo.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError

from mock_upstream import faults
from mock_upstream.faults import Fault
from mock_upstream.latency.distributions import Latency
from mock_upstream.latency.parser import parse as parse_latency
from mock_upstream.units.durations import LONGEST, format_duration
from mock_upstream.units.sizes import LARGEST, Size, format_bytes, parse_size

_HEADER = b"x-mock-"
_QUERY = "mock_"
_LONGEST_TEXT = 200
_REMEMBERED = 1024  # texts; each is worth some microseconds of reading


@dataclass(frozen=True, slots=True)
class Overrides:
    """What one request asks for; None: what the profile has."""

    latency: Latency | None = None
    status: int | None = None
    fault: Fault | None = None
    size: Size | None = None
    key: bytes | None = None


class OverrideError(ValueError):
    """A request that asks for what cannot be; the message says which value, and why."""


def parse(
    headers: Iterable[tuple[bytes, bytes]],
    query: bytes,
    *,
    longest: float = LONGEST,
    largest: int = LARGEST,
) -> Overrides | None:
    """
    What a request asks for; None if nothing.

    Args:
        headers: with lower-case names.
        query: as it came, percent-encoded.
        longest: seconds; a latency whose median is above it is refused, tails are the caller's.
        largest: bytes; likewise.

    Raises:
        OverrideError: an unknown name, one given twice, or a value that cannot be.
    """
    given: list[tuple[str, str, str]] | None = None
    for name, value in headers:
        if name.startswith(_HEADER):
            given = given or []
            kind = name[len(_HEADER) :].decode("latin-1")
            given.append((kind, f"X-Mock-{kind.title()}", value.decode("latin-1")))
    if query and _QUERY.encode() in query:
        given = given or []
        given += _asked(query)
    return _overrides(given, longest, largest) if given else None


def _asked(query: bytes) -> list[tuple[str, str, str]]:
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise OverrideError(f"the query cannot be read: {error}") from None
    return [(name[len(_QUERY) :], name, value) for name, value in pairs if name.startswith(_QUERY)]


def _overrides(given: list[tuple[str, str, str]], longest: float, largest: int) -> Overrides:
    values: dict[str, Any] = {}
    for kind, name, text in given:
        if kind not in _READERS:
            known = ", ".join(f"{_QUERY}{kind} (X-Mock-{kind.title()})" for kind in _READERS)
            raise OverrideError(f"there is no {name:.60}; there are: {known}")
        if kind in values:
            raise OverrideError(f"{name} is given twice, perhaps as a header and in the query")
        if len(text) > _LONGEST_TEXT:
            raise OverrideError(f"{name} has more than {_LONGEST_TEXT} characters")
        try:
            values[kind] = _READERS[kind](text)
        except ValueError as error:
            raise OverrideError(f"{name}: {error}") from None
    overrides = Overrides(**values)
    if overrides.latency and overrides.latency.exceeds(longest):
        raise OverrideError(
            f"latency: {overrides.latency} is above {format_duration(longest)}, the longest delay "
            "that the profile's caps allow"
        )
    if overrides.size and overrides.size.quantile(0.5) > largest:
        raise OverrideError(
            f"size: {overrides.size} is above {format_bytes(largest)}, the largest body that the "
            "profile's caps allow"
        )
    return overrides


@lru_cache(_REMEMBERED)
def _latency(text: str) -> Latency:
    # A request must not make the mock read files.
    if "file" in text:
        raise ValueError(f"{text!r} reads a file, which only a profile can")
    return parse_latency(text)


def _status(text: str) -> int:
    status = int(text) if text.isascii() and text.isdigit() else 0
    if not 200 <= status <= 599:
        raise ValueError(f"{text!r} is not a status; they are 200 to 599")
    return status


@lru_cache(_REMEMBERED)
def _fault(text: str) -> Fault:
    try:
        return faults.load(text).model_validate({})
    except (LookupError, ValidationError) as error:
        raise ValueError(str(error)) from None


def _key(text: str) -> bytes:
    if not text:
        raise ValueError("a key has one character at least")
    return text.encode("utf-8", "surrogateescape")


_READERS: dict[str, Callable[[str], Any]] = {
    "latency": _latency,
    "status": _status,
    "fault": _fault,
    "size": lru_cache(_REMEMBERED)(parse_size),
    "key": _key,
}
