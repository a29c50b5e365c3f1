"""What the exceptions of httpx mean, and those of httpx2, which has the same names."""

from typing import Any

from app_under_test.errors import (
    Failure,
    Failures,
    broken,
    no_connection,
    no_free_connection,
    refused,
    too_slow,
)


def failures(library: Any) -> Failures:
    """
    The table for `library`, which is the module httpx or httpx2.

    `HTTPStatusError` is no `RequestError`: catching only the latter, as many tutorials do, lets the
    upstream's 500 through as a crash.
    """
    return {
        library.PoolTimeout: no_free_connection,
        library.ConnectTimeout: no_connection,
        library.ConnectError: no_connection,
        library.TimeoutException: too_slow,
        library.HTTPStatusError: status_failure,
        library.HTTPError: broken,
    }


def status_failure(error: Any) -> Failure:
    return refused(error.response.status_code, error.response.headers.get("Retry-After"))
