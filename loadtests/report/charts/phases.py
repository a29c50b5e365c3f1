"""Where responses spend their time, by level: stacked bars for the page, and their numbers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from loadtests.analysis.numbers import load
from loadtests.recording.phases import NAMES
from loadtests.report.charts.curves import Curve
from loadtests.report.text import numbers
from loadtests.results import Point, Traced

WORDS = {
    "pre_app": "before the app",
    "thread_wait": "waiting for a thread",
    "pool_wait": "waiting for a connection",
    "connect": "connecting",
    "upstream": "upstream",
    "loop_wait": "waiting for the loop",
    "own": "own work",
    "body": "sending the body",
    "rest": "not accounted for",
}
ORDER = (*NAMES, "rest")
TITLES = {"mean": "The mean response", "p95": "Responses at p95"}
_HEAD = 1.1  # times the highest bar: room for its number
_LABELLED = 7.0  # percent of the height: what a phase takes to have its name next to it
_SHOWN = 0.001  # of the highest bar: what is less cannot be seen


@dataclass(frozen=True, slots=True)
class Part:
    """One phase in a bar. `share` is in percent of the bar."""

    name: str
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One level; `height` is in percent of the plot, `total` in seconds; no parts if unknown."""

    level: int
    total: float
    height: float
    parts: Sequence[Part]
    valid: bool
    told: str

    @property
    def seconds(self) -> dict[str, float]:
        return {part.name: part.seconds for part in self.parts}


@dataclass(frozen=True, slots=True)
class Panel:
    """
    The bars of one deployment for the mean or for p95.

    `ticks` as (percent of the plot's height, text); `labels`: the phases that are thick enough to
    be named next to the last bar, each with its middle in percent of the height.
    """

    name: str
    title: str
    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]
    labels: Sequence[tuple[Part, float]]


def panels(curve: Curve) -> list[Panel]:
    """Mean and p95 on one scale; empty where the service does not tell."""
    totals = [sum(_seconds(point, name).values()) for point in curve.points for name in TITLES]
    if not (highest := max(totals, default=0.0)) > 0:
        return []
    top = _HEAD * highest
    ticks = [(100 * tick / top, _tick(tick)) for tick in _ticks(highest)]
    found = []
    for name, title in TITLES.items():
        bars = [_bar(point, name, top) for point in curve.points]
        if any(bar.parts for bar in bars):
            found.append(Panel(name, title, bars, ticks, list(_labels(bars[-1]))))
    return found


def used(shown: Sequence[Panel]) -> list[str]:
    """The phases that can be seen in them, in their order."""
    bars = [bar for panel in shown for bar in panel.bars]
    least = _SHOWN * max((bar.total for bar in bars), default=0.0)
    seen = {part.name for bar in bars for part in bar.parts if part.seconds > least}
    return [name for name in ORDER if name in seen]


def _seconds(point: Point, name: str) -> dict[str, float]:
    found = point.phases.get(name, {})
    return {phase: max(found[phase], 0.0) for phase in ORDER if phase in found}


def _bar(point: Point, name: str, top: float) -> Bar:
    seconds = _seconds(point, name)
    total = sum(seconds.values())
    height = total / top
    parts = [
        Part(phase, value, 100 * value / total) for phase, value in seconds.items() if value > 0
    ]
    known = point.phases_interval.get(name, {})
    facts = [f"{WORDS[part.name]}: {_tip(part, known)}" for part in reversed(parts)]
    if point.traced and parts:
        facts.append(_traced(point.traced))
    notes = [] if point.valid else [f"not valid: {'; '.join(point.problems)}"]
    told = "\n".join(
        [
            load(point.level, point.model),
            f"{name}: {numbers.duration(total) if seconds else numbers.MISSING}",
            *facts,
            *notes,
        ]
    )
    return Bar(point.level, total, 100 * height, parts, point.valid, told)


def _labels(bar: Bar) -> Iterator[tuple[Part, float]]:
    below = 0.0
    for part in bar.parts:
        height = bar.height * part.share / 100
        if height >= _LABELLED:
            yield part, below + height / 2
        below += height


def _tip(part: Part, known: Mapping[str, tuple[float, float]]) -> str:
    share = f"{part.share:.0f} %" if part.share >= 1 else "<1 %"
    told = f"{numbers.duration(part.seconds)}, {share}"
    if part.name in known:
        low, high = map(numbers.duration, known[part.name])
        told += f" (95 %: {low} to {high})"
    return told


def _traced(traced: Traced) -> str:
    times = f"{numbers.duration(traced.time)}, the others {numbers.duration(traced.others)}"
    return f"{traced.requests:,} traced requests: mean {times}"


def _ticks(highest: float) -> list[float]:
    """Two to five round numbers up to the highest."""
    decade = 10 ** math.floor(math.log10(highest))
    step = next(
        decade * part for part in (0.2, 0.25, 0.5, 1, 2, 2.5) if highest / (decade * part) < 6
    )
    return [step * index for index in range(1, math.floor(highest / step + 1e-9) + 1)]


def _tick(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 0.9995 else f"{seconds * 1000:g} ms"
