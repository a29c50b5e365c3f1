"""What may be tuned without another variant: by flags, or in the environment (`APP_THREADS=80`)."""

from pydantic_settings import BaseSettings, SettingsConfigDict

from app_under_test.tuning import Tuning


class Settings(BaseSettings, Tuning):
    """The tuning of this process: what the command line does not say is in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="APP_",
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=False,  # those of Tuning are read once
    )
