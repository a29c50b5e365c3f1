"""How hard the deployments are loaded, and for how long."""

from itertools import pairwise
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from loadtests.plans.fields import Duration, SlicesDuration, Whole
from loadtests.plans.pace import LONGEST
from mock_upstream.units.durations import format_duration
from mock_upstream.units.tables import StrictTable

Model = Literal["closed", "open"]
Arrivals = Literal["poisson", "even"]
MODELS: tuple[str, ...] = get_args(Model)
ARRIVALS: tuple[str, ...] = get_args(Arrivals)


def _rising(levels: tuple[int, ...]) -> tuple[int, ...]:
    if not levels:
        raise ValueError("[] is empty; at least one is needed, for example levels = [1, 5, 10]")
    for low, high in pairwise(levels):
        if high <= low:
            raise ValueError(f"{high} follows {low}; levels rise, and each is there once")
    return levels


def _at_least_a_second(seconds: float) -> float:
    if seconds < 1:
        raise ValueError(f"{format_duration(seconds)!r} is too short; 1s is the least to judge by")
    return seconds


class Load(StrictTable):
    """
    How hard, and for how long. In the closed model a level is a number of users, in the open one
    requests per second.
    """

    model: Model = "closed"
    arrivals: Arrivals = "poisson"
    """How requests come in the open model: at random moments, or evenly."""
    levels: Annotated[
        tuple[Annotated[Whole, Field(ge=1, le=20_000)], ...],
        AfterValidator(_rising),
    ] = Field(default=(1, 5, 10, 20, 40, 80, 160), examples=[[1, 5, 10]])
    settle: SlicesDuration = 2.0
    """Unrecorded, at the begin of each stage."""
    measure: Annotated[SlicesDuration, AfterValidator(_at_least_a_second)] | None = None
    """Recorded in each stage. Without, as long as it takes; see loadtests.plans.pace."""
    think_time: Duration = 0.0
    """Between an answer and the same user's next request."""
    repeats: Annotated[Whole, Field(ge=1, le=1000)] = Field(default=1, examples=[3])
    restart: bool | None = None
    """Restart what was started before each repeat; without it, where there are repeats."""

    @property
    def longest(self) -> float:
        """Seconds that are recorded in a stage, at most."""
        return LONGEST if self.measure is None else self.measure

    @property
    def restarts(self) -> bool:
        """
        Whether deployments are restarted between repeats, so that an interval holds for the next
        start as well: starts of one service differ by some per cent.
        """
        return self.repeats > 1 if self.restart is None else self.restart
