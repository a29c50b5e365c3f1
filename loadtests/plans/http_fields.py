"""Fields of a plan that are parts of an HTTP exchange: paths, headers, statuses."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from loadtests import redaction
from loadtests.plans import placeholders
from loadtests.plans.fields import Whole

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def _path(path: str) -> str:
    placeholders.none_in(path)
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is not a path; write it as /health")
    return path


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if re.search(r"[\r\n\x00]", value):
            shown = redaction.named({name: value})[name]
            raise ValueError(f"{name} has the value {shown!r}, which no header can carry")
    return headers


def _many(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else (value,)


def _one_or_many(statuses: tuple[int, ...]) -> int | tuple[int, ...]:
    return statuses[0] if len(statuses) == 1 else statuses


PathText = Annotated[str, AfterValidator(_path)]
Headers = Annotated[dict[str, str], AfterValidator(_headers), AfterValidator(placeholders.strict())]
Statuses = Annotated[
    tuple[Annotated[Whole, Field(ge=100, le=599)], ...],
    BeforeValidator(_many),
    PlainSerializer(_one_or_many),
]
"""One status or several."""
