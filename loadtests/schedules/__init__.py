"""Each module here is one way to choose the next stage; its file name is its name."""

from loadtests.schedules.schedule import (
    Played,
    Schedule,
    Step,
)

__all__ = [
    "Played",
    "Schedule",
    "Step",
]
