"""Each module here is one way to answer badly; its file name is its name.

`reset_mid_body.py` is `reset-mid-body`. A fault is complete with one class, here `ResetMidBody`:
its settings as fields, each with a default, and `play`. Only those that are named are imported.
"""

from abc import ABC, abstractmethod
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    InstanceOf,
    PlainSerializer,
    PositiveInt,
    WithJsonSchema,
    model_validator,
)

from mock_upstream.units.tables import StrictTable

if TYPE_CHECKING:  # a profile is checked without what it takes to play it
    from mock_upstream.responses.exchange import Exchange, Reply


class When(StrictTable):
    """Which requests it happens to. Without any of these: to all."""

    probability: Annotated[float, Field(ge=0, le=1)] | None = None
    every: PositiveInt | None = None
    """3: the third request of a route since the fault is in the profile, the sixth and so on."""
    first: PositiveInt | None = None
    """3: the first three requests of a route since the fault is in the profile."""
    on_reuse: bool = False
    """Of those, only requests that are not the first on their connection."""

    @model_validator(mode="after")
    def _says_it_once(self) -> Self:
        given = [
            name for name in ("probability", "every", "first") if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other; give one of them")
        return self

    def happens(self, ordinal: int, u: float, request_on_connection: int) -> bool:
        """
        Whether it happens to one request.

        Args:
            ordinal: of the request among those of its route, from 0.
            u: its draw for this fault, in (0, 1).
            request_on_connection: counts the requests of its connection, from 1.
        """
        if self.on_reuse and request_on_connection == 1:
            return False
        if self.probability is not None:
            return u < self.probability
        if self.every is not None:
            return (ordinal + 1) % self.every == 0
        return self.first is None or ordinal < self.first


class Fault(When, ABC):
    """One way to answer badly, and when."""

    at: ClassVar[Literal["arrival", "due"]] = "due"
    """When it is played: as the request arrives, or once its answer is due."""

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    @abstractmethod
    async def play(self, exchange: "Exchange", answer: "Reply") -> None:
        """
        Instead of sending the answer, which may be changed.

        Ends once an answer is sent to its end or the client has gone, whichever way.
        """


# Read once: `iter_modules` finds nothing, without an error, where no descriptors are left.
_NAMES = sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def names() -> list[str]:
    return [*_NAMES]


def load(name: str) -> type[Fault]:
    """
    The fault of that name.

    Raises:
        LookupError: there is none; the message lists those there are.
    """
    if name not in names():
        raise LookupError(f"there is no fault {name!r}; there are: {', '.join(names())}")
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    fault: type[Fault] = getattr(module, name.title().replace("-", ""))
    return fault


def _fault(value: object) -> Fault:
    if isinstance(value, Fault):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("fault"), str):
        raise ValueError(f"a table such as {{fault = 'reset'}} is expected, not {value!r:.60}")
    settings = {**value}
    try:
        return load(settings.pop("fault")).model_validate(settings)
    except LookupError as error:
        raise ValueError(str(error)) from None


def _table(fault: Fault) -> dict[str, Any]:
    return {"fault": fault.name, **fault.model_dump(mode="json", exclude_none=True)}


FaultTable = Annotated[
    InstanceOf[Fault],
    BeforeValidator(_fault),
    PlainSerializer(_table),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"fault": {"enum": names()}},
            "required": ["fault"],
        }
    ),
]
"""A fault and its settings in a profile: `{fault = "reset", probability = 0.01}`."""
