"""Texts for the resource that binds: next to a point, in a tooltip, in full behind a click."""

from collections.abc import Sequence

from loadtests.report.text import numbers
from loadtests.results import Limit, Point, Resource

_SOURCES = {
    "telemetry": "By the telemetry of the service.",
    "outside": "Judged from outside: the service sent no telemetry.",
}


def name(resource: Resource) -> str:
    """The name of a resource in a table, which has little room."""
    return "slots" if resource == "concurrency-limit" else resource


def said(point: Point) -> str:
    """The resource; a dash where throughput follows the load."""
    return numbers.MISSING if point.limit is None else name(point.limit.resource)


def tip(point: Point) -> str:
    """The sentence for a tooltip; empty where nothing binds."""
    return "" if point.limit is None else f"{point.limit.resource}: {point.limit.why}"


def sentences(limit: Limit) -> str:
    """Why it binds, what an experiment said, what would bind next, and what to do."""
    told = [text for text in (limit.why, limit.experiment, limit.next, limit.advice) if text]
    return " ".join(f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in told)


def figures(limit: Limit) -> str:
    """E.g. "99 % used, ceiling 769/s"; empty where neither is known."""
    parts = []
    if limit.utilisation is not None:
        parts.append(f"{100 * limit.utilisation:.0f} % used")
    if limit.ceiling is not None:
        parts.append(f"ceiling {numbers.rate(limit.ceiling)}")
    return ", ".join(parts)


def source(limit: Limit) -> str:
    """Which evidence it rests on."""
    return _SOURCES[limit.source]


def any_of(points: Sequence[Point]) -> bool:
    """Whether a column of limits would say anything."""
    return any(point.limit is not None for point in points)
