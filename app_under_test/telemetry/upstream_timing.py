"""How long an upstream says that it took."""

from collections.abc import Iterable

LONGEST = 3600.0  # seconds; an upstream that says more, or inf, is not believed


def stay_in(header: str | bytes | None) -> float | None:
    """
    Seconds from a request's arrival to its answer, by a Server-Timing header of `mock_upstream`.

    What was asked for or what a server that others share took, whichever is longer, the wait for
    that server, and what the answer was late by. None: the header is another's.
    """
    if header is None:
        return None
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    if not text.startswith("asked;dur="):
        return None
    try:
        _, asked, queue, service, late = text.split("dur=")
        took = float(asked.partition(",")[0]), float(service.partition(",")[0])
        stay = (max(took) + float(queue.partition(",")[0]) + float(late)) / 1e3
    except ValueError:
        return None
    return stay if 0.0 <= stay <= LONGEST else None  # nan is not a stay either


def stay_among(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    for name, value in headers:
        if len(name) == 13 and name.lower() == b"server-timing":
            return stay_in(value)
    return None
