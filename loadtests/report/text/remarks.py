"""What there is to say of points, grouped by its kind: a terminal has no room for each of them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from loadtests.analysis.numbers import loads
from loadtests.report.text import states
from loadtests.results import Point

_ANY = "#"  # any number
_LONGEST = 160  # characters of a remark on a single point
_TOO_FEW = re.compile(r"[\d,]+ successful requests? (?:are|is) too few for (.*)")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,.]*")  # not that in p95


@dataclass(frozen=True, slots=True)
class Remark:
    """`valid`: the points that it is made on are."""

    text: str
    valid: bool


def grouped(points: Sequence[Point]) -> list[Remark]:
    """
    Return a remark for each kind of problem: on all of its points, in full on a single one.

    Points that are not valid come first; the first problem of each is the one that it is told by.
    """
    kinds: dict[tuple[bool, str], list[tuple[Point, str]]] = {}
    for point in points:
        for number, text in enumerate(states.remarks(point)):
            key = (point.valid or number > 0, _kind(text))
            kinds.setdefault(key, []).append((point, text))
    return [
        _remark(noted, kind, found)
        for (noted, kind), found in sorted(kinds.items(), key=lambda item: item[0][0])
    ]


def _remark(noted: bool, kind: str, found: Sequence[tuple[Point, str]]) -> Remark:
    (point, text), *others = found
    first = f"{point.deployment} at {point.level:,}: {short(text)}"
    if not others:
        return Remark(first, valid=noted)
    if _ANY in kind:  # its numbers are those of each point
        alike = "; ".join(_places(point for point, _ in others))
        return Remark(f"{first}; with other numbers {alike}", valid=noted)
    where = "; ".join(_places(point for point, _ in found))
    what = "points are invalid" if not noted else "points"
    return Remark(f"{len(found)} {what}: {kind} ({where})", valid=noted)


def _places(points: Iterable[Point]) -> Iterator[str]:
    """The levels, by deployment."""
    levels: dict[str, list[float]] = {}
    model = "closed"
    for point in points:
        levels.setdefault(point.deployment, []).append(point.level)
        model = point.model
    for name, those in levels.items():
        yield f"{name} at {loads(those, model)}"


def _kind(text: str) -> str:
    """What a remark says up to its first colon or semicolon, with _ANY in place of numbers."""
    if few := _TOO_FEW.match(text):
        return f"too few successful requests for {few[1]}"
    return _NUMBER.sub(_ANY, reason(text))


def reason(text: str) -> str:
    """Return a remark up to its first colon or semicolon."""
    return text.partition(": ")[0].partition("; ")[0]


def short(text: str) -> str:
    """Return a remark without what follows its second colon, which the report has."""
    first, *rest = text.split(": ")
    short = ": ".join([first, *rest[:1]])
    if len(short) > _LONGEST:
        return f"{short[:_LONGEST].rsplit(' ', 1)[0]} ..."
    return short
