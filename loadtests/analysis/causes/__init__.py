"""Which resource holds throughput back at a level, and by what one sees it."""

from loadtests.analysis.causes.binding import (
    limits,
)

__all__ = [
    "limits",
]
