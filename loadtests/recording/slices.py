"""What one generator saw in a quarter second: small, additive, by the start of the requests.

Everything that a point says is computed from slices, so they carry sums only: adding the slices of
two generators, or of two repeats, gives the slice of both. A slice may be sent more than once for
the same quarter second (a slow answer arrives when its slice has long been sent); the parts add.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from loadtests.recording.histograms import Histogram
from loadtests.recording.phases import PhaseSums

LENGTH = 0.25  # seconds
OTHER_NAMES = "other names"  # of requests, beyond the names that are told apart


@dataclass(slots=True, kw_only=True)
class Slice:
    """
    Requests of one kind that *started* in [index * LENGTH, (index + 1) * LENGTH) of a stage.

    In the open model a request starts when it was *meant* to, whether it could be sent then or not.

    Starts count in the quarter second in which they happen, ends in theirs. Leads are seconds: a
    start (or an end) at time s adds (end of its quarter second - s) to `start_lead` (`end_lead`).
    From these four sums the seconds in flight of every quarter second follow exactly
    (`seconds_in_flight`), however long a request lasts.
    """

    stage: int
    index: int
    request: str
    started: int = 0
    start_lead: float = 0.0
    ended: int = 0
    end_lead: float = 0.0
    succeeded: int = 0  # of those that ended here
    ok: Histogram = field(default_factory=Histogram)  # service times by start, successes
    response: Histogram = field(default_factory=Histogram)  # response times of `ok`; open model
    failed: Histogram = field(default_factory=Histogram)  # service times by start, failures
    kinds: dict[str, int] = field(default_factory=dict)  # failures by kind, by start
    statuses: dict[str, int] = field(default_factory=dict)  # successes by status, by start
    bytes: int = 0  # of the bodies of successes, by start
    followed: int = 0  # of those that started here, those whose user had an answer before
    idle: float = 0.0  # seconds from that answer to the start, over all `followed`
    phases: PhaseSums = field(default_factory=PhaseSums)  # of those of `ok` that told them
    unsent: int = 0  # meant to start here and never sent; in none of the other counts

    def add(self, other: "Slice") -> None:
        """Take in another part of the same quarter second."""
        self.started += other.started
        self.start_lead += other.start_lead
        self.ended += other.ended
        self.end_lead += other.end_lead
        self.succeeded += other.succeeded
        self.ok.add(other.ok)
        self.response.add(other.response)
        self.failed.add(other.failed)
        for kind, count in other.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count
        self.bytes += other.bytes
        self.followed += other.followed
        self.idle += other.idle
        self.phases.add(other.phases)
        self.unsent += other.unsent


def merged(slices: Iterable[Slice]) -> list[Slice]:
    """One slice for each (stage, index, request), in this order; the parts are left as they are."""
    whole: dict[tuple[int, int, str], Slice] = {}
    for part in slices:
        key = (part.stage, part.index, part.request)
        if key not in whole:
            whole[key] = Slice(stage=part.stage, index=part.index, request=part.request)
        whole[key].add(part)
    return [whole[key] for key in sorted(whole)]


def seconds_in_flight(slices: Sequence[Slice], count: int) -> list[float]:
    """
    Seconds that requests spent in flight in each of the first `count` quarter seconds.

    Divided by LENGTH it is the mean number of requests in flight, the N of Little's law, failures
    included.

    Args:
        slices: of one stage, whole (every request has ended), any requests and order.
        count: how many quarter seconds, from the stage's beginning.
    """
    starts, ends = [0] * count, [0] * count
    leads = [0.0] * count
    for part in slices:
        if part.index < count:
            starts[part.index] += part.started
            ends[part.index] += part.ended
            leads[part.index] += part.start_lead - part.end_lead
    flight, carried = [], 0
    for index in range(count):
        flight.append(carried * LENGTH + leads[index])
        carried += starts[index] - ends[index]
    return flight


def whole_slices(seconds: float) -> float:
    """The time rounded up to whole slices; seconds."""
    return math.ceil(round(seconds / LENGTH, 6)) * LENGTH
