"""When requests of a stage are meant to start. Pure: no clock, no gevent."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile

from loadtests.recording.messages import Stage


@dataclass(frozen=True, slots=True)
class GeneratorShare:
    """Which of the generators this one is: number `index` of `of`, counted from 0."""

    index: int = 0
    of: int = 1


def first_starts(stage: Stage, answer: float | None) -> float:
    """
    Seconds over which the first requests of a closed stage's users are spread at random.

    Spread over one cycle, which is an answer and a pause, users are where they would be had the
    load gone on for long, and do not come in waves. As many whole cycles as half of the settling
    time holds are as good, and spare the service a crowd. Of an answer that is longer than the
    settling time the part that fits is taken: everybody has begun when the window does, but for
    those that pause.

    Args:
        answer: the deployment's mean answer so far (seconds); None: nothing is known yet.
    """
    half = stage.settle / 2
    if answer is None:
        return stage.think_time or half
    cycle = min(answer, stage.settle) + stage.think_time
    return half - half % cycle if 0 < cycle < half else cycle


def arrivals(stage: Stage, share: GeneratorShare, beyond: float = 0.0) -> Iterator[float]:
    """
    This generator's intended starts in an open stage: seconds from its beginning, rising.

    The same stage and share give the same moments. All shares together are one stream of
    `stage.level` requests per second: evenly spaced, or a Poisson process (the union of
    independent ones is one).

    Args:
        beyond: seconds by which they go on after the stage's end.
    """
    moments = (_even if stage.arrivals == "even" else _poisson)(stage, share)
    end = stage.settle + stage.measure + beyond
    return takewhile(lambda moment: moment < end, moments)


def _even(stage: Stage, share: GeneratorShare) -> Iterator[float]:
    # The generators take turns. A product, since a sum of periods would drift.
    return (number / stage.level for number in count(share.index, share.of))


def _poisson(stage: Stage, share: GeneratorShare) -> Iterator[float]:
    draw = random.Random(f"arrivals/{stage.seed}/{stage.number}/{share.index}/{share.of}")
    rate, moment = stage.level / share.of, 0.0
    while True:
        moment += draw.expovariate(rate)
        yield moment
