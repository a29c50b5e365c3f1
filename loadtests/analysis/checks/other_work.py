"""Names of the processes that are not ours and used the cores, for sentences about the machine."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from loadtests.analysis.inputs.sample_parts import SamplePart
from loadtests.analysis.numbers import percent

MOST = 2  # that a sentence names
LEAST = 0.01  # of a core, in the mean of the windows: less is not named


class OtherProcess(SamplePart):
    """One of those that a sample names."""

    name: str
    pid: int
    cpu: float
    core: int


_NAMED = TypeAdapter(tuple[OtherProcess, ...])


def in_samples(samples: Sequence[Mapping[str, Any]], cores: Collection[int]) -> str:
    """Return what `named` says of whole samples; those of other versions name nothing."""
    found = []
    for sample in samples:
        try:
            found.append(_NAMED.validate_python(sample.get("others", ())))
        except ValidationError:
            found.append(())
    return named(found, cores) if found else ""


def named(samples: Sequence[Sequence[OtherProcess]], cores: Collection[int]) -> str:
    """
    Return the processes that used most, e.g. "python3 (pid 123) used 45 % of core 1, make (pid 9)
    12 %"; empty where none is known.

    Args:
        samples: what each sample of the windows names; their mean is told.
        cores: a process that ran elsewhere is not meant.
    """
    used: dict[tuple[str, int], float] = defaultdict(float)
    for one in (process for sample in samples for process in sample if process.core in cores):
        used[one.name, one.pid] += one.cpu / len(samples)
    where = f" of core {min(cores)}" if len(cores) == 1 else " of a core"
    busiest = sorted(used.items(), key=lambda item: item[1], reverse=True)[:MOST]
    most = [(who, cpu) for who, cpu in busiest if cpu >= LEAST]
    return ", ".join(
        f"{name} (pid {pid}) {'' if place else 'used '}{percent(cpu)}{'' if place else where}"
        for place, ((name, pid), cpu) in enumerate(most)
    )
