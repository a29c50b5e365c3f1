"""The parts of samples, as far as the analysis reads them; other versions may have written them."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

Sample = Mapping[str, Any]


def json_table(value: Any, *keys: str) -> dict[str, Any]:
    """Return the JSON object under these keys; empty where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, dict) else {}


def _or_nothing(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    """A part that cannot be read is not there; the others are."""
    try:
        return handler(value)
    except ValidationError:
        return None


Lenient = WrapValidator(_or_nothing)


class SamplePart(BaseModel):
    """A part of what `samples.Sampler` writes."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Return None where there is no such part, or that of another version."""
        try:
            return cls.model_validate(value)
        except ValidationError:
            return None


class SampledProcess(SamplePart):
    cpu: float = 0.0
    wait: float | None = None
    spare_descriptors: int | None = None
    affinity: frozenset[int] = frozenset()


class SampledProcesses(SamplePart):
    """A whole sample, by the processes of ours that it names."""

    processes: dict[str, SampledProcess] = {}
    harness: SampledProcess | None = None

    @property
    def ours(self) -> Mapping[str, SampledProcess]:
        return {**self.processes, **({"": self.harness} if self.harness else {})}
