"""What the mock said of itself in a sample, as far as the analysis reads it."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class InFlight(_Part):
    seconds: float
    """Spent in the mock by all requests so far."""


class Fidelity(_Part):
    """Of the mock's last full second."""

    reasons: tuple[str, ...] = ()
    lag: float = 0.0
    not_ok_seconds: int = 0
    """Seconds with a reason, of all since the counts began."""


class Ledger(_Part):
    epoch: str
    """Of the process."""
    generation: int = 1
    """Of the counts: another one means that somebody reset them."""
    dropped: int = 0
    version: int = 1
    """Of the profile."""
    elapsed: float
    in_flight: InFlight
    fidelity: Fidelity = Fidelity()

    @classmethod
    def of(cls, sample: Mapping[str, Any]) -> Self | None:
        """None: the mock was not asked, or did not answer."""
        try:
            return cls.model_validate(sample.get("mock"))
        except ValidationError:
            return None

    def continues(self, before: "Ledger") -> bool:
        """Whether its counts go on from those before; otherwise they began again."""
        return (self.epoch, self.generation) == (before.epoch, before.generation)
