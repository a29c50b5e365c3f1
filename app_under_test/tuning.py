"""How a deployment of a variant may be tuned, and the flags that say so.

A plan is checked with this: it imports no framework, no client library and nothing that reads the
environment.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class Tuning(BaseModel):
    """How one deployment of a variant is tuned. A limit holds for each worker process."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    threads: Annotated[int, Field(ge=1, le=10_000)] = 40
    """Threads that `def` routes may hold at a time (anyio's tokens)."""

    pool: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Connections to the upstream; unset: as many as threads if blocking, 100 if async."""

    connect_timeout: Seconds = 3.0
    """Seconds to open one connection; beyond: 502."""

    pool_timeout: Seconds = 5.0
    """Seconds to wait for a free connection, or for one's turn; beyond: 503."""

    timeout: Seconds = 10.0
    """Seconds for one upstream call in all (requests: between two reads); beyond: 504."""

    keepalive_expiry: Seconds = 4.0
    """Seconds that an idle connection is kept (requests: for ever); less than the upstream's."""

    max_concurrent: Annotated[int, Field(ge=1, le=10_000)] = 40
    """Calls at a time (bounded-httpx: of the process; semaphore-per-request: of each request)."""

    max_queue: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Calls that may wait for their turn (bounded-httpx); unset: as many as max_concurrent."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Attempts at one call, the first included (the retrying variants)."""

    retry_budget: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    """Retries for each call, over all calls (retrying-httpx2)."""

    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that share the listening socket."""

    @field_validator("*", mode="before")
    @classmethod
    def refuse_booleans(cls, value: object) -> object:
        """`threads = true` is a slip, although Python counts true as 1."""
        if isinstance(value, bool):
            raise ValueError("a number is needed, not a boolean")
        return value


def to_flags(table: Mapping[str, object]) -> list[str]:
    """
    The command line that gives a service these settings; the others keep their defaults.

    Raises:
        pydantic.ValidationError: a setting that does not exist, or an impossible value.
    """
    settings = Tuning.model_validate(table)
    values = {name: getattr(settings, name) for name in table}
    return [
        text
        for name, value in values.items()
        if value is not None
        for text in (flag(name), str(value))
    ]


def flag(name: str) -> str:
    """The command line's name of a setting: `--pool-timeout` for `pool_timeout`."""
    return "--" + name.replace("_", "-")
