"""What the mock said of itself in a sample, as far as the analysis reads it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import Field

from loadtests.analysis.inputs.sample_parts import Lenient, SamplePart

Count = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LedgerInFlight(SamplePart):
    seconds: float
    """Spent in the mock by all requests so far."""
    peak: Annotated[Count | None, Lenient] = None
    """Since the sample before."""


class LedgerFidelity(SamplePart):
    """How exact the mock was in its last full second."""

    reasons: tuple[str, ...] = ()
    lag: float = 0.0
    not_ok_seconds: int = 0
    """Seconds with a reason, of all since the counts began."""


class LedgerConnections(SamplePart):
    accepted: Count


class LedgerDelays(SamplePart):
    """How many there were, and their seconds in all."""

    count: Count
    total: Count


class Queue(SamplePart):
    """The queue of the upstream's servers."""

    servers: Annotated[int, Field(ge=1)]
    waiting: Count = 0.0
    busy_seconds: Count = 0.0


class LedgerReading(SamplePart):
    """All counts go on from sample to sample; what is None was not told."""

    epoch: str
    """Of the process."""
    generation: int = 1
    """Of the counts: another one means that somebody reset them."""
    dropped: int = 0
    version: int = 1
    """Of the profile."""
    elapsed: float
    in_flight: LedgerInFlight
    fidelity: LedgerFidelity = LedgerFidelity()
    arrivals: Annotated[Count | None, Lenient] = None
    answers: Annotated[dict[int, Count] | None, Lenient] = None
    unanswered: Annotated[Count | None, Lenient] = None
    refused: Annotated[dict[str, Count] | None, Lenient] = None
    connections: Annotated[LedgerConnections | None, Lenient] = None
    queue: Annotated[Queue | None, Lenient] = None
    asked: Annotated[LedgerDelays | None, Lenient] = None
    queued: Annotated[LedgerDelays | None, Lenient] = None
    service: Annotated[LedgerDelays | None, Lenient] = None
    delivered: Annotated[LedgerDelays | None, Lenient] = None
    overdue: Annotated[dict[float, Count] | None, Lenient] = None
    """How many of `delivered` were later than this many seconds; None in earlier versions."""

    @classmethod
    def of(cls, sample: Mapping[str, Any]) -> Self | None:
        """None: the mock was not asked, or did not answer."""
        return cls.read(sample.get("mock"))

    def continues(self, before: "LedgerReading") -> bool:
        """Whether its counts go on from those before; otherwise they began again."""
        return (self.epoch, self.generation) == (before.epoch, before.generation)


def with_ledgers(samples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The samples with their ledgers read, so that none is read twice."""
    return [
        {**sample, "mock": LedgerReading.of(sample)} if "mock" in sample else sample
        for sample in samples
    ]
