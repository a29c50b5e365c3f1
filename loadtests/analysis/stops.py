"""Whether a process was stopped by a signal while a level was measured."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from loadtests.analysis.records import StageRecord
from loadtests.analysis.validity import Validity
from loadtests.analysis.words import duration

Sample = Mapping[str, Any]

CALLED = {"generator": "the load generator", "mock": "the mock upstream"}


class _Stops(BaseModel):
    """What a sample says of it; see samples.Sampler."""

    model_config = ConfigDict(frozen=True)

    stopped: dict[str, tuple[tuple[float, float], ...]] = {}


def of_windows(records: Sequence[StageRecord], samples: Sequence[Sample]) -> Validity:
    """
    Judge one (deployment, level): it is not valid if one of its windows overlaps a stop of the
    deployment, the load generator or the mock upstream.

    Args:
        samples: all of the run; older versions and other systems know of no stops.
    """
    called = {**CALLED, records[0].stage.deployment: "the deployment"}
    windows = [record.window for record in records if record.window is not None]
    times = dict.fromkeys(called, 0.0)
    for name, begin, end in stops(samples):
        if name in times:
            times[name] += sum(max(min(end, w[1]) - max(begin, w[0]), 0.0) for w in windows)
    problems = tuple(
        f"{called[name]} was stopped by a signal (SIGSTOP) for {duration(seconds)} of the window"
        for name, seconds in times.items()
        if seconds > 0
    )
    return Validity(not problems, problems)


def stops(samples: Sequence[Sample]) -> Iterator[tuple[str, float, float]]:
    """Who was stopped, from when to when; monotonic seconds."""
    for sample in samples:
        if "stopped" in sample:
            try:
                told = _Stops.model_validate(sample)
            except ValidationError:  # of another version
                continue
            for name, spells in told.stopped.items():
                for begin, end in spells:
                    yield name, begin, end
