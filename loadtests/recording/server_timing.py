"""Server-Timing (https://www.w3.org/TR/server-timing/): the phases that a service reports.

What comes from the network is checked before it counts: a header that is not what it should be is
as good as none.
"""

import re
from collections.abc import Iterator, Sequence

from loadtests.recording.phases import TOLD

SENT = "x-sent-mono"
"""The request header with the moment of sending: CLOCK_MONOTONIC, in nanoseconds."""
HEADER = "server-timing"
LONGEST = 4096  # characters; ours take 160
_SLACK, _SHARE = 0.001, 0.02  # seconds, or a part of the time: what clocks and rounding explain

_TOTAL, _BEFORE = "total", "pre_app"
_WITHIN = tuple(name for name in TOLD if name != _BEFORE)  # of the total

_MS = r"([0-9]{1,9}\.[0-9]{3})"
_OURS = re.compile(
    f"{_TOTAL};dur={_MS}(?:, {_BEFORE};dur={_MS})?"
    + "".join(f", {name};dur={_MS}" for name in _WITHIN)
)
"""As our own middleware writes it: a third of the time that the grammar takes."""

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_METRIC = re.compile(rf"[ \t]*({_TOKEN})")
_PARAMETER = re.compile(
    rf'[ \t]*;[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*({_TOKEN}|"(?:[^"\\]|\\.)*"))?', re.DOTALL
)
_END = re.compile(r"[ \t]*(?:,|\Z)")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


def phases(
    header: str | Sequence[str] | None, seconds: float, body: float = 0.0
) -> list[float] | None:
    """
    The phases of a response, in seconds and as phases.NAMES; None when they are not known.

    They are not when the service tells none, or not all of them, or one twice; when the header is
    broken or longer than LONGEST; and when its numbers cannot be: the phases are not the total, or
    longer than the response took.

    Args:
        header: the value of `server-timing`, or its values where it came several times.
        seconds: the service time as the client saw it.
        body: the part of it from the head of the response to its last byte.
    """
    if header is None:
        return None
    if not isinstance(header, str):
        ours = [line for line in header if _OURS.fullmatch(line)]
        header = ours[0] if len(ours) == 1 else ", ".join(header)
    found = _OURS.fullmatch(header)
    told = found.groups("0") if found else _told(header)
    if told is None:
        return None
    total, *parts = [float(milliseconds) / 1000 for milliseconds in told]
    inside = sum(parts) - parts[0]
    before = parts[0]
    slack = max(_SLACK, _SHARE * seconds)
    if abs(inside - total) > slack or inside + before > seconds + slack:
        return None
    return [*parts, body]


def _told(header: str) -> Sequence[str] | None:
    """The total, then the phases as TOLD, in milliseconds; None when one is not there."""
    if len(header) > LONGEST or _WITHIN[0] not in header:  # others time themselves, too
        return None
    wanted = (_TOTAL, *TOLD)
    durations: dict[str, str] = {_BEFORE: "0"}  # without a stamp it is not known to the service
    seen = set()
    try:
        for name, duration in _metrics(header):
            if name not in wanted:
                continue
            if name in seen or duration is None or not _NUMBER.fullmatch(duration):
                return None
            seen.add(name)
            durations[name] = duration
    except ValueError:
        return None
    if len(durations) < len(wanted):
        return None
    return [durations[name] for name in wanted]


def _metrics(header: str) -> Iterator[tuple[str, str | None]]:
    """
    (name, its `dur`) of each metric. Of a parameter that comes twice the first counts.

    Raises:
        ValueError: the header does not follow the grammar.
    """
    at = 0
    while at < len(header):
        metric = _METRIC.match(header, at)
        duration = None
        if metric:  # an element of a list may be empty (RFC 9110, 5.6.1)
            at = metric.end()
            while parameter := _PARAMETER.match(header, at):
                at = parameter.end()
                name, value = parameter.groups()
                if duration is None and value and name.lower() == "dur":
                    duration = value.strip('"')
            yield metric[1], duration
        end = _END.match(header, at)
        if not end:
            raise ValueError(f"not Server-Timing at character {at}: {header[at : at + 20]!r}")
        at = end.end()
