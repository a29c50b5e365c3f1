"""Where the time of responses went: of the mean one, and of those at a quantile."""

import math
from collections.abc import Iterable

from loadtests.analysis.words import duration
from loadtests.phases import NAMES, Bin, PhaseSums
from loadtests.results import QUANTILES

REST = "rest"
"""What the service does not account for: the way back, the rest of the body, the client."""
SHOWN = ("p50", "p95")
_ENOUGH = 0.9  # of the responses must tell theirs
_AROUND, _AROUND_SHARE = 30, 0.02  # responses averaged at a quantile, or a part of all
# Seconds, or a part of the mean time: how much longer than it the phases may be, and how much of
# it may stay without a phase.
_OVER, _OVER_SHARE = 0.001, 0.02
_LOST, _LOST_SHARE = 0.005, 0.2


def phases(sums: PhaseSums, responses: int) -> tuple[dict[str, dict[str, float]], str | None]:
    """
    Seconds by phase, of the "mean" response and of those at "p50" and "p95"; and what is wrong.

    Each adds up to the mean service time of the responses that it was taken from: REST completes
    it; where the phases are longer than the time, by no more than clocks explain, they are scaled.
    At a quantile these are _AROUND responses, or _AROUND_SHARE of all where that is more: as many
    above it as below, and fewer where there are too few above. Of a bin that lies among them in
    part a part is taken, so the times are as coarse as the bins.

    Empty, and nothing is wrong, where the service tells nothing. Empty, and the problem in words,
    where too few responses tell, or what they tell is not their time.

    Args:
        responses: all that were successful, whether they told or not.
    """
    bins = list(sums.bins())
    count = sum(one.count for one in bins)
    if not count:
        return {}, None
    if count < _ENOUGH * responses:
        told = f"{count:,} of {responses:,} responses told"
        return {}, f"phases unknown: {told} where their time went"
    seconds, parts = _mean(bins, 0, count)
    rest = seconds - sum(parts)
    if rest < -max(_OVER, _OVER_SHARE * seconds):
        told = f"those told are {duration(-rest)} longer than the mean response"
        return {}, f"phases unknown: {told} of {duration(seconds)}"
    if rest > max(_LOST, _LOST_SHARE * seconds):
        told = f"{duration(rest)} of the mean {duration(seconds)}"
        return {}, f"phases unknown: the service does not account for {told}"
    found = {"mean": _completed(seconds, parts)}
    for name in SHOWN:
        middle = math.ceil(round(QUANTILES[name] * count, 9)) - 0.5
        most = max(_AROUND, _AROUND_SHARE * count) / 2
        half = min(most, middle, count - middle)
        found[name] = _completed(*_mean(bins, middle - half, middle + half))
    return found, None


def _mean(bins: Iterable[Bin], first: float, last: float) -> tuple[float, list[float]]:
    """The mean time, and the mean of each phase, of the responses at these ranks."""
    taken, seconds, parts = 0.0, 0.0, [0.0] * len(NAMES)
    passed = 0
    for one in bins:
        overlap = min(passed + one.count, last) - max(passed, first)
        passed += one.count
        if overlap > 0:
            share = overlap / one.count
            taken += overlap
            seconds += share * one.total
            parts = [sum_ + share * part for sum_, part in zip(parts, one.phases, strict=True)]
    return seconds / taken, [part / taken for part in parts]


def _completed(seconds: float, parts: list[float]) -> dict[str, float]:
    """By name, so that they add up to `seconds`."""
    told = sum(parts)
    scale = min(seconds / told, 1.0) if told else 1.0
    named = {name: part * scale for name, part in zip(NAMES, parts, strict=True)}
    return {**named, REST: max(seconds - told, 0.0)}
