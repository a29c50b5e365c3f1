"""When processes were stopped by a signal, as samples tell it."""

from collections.abc import Iterator, Mapping, Sequence

from loadtests.analysis.inputs.sample_parts import Sample, SamplePart


class _Stops(SamplePart):
    stopped: Mapping[str, tuple[tuple[float, float], ...]] = {}


def within(
    window: tuple[float, float], samples: Sequence[Sample]
) -> dict[str, list[tuple[float, float]]]:
    """The intervals in which processes were stopped in a window (monotonic seconds), by name."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name, begin, end in stops(samples):
        begin, end = max(begin, window[0]), min(end, window[1])
        if end > begin:
            found.setdefault(name, []).append((begin, end))
    return found


def stops(samples: Sequence[Sample]) -> Iterator[tuple[str, float, float]]:
    """The processes that were stopped, from when to when; monotonic seconds."""
    for sample in samples:
        if "stopped" in sample and (told := _Stops.read(sample)):
            for name, spells in told.stopped.items():
                for begin, end in spells:
                    yield name, begin, end
