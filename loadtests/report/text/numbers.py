"""Numbers as people read them: three digits, a unit, and an interval rounded outwards."""

import math
from typing import Literal

from loadtests.plans import slos
from loadtests.results import Capacity, Errors, Estimate, Knee, Point

MISSING = "–"  # noqa: RUF001
# "fitting": ±half, or (low to high) where the sides differ; "compact": these with a digit less.
Interval = Literal["fitting", "ends", "compact", "none"]


def duration(seconds: float) -> str:
    """E.g. "51.2 ms", "1.23 s"."""
    scale, unit = _time_unit(seconds)
    return f"{_digits(seconds * scale)} {unit}"


def short_duration(seconds: float) -> str:
    """A short duration: two digits or the whole number, e.g. "51 ms", "253 ms", "1.2 s"."""
    scale, unit = _time_unit(seconds)
    value = seconds * scale
    return f"{value:.{max(_decimals(value) - 1, 0)}f} {unit}"


def duration_estimate(estimate: Estimate | None, interval: Interval = "fitting") -> str:
    """E.g. "80.3 ±0.9 ms", or with both ends in brackets where the interval is lopsided."""
    if estimate is None:
        return MISSING
    scale, unit = _time_unit(estimate.value)
    return f"{_scaled(estimate, interval, scale)} {unit}"


def rate(per_second: float) -> str:
    """E.g. "771/s", "9.43/s"."""
    return f"{_digits(per_second)}/s"


def rate_estimate(estimate: Estimate | None, interval: Interval = "fitting") -> str:
    """E.g. "771 ±10/s"."""
    return MISSING if estimate is None else f"{_scaled(estimate, interval)}/s"


def ratio_estimate(estimate: Estimate | None) -> str:
    """Its value and both ends with two decimals: the sides of a ratio are never quite alike."""
    return MISSING if estimate is None else _scaled(estimate, "ends", decimals=2)


def level(value: float) -> str:
    """A computed number of users: "9.70", "39.6", "1,250"."""
    return _digits(value)


def level_estimate(estimate: Estimate) -> str:
    """Its value, then both ends of its interval in brackets."""
    return _scaled(estimate, "ends")


def knee_level(knee: Knee) -> str:
    """E.g. "39.6 (38.1–41.2)", "at or below 80", "above 160", "not known"."""  # noqa: RUF002
    if knee.level is None:
        if knee.high is not None:
            return f"at or below {knee.high:,.0f}"
        if knee.low is None:
            return "not known"
        return f"above {knee.low:,.0f}" if knee.low.is_integer() else f"above {level(knee.low)}"
    return level_estimate(Estimate(value=knee.level, low=knee.low, high=knee.high))


def beyond(knee: Knee) -> str:
    """What throughput does beyond the knee: "flat", "falls by 66.5 (60.1–70.2) %", "errors"."""  # noqa: RUF002
    lost = knee.retrograde
    if lost is None or not knee.beyond:
        return knee.beyond or MISSING
    verb = "falls by" if knee.beyond == "falls" else f"{knee.beyond}, falls by"
    return f"{verb} {_scaled(lost, 'ends', 100, decimals=1)} %"


def capacity(found: Capacity) -> str:
    """E.g. "38 (36–40)", "at least 160"."""  # noqa: RUF002
    if found.level is None:
        return MISSING
    if found.above:
        return f"at least {found.level:,}"
    place = Estimate(value=found.level, low=found.low, high=found.high)
    return _scaled(place, "ends", decimals=0)


def percent(ratio: float) -> str:
    """E.g. "0 %", "0.04 %", "12.3 %"; what is not zero never reads as zero."""
    if not ratio:
        return "0 %"
    value = 100 * ratio
    if value < 0.01:
        return "<0.01 %"
    return f"{value:.2f} %" if value < 1 else f"{value:.1f} %" if value < 100 else "100 %"


def proportion(ratio: float) -> str:
    """A share that can exceed one: "92.6 %", "107 %"."""
    return f"{_digits(100 * ratio)} %"


def slo_estimate(text: str, estimate: Estimate | None) -> str:
    """
    What an SLO such as "p95 < 250ms at 40" measured, in the unit of its metric.

    Of one that compares two deployments it is their ratio.
    """
    if estimate is None:
        return MISSING
    if _compares(text):
        return f"ratio {_scaled(estimate, 'ends')}"
    if text.startswith("throughput"):
        return rate_estimate(estimate)
    if text.startswith("errors"):
        return percent(estimate.value)
    if text.startswith("knee"):
        return _scaled(estimate, "ends")
    return duration_estimate(estimate)


def _compares(text: str) -> bool:
    try:
        return slos.parse(text).against is not None
    except ValueError:  # of another version
        return False


def errors(errors: Errors) -> str:
    """Their share, then how many of each kind, the most frequent first."""
    ranked = sorted(errors.kinds.items(), key=lambda item: (-item[1], item[0]))
    each = ", ".join(f"{count:,} × {kind}" for kind, count in ranked)  # noqa: RUF001
    return percent(errors.rate) + (f" ({each})" if each else "")


def noise(point: Point) -> str:
    """What disturbances can have done, e.g. "throughput up to 12.1/s higher"."""
    found = point.noise
    parts = (
        [f"throughput up to {rate(found['throughput'])} higher"] if "throughput" in found else []
    )
    parts += [
        f"{name} up to {duration(found[name])} lower" for name in ("mean", "p95") if name in found
    ]
    if point.left_out:
        parts.append(f"{duration(point.left_out)} left out")
    return ", ".join(parts) or "none"


def _time_unit(seconds: float) -> tuple[float, str]:
    return (1.0, "s") if seconds >= 0.9995 else (1000.0, "ms")


def _decimals(value: float) -> int:
    """Decimals that leave three digits, at most three."""
    if not value:
        return 0
    rounded = float(f"{abs(value):.3g}")  # 0.9999 is shown as 1.00
    return min(max(2 - math.floor(math.log10(rounded)), 0), 3)


def _digits(value: float) -> str:
    return f"{value:,.{_decimals(value)}f}"


def _scaled(
    estimate: Estimate, interval: Interval, scale: float = 1.0, decimals: int | None = None
) -> str:
    value = estimate.value * scale
    if not math.isfinite(value):
        return "∞"
    decimals = _decimals(value) if decimals is None else decimals
    text = f"{value:,.{decimals}f}"
    if interval == "none" or estimate.low is None or estimate.high is None:
        return text
    low, high = estimate.low * scale, estimate.high * scale
    below, above = value - low, high - value
    unit = 10**decimals
    lopsided = max(below, above) > 1.6 * min(below, above)
    if interval == "ends" or lopsided:
        if interval == "compact":
            decimals = max(decimals - 1, 0)
            unit = 10**decimals
        floor, ceiling = math.floor(low * unit) / unit, math.ceil(high * unit) / unit
        return f"{text} ({floor:,.{decimals}f}–{ceiling:,.{decimals}f})"  # noqa: RUF001
    half = math.ceil(round(max(below, above) * unit, 6)) / unit
    return f"{text} ±{half:,.{decimals}f}"
