"""Failures of the upstream, as the service's callers see them: 502, 503 or 504 with a JSON body.

A client library's exceptions are told apart in a table {exception class: kind of failure}, which
stands where the library is used. Routes let the exceptions through, and the closest class of the
table decides, so `PoolTimeout` comes before the `TimeoutException` that it also is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

RETRY_AFTER = "1"  # seconds; of our own overload, which lasts as long as a queue


@dataclass(frozen=True, slots=True)
class CallFailure:
    """What the caller is told."""

    status: int
    error: str  # the kind, for machines
    detail: str
    retry_after: str | None = None  # as in RFC 9110, 10.2.3: seconds or a date


Failures = Mapping[type[Exception], Callable[[Any], CallFailure]]


def no_connection(error: Exception) -> CallFailure:
    return CallFailure(502, "no_connection", f"the upstream took no connection: {said(error)}")


def broken(error: Exception) -> CallFailure:
    return CallFailure(502, "broken", f"the upstream's answer broke off: {said(error)}")


def bad_body(error: Exception) -> CallFailure:
    return CallFailure(502, "bad_body", f"the upstream's body is not JSON: {said(error)}")


def too_slow(error: Exception) -> CallFailure:
    return CallFailure(504, "timeout", f"the upstream did not answer in time: {said(error)}")


def no_free_connection(error: Exception) -> CallFailure:
    detail = "every connection to the upstream is in use, and none came free in time"
    return CallFailure(503, "pool", detail, RETRY_AFTER)


def overloaded(error: Exception) -> CallFailure:
    return CallFailure(
        503, "overloaded", f"too many calls are under way: {said(error)}", RETRY_AFTER
    )


def refused(status: int, retry_after: str | None) -> CallFailure:
    """The upstream answered, with a status that is not a success."""
    if status in (429, 503):
        return CallFailure(
            503, "upstream_overloaded", f"the upstream answered {status}", retry_after
        )
    return CallFailure(502, "upstream_status", f"the upstream answered {status}")


def status_failure(error: Any) -> CallFailure:
    """The failure of an exception with the `response` of requests or httpx."""
    return refused(error.response.status_code, error.response.headers.get("Retry-After"))


def said(error: Exception) -> str:
    """The library's own words; some exceptions have none, their class is all they say."""
    return str(error) or type(error).__name__


# What every variant may raise, whichever its library: the JSON parser's errors (a body nested too
# deeply is a RecursionError; NaN passes the parser and is refused by the response), and deadlines.
COMMON: Failures = {ValueError: bad_body, RecursionError: bad_body, TimeoutError: too_slow}


def install(app: FastAPI, failures: Failures) -> None:
    """Makes `app` answer the library's exceptions as `failures` tells them apart."""
    for error, failure in {**COMMON, **failures}.items():
        app.add_exception_handler(error, answering(failure))


def answering(failure: Callable[[Any], CallFailure]) -> Callable[..., Any]:
    # A plain `def` handler would need a thread, and these answers come when there is none.
    async def answer(request: Request, error: Exception) -> JSONResponse:
        told = failure(error)
        return JSONResponse(
            {"error": told.error, "detail": told.detail},
            told.status,
            {"Retry-After": told.retry_after} if told.retry_after else None,
        )

    return answer
