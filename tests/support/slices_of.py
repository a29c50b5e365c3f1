"""Many requests whose times are known, as the slices in which a generator would report them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loadtests.recording.histograms import LONGEST, Histogram
from loadtests.recording.slices import LENGTH, Slice

_TICKS = 1_000_000  # in a second
_KEY = 1 << 15  # more than a histogram has buckets


def slices_of(
    stage: int,
    starts: ArrayLike,
    ends: ArrayLike,
    failed: ArrayLike,
    *,
    names: Sequence[str] = ("/",),
    chosen: ArrayLike | None = None,
    idle: ArrayLike | None = None,
    model: str = "closed",
    kind: str = "503",
    status: str = "200",
    body: int = 0,
) -> dict[tuple[int, str], Slice]:
    """
    The slices by (index, name), equal to those of requests recorded one after the other.

    Args:
        starts, ends: seconds since the stage began, one of each for a request.
        failed: whether each request failed.
        chosen: the place in `names` of each request; all are of the first name when not given.
        idle: seconds from the same user's answer before; nan where it is not known.
        kind: of all failures.
        status, body: of all successes, the body in bytes; without a status none is counted.
    """
    start, end = np.asarray(starts, dtype=float), np.asarray(ends, dtype=float)
    wrong = np.asarray(failed, dtype=bool)
    if not len(start):
        return {}
    name = np.zeros(len(start), dtype=int) if chosen is None else np.asarray(chosen, dtype=int)
    first, last = (start / LENGTH).astype(int), (end / LENGTH).astype(int)
    width = len(names)
    places, of = np.unique(
        np.concatenate([first * width + name, last * width + name]), return_inverse=True
    )
    begin, finish = of[: len(start)], of[len(start) :]
    count = len(places)

    def sums(where: NDArray[np.int_], weights: NDArray[np.float64] | None = None) -> list[float]:
        found: list[float] = np.bincount(where, weights, minlength=count).tolist()
        return found

    ok = histograms(begin[~wrong], (end - start)[~wrong], count)
    lost = histograms(begin[wrong], (end - start)[wrong], count)
    known = np.zeros(len(start), bool) if idle is None else ~np.isnan(np.asarray(idle, float))
    pauses = np.where(known, 0.0 if idle is None else np.asarray(idle, float), 0.0)
    columns = zip(
        places.tolist(),
        sums(begin),
        sums(begin, (first + 1) * LENGTH - start),
        sums(finish),
        sums(finish, (last + 1) * LENGTH - end),
        sums(finish[~wrong]),
        sums(begin[known]),
        sums(begin[known], pauses[known]),
        ok,
        lost,
        strict=True,
    )
    found = {}
    for place, began, lead, ended, end_lead, succeeded, followed, pause, right, bad in columns:
        index, request = place // width, names[place % width]
        found[index, request] = Slice(
            stage=stage,
            index=index,
            request=request,
            started=began,
            start_lead=lead,
            ended=ended,
            end_lead=end_lead,
            succeeded=succeeded,
            ok=right,
            response=_copy(right) if model == "open" else Histogram(),
            failed=bad,
            kinds={kind: bad.count} if bad.count else {},
            statuses={status: right.count} if status and right.count else {},
            bytes=body * right.count,
            followed=followed,
            idle=pause,
        )
    return found


def histograms(of: NDArray[np.int_], seconds: NDArray[np.float64], count: int) -> list[Histogram]:
    """
    `count` histograms, equal to those that `Histogram.record` makes.

    Args:
        of: the histogram of each duration, from 0.
        seconds: the durations.
    """
    found = [Histogram() for _ in range(count)]
    ticks = np.clip((seconds * _TICKS + 0.5).astype(np.int64), 1, int(LONGEST * _TICKS))
    shift = np.maximum(np.frexp(ticks)[1] - 11, 0)
    keys, counts = np.unique(of * _KEY + (shift << 10) + (ticks >> shift), return_counts=True)
    for key, number in zip(keys.tolist(), counts.tolist(), strict=True):
        histogram = found[key // _KEY]
        histogram._counts[key % _KEY] = number
        histogram._total += number
        histogram._seconds = None
    return found


def _copy(histogram: Histogram) -> Histogram:
    made = Histogram()
    made.add(histogram)
    return made
