"""What is asked of every deployment."""

import json
import re
from http import HTTPMethod
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, JsonValue, model_validator

from loadtests import redaction
from loadtests.plans import placeholders
from loadtests.plans.errors import no_such
from loadtests.plans.fields import PositiveDuration
from loadtests.plans.http_fields import Headers, Statuses
from loadtests.recording.messages import RequestSpec
from mock_upstream.units.tables import StrictTable


def _method(method: str) -> str:
    known = [known.value for known in HTTPMethod if known is not HTTPMethod.CONNECT]
    if method.upper() not in known:
        raise ValueError(no_such("HTTP method", method.upper(), known))
    return method.upper()


def _path(path: str) -> str:
    if "://" in path.partition("?")[0] or path.startswith("//"):
        raise ValueError(
            f"{path!r} would leave the deployment; give the path alone, such as /external-data, "
            "and the host as the url of a deployment"
        )
    if not path.startswith("/") or re.search(r"[\s#\x00-\x1f]", path):
        raise ValueError(
            f"{path!r} is not a path: it begins with '/', and has neither spaces nor '#'"
        )
    return path


def _name(name: str) -> str:
    if name == "all" or not name.strip():
        raise ValueError(f'{name!r} cannot name a request ("all" is what they are together)')
    if not name.isprintable():
        raise ValueError(f"{name!r} cannot name a request: it has characters without a shape")
    return name


def _default_name(request: dict[str, Any]) -> str:
    method, path = request["method"], request["path"]
    secretless = redaction.text(str(path))  # names stand in all that is written
    shown = "".join(each if each.isprintable() else quote(each) for each in secretless)
    return shown if method == "GET" else f"{method} {shown}"


def _json(payload: JsonValue) -> JsonValue:
    try:
        json.dumps(payload, allow_nan=False)
    except ValueError:
        raise ValueError(f"{payload!r:.60} holds nan or inf, for which JSON has no word") from None
    return payload


class Expect(StrictTable):
    """What makes an answer a good one."""

    status: Statuses = Field(default=(), examples=[[200, 201]])
    """One or several; none: any below 300."""
    contains: str | None = None
    """Text that the body must hold."""


class Request(StrictTable):
    """One kind of request."""

    method: Annotated[str, AfterValidator(_method)] = Field(default="GET", examples=["POST"])
    path: Annotated[str, AfterValidator(_path), AfterValidator(placeholders.strict())] = Field(
        examples=["/external-data"]
    )
    name: Annotated[str, AfterValidator(_name)] = Field(default_factory=_default_name)
    """What the results call it: the path, after the method if that is not GET."""
    weight: Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)] = 1.0
    """How often it is asked, against the others."""
    headers: Headers = Field(default_factory=dict)
    payload: Annotated[JsonValue, AfterValidator(_json), AfterValidator(placeholders.checked)] = (
        Field(default=None, alias="json")
    )
    body: Annotated[str | None, AfterValidator(placeholders.checked)] = None
    timeout: PositiveDuration = 10.0
    expect: Expect = Expect()
    redirects: Literal["fail", "follow"] = "fail"
    """What a redirect is: a failure, or a part of the request as far as it leads to the service."""

    @model_validator(mode="after")
    def _one_body_at_most(self) -> Self:
        if self.payload is not None and self.body is not None:
            raise ValueError("has both json and body; keep the one that is to be sent")
        return self

    def spec(self) -> RequestSpec:
        """The request, ready to be sent."""
        headers, body = dict(self.headers), self.body
        if self.payload is not None:
            body = json.dumps(self.payload)
            if "content-type" not in map(str.lower, headers):
                headers["content-type"] = "application/json"
        return RequestSpec(
            name=self.name,
            method=self.method,
            path=self.path,
            weight=self.weight,
            headers=headers,
            body=body,
            json_body=self.payload is not None,
            timeout=self.timeout,
            statuses=self.expect.status,
            contains=self.expect.contains,
            follow=self.redirects == "follow",
        )
