"""Readiness: what a service is asked to know whether it is up."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from loadtests.plans.http_fields import Headers, PathText, Statuses
from mock_upstream.units.tables import StrictTable

_PASSED_ON = ("host", "forwarded", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-for")


class Question(StrictTable):
    """A GET whose answer says that a service is up; as text, its path alone."""

    path: PathText = "/health"
    headers: Headers = Field(default_factory=dict, examples=[{"Host": "shop.example"}])
    status: Statuses = Field(default=(), examples=[401])
    """Of the answer, once the service is up; none: any 2xx."""

    @model_serializer(mode="wrap")
    def _short(self, serialize: SerializerFunctionWrapHandler) -> Any:
        """The path alone where there is nothing else."""
        whole = serialize(self)
        return whole if self.headers or self.status else self.path

    def with_common(self, requests: list[dict[str, str]]) -> "Question":
        """
        Return the question with the name by which all requests call the service.

        Args:
            requests: the headers of each request. What all of them say of the host and of a proxy
                is added where the question does not say it itself.
        """
        own = {name.lower() for name in self.headers}
        common = {
            name: value
            for name, value in (requests[0] if requests else {}).items()
            if name.lower() in _PASSED_ON
            and name.lower() not in own
            and all({n.lower(): v for n, v in one.items()}.get(name.lower()) == value
                    for one in requests)
        }  # fmt: skip
        return self.model_copy(update={"headers": {**common, **self.headers}})


def _table(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


Ready = Annotated[Question, BeforeValidator(_table)]
