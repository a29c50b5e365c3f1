"""What a CPU quota of the deployment's own does to it, as in a container: that is the service's."""

import math
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.resources import inside
from loadtests.analysis.inputs.sample_parts import Sample, SamplePart
from loadtests.analysis.numbers import percent, rounded

THROTTLED = 0.01  # of the periods: with less it is not worth a word


class QuotaUse(SamplePart):
    """The CPU quota since the last sample. `stopped` in seconds."""

    cores: float
    periods: int
    throttled: int
    stopped: float = 0.0


class _Limited(SamplePart):
    quota: QuotaUse | None = None


def cores(name: str, samples: Sequence[Sample]) -> float | None:
    """Return the cores that the quotas of a deployment's own allow; None: there is none."""
    return min((one.cores for one in _quotas(name, samples)), default=None)


def notes(records: Sequence[StageRecord], samples: Sequence[Sample]) -> Iterator[str]:
    """Yield how often its own quota stopped a deployment in its windows, unless hardly ever."""
    name = records[0].stage.deployment
    seen = list(_quotas(name, [now for one in records for _, now in inside(one, samples)]))
    stopped, periods = sum(one.throttled for one in seen), sum(one.periods for one in seen)
    if stopped <= THROTTLED * periods:
        return
    least = min(one.cores for one in seen)
    size = f"{rounded(least, 3)} {'core' if least == 1 else 'cores'}"
    share = percent(stopped / periods)
    yield f"the deployment's own CPU quota of {size} stopped it in {share} of the quota's periods"


def _quotas(name: str, samples: Sequence[Sample]) -> Iterator[QuotaUse]:
    for sample in samples:
        processes = sample.get("processes")
        try:
            found = _Limited.model_validate(processes[name]) if processes else None
        except (KeyError, TypeError, ValidationError):  # none, or of another version
            continue
        if found and found.quota and 0 < found.quota.cores < math.inf:
            yield found.quota
