"""Durations as people write them, `50ms`, and as the code wants them, seconds."""

import re
from decimal import Decimal

LONGEST = 3600.0  # seconds; what the ledger can record, and far beyond any client's timeout

UNITS = {
    "us": Decimal("0.000001"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
}
# Two digits of exponent keep Decimal's own limits out of reach. Digits match in one way only: where
# there are two, a long row of them takes the square of its length.
NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,2})?"
LONGEST_TEXT = 100  # characters
_DURATION = re.compile(rf"({NUMBER})\s*([A-Za-zµ%]*)")


def parse_duration(text: str) -> float:
    """
    Seconds of a number with its unit: us, ms, s or m.

    Raises:
        ValueError: not a number, no unit, an unknown one, negative, or above an hour.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            f"{text[:40]!r}... has more than {LONGEST_TEXT} characters; write 50ms, say"
        )
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a duration; write a number and its unit, such as 50ms")
    number, unit = match.groups()
    if not unit:
        raise ValueError(f"{text!r} has no unit; write {number}ms or {number}s")
    if unit not in UNITS:
        raise ValueError(f"{text!r} has the unknown unit {unit!r}; there are: {', '.join(UNITS)}")
    seconds = Decimal(number) * UNITS[unit]
    if seconds < 0:
        raise ValueError(f"{text!r} is negative; a delay is 0ms or more")
    if seconds > Decimal(LONGEST):
        raise ValueError(f"{text!r} is longer than an hour, the longest delay there is")
    return float(seconds)


def format_duration(seconds: float) -> str:
    """The shortest exact text: `parse_duration` of it gives the same float back."""
    unit = "s" if seconds >= 1 else "ms" if seconds >= 0.001 or seconds == 0 else "us"
    return format_number(Decimal(repr(seconds)) / UNITS[unit]) + unit


def format_number(number: Decimal) -> str:
    """Without an exponent and without trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
