"""Calls that a request makes again after they failed.

Most services never have any, so nothing is kept, and calls of requests that are not traced are not
watched, until a call of a traced request has failed in the process.
"""

from contextvars import ContextVar

from .process import PROCESS

_MOST = 100  # calls that are kept: a task that outlives its request may fail for ever

FAILED: ContextVar[set[tuple[str, str]] | None] = ContextVar("failed", default=None)
"""Method and URL of the calls that failed in a request; None: nothing is kept of it."""


def keep() -> None:
    """Remember the present request, for it and for the tasks and threads that it starts."""
    FAILED.set(set())


def asks(method: str, url: object) -> None:
    """A call begins."""
    failed = FAILED.get()
    if failed:
        PROCESS.counts.retried += (method, str(url)) in failed


def fails(method: str, url: object) -> None:
    """A call ended without an answer, or with one that asks for a repetition."""
    PROCESS.failing = True
    failed = FAILED.get()
    if failed is not None and len(failed) < _MOST:
        failed.add((method, str(url)))


def failure(status: int) -> bool:
    """Whether an answer asks for a repetition."""
    return status >= 500 or status == 429
