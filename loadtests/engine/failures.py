"""What a request failed by, in a word or two."""

import errno
from collections.abc import Iterator
from typing import Any

from loadtests.engine.egress import HostNotAllowed


class RequestFailed(Exception):
    """There was no answer, or not the one that the plan expects."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


LONGEST = 60  # characters of a failure in the locustfile's own words


def kind_of(exception: BaseException | str, response: Any = None) -> str:
    """A failure in a word or two: what was wrong with the answer, its status, or the error."""
    if isinstance(exception, RequestFailed):
        return exception.kind
    status = getattr(response, "status_code", 0)
    if status >= 400:
        return str(status)
    if status:  # of a success: the locustfile says what is wrong with the answer
        return f"{status} {' '.join(str(exception).split())}"[:LONGEST].rstrip()
    if not isinstance(exception, BaseException):
        return " ".join(str(exception).split())[:LONGEST]
    return next((word for word in _words(exception) if word), type(exception).__name__)


_NUMBERED = {
    errno.EMFILE: "out of descriptors",
    errno.ENFILE: "out of descriptors",
    errno.EADDRNOTAVAIL: "out of ports",
}
"""What the generator itself lacks, by the system's number; see analysis.validity."""
_KNOWN = {
    "ConnectionRefusedError": "connection refused",
    "ConnectionResetError": "connection reset",
    "BrokenPipeError": "connection reset",
    "HTTPConnectionClosed": "closed without an answer",
    "gaierror": "host not found",
    "timeout": "timeout",
    "TimeoutError": "timeout",
}


def _words(exception: BaseException | None) -> Iterator[str | None]:
    """What is known of the exception, then of those that it came from."""
    while exception is not None:
        if isinstance(exception, HostNotAllowed):
            yield exception.kind
        if isinstance(exception, OSError):
            yield _NUMBERED.get(exception.errno or 0)
        for kind in type(exception).__mro__:
            yield _KNOWN.get(kind.__name__)
        # Where the library raises an error of its own, `original` is what it met: a timeout, say.
        before = exception.__cause__ or exception.__context__
        exception = before or getattr(exception, "original", None)
