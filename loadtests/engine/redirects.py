"""Redirects of a plan's requests: where they lead to, and the request that follows one."""

from loadtests import redaction
from loadtests.engine.answers import AnswerParser
from loadtests.engine.calls import Call
from loadtests.engine.connection import ClientConnection
from loadtests.engine.failures import RequestFailed
from loadtests.engine.redirect_target import place
from loadtests.recording import redirects
from loadtests.recording.redirects import MOST

_KEPT = 100  # requests that are made once for each place; a place can hold an identifier


def is_redirect(answer: AnswerParser) -> bool:
    return 300 <= answer.status < 400 and bool(answer.header(b"location"))


def followed(
    connection: ClientConnection, call: Call, answer: AnswerParser
) -> tuple[AnswerParser, Call]:
    """
    Send what the redirects ask for, on the same connection; the last answer and its request.

    Raises:
        RequestFailed: one leads to another service, or there are too many.
        OSError: there was no answer.
    """
    for _ in range(MOST):
        if not is_redirect(answer):
            return answer, call
        call = _onward(call, answer)
        answer = connection.exchange(call)
    if is_redirect(answer):
        raise RequestFailed("too many redirects", f"more than {MOST} redirects, at last to "
                            f"{redaction.text(_location(answer))}")  # fmt: skip
    return answer, call


def _location(answer: AnswerParser) -> str:
    return answer.header(b"location")[0].decode("latin-1")


def _onward(call: Call, answer: AnswerParser) -> Call:
    """Return the request that follows the redirect, made once for each place."""
    location, status = _location(answer), answer.status
    made = call.onward.get((status, location))
    if made is not None:
        return made
    spec = redirects.onward(call.spec, call.endpoint.target, status, location)
    if spec is None:
        raise RequestFailed(
            f"{status} to {place(answer)}",
            f"status {status} to {redaction.text(location)}, which is not this service",
        )
    made = Call(call.endpoint, spec)
    if len(call.onward) < _KEPT:
        call.onward[status, location] = made
    return made
