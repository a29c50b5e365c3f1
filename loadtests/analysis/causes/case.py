"""A level in question, and what is found about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.analysis.causes.demand import Demand, usable_cores
from loadtests.analysis.causes.observations import Observation
from loadtests.analysis.law import Law
from loadtests.analysis.numbers import load
from loadtests.results import Ceiling, Resource

FULL = 0.9  # of a resource
ROOM = 0.8  # of the CPU: below, it is not what binds
QUEUE = 0.5  # requests, in the mean, that wait
NEAR = 0.7  # of a ceiling: with less throughput, something else holds the resource


@dataclass(frozen=True, slots=True)
class Case:
    """A level in question, with what it is compared with."""

    now: Observation
    low: Observation
    levels: Sequence[Observation]  # of the same deployment, rising
    takes: Demand
    ceilings: Sequence[Ceiling]
    law: Law

    @property
    def below(self) -> str:
        """The level that it is compared with, in words."""
        return load(self.low.level, self.low.point.model)

    def ceiling(self, resource: Resource) -> Ceiling | None:
        """The lowest of this resource."""
        return next((one for one in self.ceilings if one.resource == resource), None)

    def near(self, resource: Resource) -> bool:
        """Whether throughput can be near to what it permits; True where that is not known."""
        return self.reaches(self.ceiling(resource))

    def reaches(self, ceiling: Ceiling | None) -> bool:
        """Whether throughput, by its interval, can be near to the ceiling; True without one."""
        highest = max(self.now.point.throughput.high or 0.0, self.now.throughput)
        return ceiling is None or self.served(highest) >= NEAR * ceiling.throughput

    def served(self, throughput: float) -> float:
        """
        This throughput with the requests that fail at any load.

        They take as much of a ceiling as those that succeed.
        """
        return throughput / (1 - min(self.low.failing, self.now.failing, 0.9))

    @property
    def cpu(self) -> float | None:
        """The used part of the cores that its processes can use, or of its busiest one's."""
        now = self.now
        shares = [] if now.cpu is None else [now.cpu / usable_cores(now)]
        if now.busiest is not None:
            shares.append(now.busiest)
        if now.gauges and now.gauges.loop_cpu is not None:
            shares.append(now.gauges.loop_cpu)
        return max(shares, default=None)

    @property
    def in_flight(self) -> float:
        """Requests in flight, in the mean: users may think, or send several at a time."""
        point = self.now.point
        return float(point.level) if point.in_flight is None else point.in_flight

    @property
    def lag(self) -> float | None:
        return self.now.gauges.lag if self.now.gauges else None


@dataclass(frozen=True, slots=True)
class Found:
    """`why` in words; `ceiling`: the one that was met, where it is not the resource's lowest."""

    resource: Resource
    utilisation: float | None
    why: str
    ceiling: Ceiling | None = None


def full(used: float, limit: float, waiting: float) -> bool:
    """Whether all places are used. With more waiting than there are, an empty one is on its way."""
    return used >= FULL * limit or waiting >= limit
