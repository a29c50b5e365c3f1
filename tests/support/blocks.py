"""Blocks as a comparison takes them, made of plain arithmetic."""

from loadtests.analysis.verdicts.blocks import Block
from loadtests.analysis.verdicts.config import ComparisonConfig
from loadtests.schedules import Played
from loadtests.schedules.interleaved import Interleaved

USUAL = {
    "p50": 0.05,
    "p95": 0.08,
    "p99": 0.15,
    "throughput": 700.0,
    "errors": 0.0,
    "cpu": 0.001,
    "memory": 6e7,
}


def terms(**changed):
    values = {"a": "base", "b": "head", "at": (40,), "round_seconds": 14.5, "within": 360.0}
    return ComparisonConfig(**{**values, **changed})


def block(deployment, level=40, *, times=1.0, at=0.0, wrong=(), kinds=None, **values):
    """`times`: by how much the response times are multiplied."""
    found = {**USUAL, **values}
    for name in ("p50", "p95", "p99"):
        found[name] = found[name] * times
    return Block(deployment, level, at, 1700, found, wrong, kinds=kinds or {})


def contested(terms, made, *, seconds=None):
    """
    The blocks of a whole comparison, played by the schedule itself.

    Args:
        made: (step, round) -> Block.
        seconds: that a stage takes; those of the terms when it is not given.
    """
    schedule, so_far = Interleaved(terms), []
    each = terms.round_seconds / terms.size if seconds is None else seconds
    while (step := schedule.next_stage(None, so_far)) is not None:
        found = made(step, len(so_far) // terms.size)
        so_far.append(Played(step, None, 0.0, block=found, seconds=each))
    return [one.block for one in so_far]
