"""When each request of an open stage is meant to start. Pure: no clock, no gevent."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile

from loadtests.stages import Stage


@dataclass(frozen=True, slots=True)
class Share:
    """Which of the generators this one is: number `index` of `of`, counted from 0."""

    index: int = 0
    of: int = 1


def arrivals(stage: Stage, share: Share) -> Iterator[float]:
    """
    This generator's intended starts in an open stage: seconds from its beginning, rising.

    The same stage and share give the same moments. All shares together are one stream of
    `stage.level` requests per second: evenly spaced, or a Poisson process (the union of
    independent ones is one).
    """
    moments = (_even if stage.arrivals == "even" else _poisson)(stage, share)
    length = stage.settle + stage.measure
    return takewhile(lambda moment: moment < length, moments)


def _even(stage: Stage, share: Share) -> Iterator[float]:
    # The generators take turns. A product, since a sum of periods would drift.
    return (number / stage.level for number in count(share.index, share.of))


def _poisson(stage: Stage, share: Share) -> Iterator[float]:
    draw = random.Random(f"arrivals/{stage.seed}/{stage.number}/{share.index}/{share.of}")
    rate, moment = stage.level / share.of, 0.0
    while True:
        moment += draw.expovariate(rate)
        yield moment
