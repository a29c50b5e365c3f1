"""A table of a profile or of a plan, as a model."""

from pydantic import BaseModel, ConfigDict


class StrictTable(BaseModel):
    """A key that the table does not have is a mistake; what was read does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)
