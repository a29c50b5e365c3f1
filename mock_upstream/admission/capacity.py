"""
What an upstream can do at once, and what happens beyond it: the settings.

`mock_upstream.admission.queues` does what they say.
"""

from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)

from mock_upstream.units.durations import Duration
from mock_upstream.units.tables import StrictTable

_TRANSPORT = ("reset", "close", "hang")


def _overflow(value: object) -> object:
    if value in _TRANSPORT:
        return value
    if isinstance(value, int) and 400 <= value <= 599:
        return value
    raise ValueError(
        f"{value!r} is neither an error status, 400 to 599, nor one of {', '.join(_TRANSPORT)}"
    )


Overflow = Annotated[
    int | Literal["reset", "close", "hang"],
    BeforeValidator(_overflow),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 400, "maximum": 599},
                {"type": "string", "enum": list(_TRANSPORT)},
            ]
        }
    ),
]

# Far above what an upstream does to itself, and low enough for the product to stay a number.
Coefficient = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class Slowdown(StrictTable):
    """
    Service times grow with the number of busy servers: the universal scalability law.

    n servers do the work of n / factor(n) (Gunther, Guerrilla Capacity Planning, 2007, ch. 4).
    """

    alpha: Coefficient = 0.0
    """Contention: what cannot be done in parallel."""
    beta: Coefficient = 0.0
    """Coherence: what each pair of servers costs; above 0, throughput falls past a peak."""

    def factor(self, busy: int) -> float:
        """The factor for a service time that starts as one of `busy` working servers."""
        return 1 + (self.alpha + self.beta * busy) * (busy - 1)


class ServerCapacity(StrictTable):
    """How much an upstream can do at once."""

    servers: Annotated[int, Field(ge=1, le=100_000)]
    """Requests in service at once; throughput ends at servers / mean service time."""
    queue: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    """Requests waiting at most, first come first served."""
    overflow: Overflow = 503
    """What a request gets that finds the queue full: an error status, or reset, close, hang."""
    retry_after: Duration | None = None
    """Sent with the status of an overflow."""
    slowdown: Slowdown = Slowdown()
    on_disconnect: Literal["keep", "release"] = "keep"
    """Whether the work for a client that went away is done all the same, or dropped at once."""

    @model_validator(mode="after")
    def _only_an_answer_has_headers(self) -> Self:
        if self.retry_after is not None and isinstance(self.overflow, str):
            raise ValueError(
                f"retry_after needs an answer to be sent with, but overflow is {self.overflow!r}"
            )
        return self
