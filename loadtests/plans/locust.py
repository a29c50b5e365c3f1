"""What a plan says of its locustfile."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from loadtests.plans import placeholders
from mock_upstream.units.tables import StrictTable

Scalar = str | int | float | bool


def _options(options: Mapping[str, object], info: ValidationInfo) -> Mapping[str, object]:
    for name in options:
        if not name or name.startswith("-") or not name.isascii() or not name.isprintable():
            raise ValueError(f"{name!r} names no option; write it without dashes: apikey = ...")
    return placeholders.checked(dict(options), info)


class Locust(StrictTable):
    """
    Options of the locustfile, the tasks that are played, and which of its events are requests.
    """

    options: Annotated[dict[str, Scalar | tuple[Scalar, ...]], AfterValidator(_options)] = Field(
        default={}, examples=[{"apikey": "{env.APIKEY}"}]
    )
    """Values of options that the locustfile adds to Locust's command line, by name."""
    tags: tuple[str, ...] = ()
    """Only tasks with one of these tags are played."""
    exclude_tags: tuple[str, ...] = ()
    """Tasks with one of these tags are not played."""
    requests: tuple[str, ...] = Field(default=(), examples=[["grpc"]])
    """Request types, or names, that are requests although their type is no HTTP method."""
    metrics: tuple[str, ...] = Field(default=(), examples=[["TOKENS"]])
    """Request types, or names, that are no requests."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "Locust":
        both = sorted({*self.requests} & {*self.metrics})
        if both:
            raise ValueError(f"{', '.join(both)} cannot be both requests and metrics")
        return self

    def words(self) -> list[str]:
        """
        The words of Locust's command line that say the same.

        Raises:
            PlanError: a placeholder stands for something that is not there.
        """
        words: list[str] = []
        for flag, tags in (("--tags", self.tags), ("--exclude-tags", self.exclude_tags)):
            words += [flag, *tags] if tags else []
        for name, value in self.options.items():
            flag = f"--{name}"
            if isinstance(value, bool):
                words += [flag] if value else []
            elif isinstance(value, tuple):
                words += [f"{flag}={_word(one)}" for one in value]
            else:  # as one word: a value may begin with a dash
                words.append(f"{flag}={_word(value)}")
        return words


def _word(value: Scalar) -> str:
    return placeholders.filled(str(value))
