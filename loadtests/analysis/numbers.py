"""Numbers inside sentences: rounded as one says them. Tables show more (see report/)."""

import math
from collections.abc import Sequence

_SHORTEST = 1e-6  # seconds


def duration(seconds: float, digits: int = 3) -> str:
    """E.g. "82.1 ms", "1.3 s"; nothing that is measured here resolves a microsecond."""
    if 0 < seconds < _SHORTEST:
        return f"less than {rounded(_SHORTEST * 1000, 1)} ms"
    if seconds < 0.9995:
        return f"{rounded(seconds * 1000, digits)} ms"
    return f"{rounded(seconds, digits)} s"


def rate(per_second: float) -> str:
    """E.g. "772/s", "19.8/s"."""
    return f"{rounded(per_second, 3)}/s"


def users(level: float) -> str:
    """E.g. "1 user", "38 users", "2.4 users"."""
    number = f"{level:.0f}" if level == round(level) or level >= 10 else f"{level:.1f}"
    return f"{float(number):,g} {'user' if float(number) == 1 else 'users'}"


def load(level: float, model: str) -> str:
    """A level as what it counts: "38 users" in the closed model, "900/s" in the open one."""
    return rate(level) if model == "open" else users(level)


def loads(levels: Sequence[float], model: str) -> str:
    """E.g. "40 and 80 users", "1 user", "400/s, 600/s and 800/s"."""
    *first, last = levels
    if model == "open":
        before = [rate(level) for level in first]
    else:
        before = [users(level).split()[0] for level in first]
    return " and ".join(filter(None, (", ".join(before), load(last, model))))


def percent(ratio: float) -> str:
    """E.g. "7.6 %"; what is not zero never reads as zero."""
    if 0 < ratio < 0.0001:
        return "less than 0.01 %"
    return f"{rounded(100 * ratio, 2 if ratio < 0.1 else 3)} %"


def rounded(value: float, digits: int) -> str:
    """The value with `digits` significant digits, whole numbers kept whole: "2,950", "0.0123"."""
    if not value:
        return "0"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
